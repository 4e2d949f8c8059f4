"""PostgreSQL servers of this test's own, on unix sockets in a directory that goes with them. Debian's packages; as root they run as `postgres`."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

DEADLINE = 60
DATABASE = "skms"
ROLE = "skms"  # owns the database, and is no superuser


def programs():
    """Of the newest version that is installed; None: there is none."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def as_user(*command):
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *map(str, command)] if os.geteuid() == 0 else list(map(str, command))


class Server:
    def __init__(self, directory, port=5432):
        self.directory = directory
        self.data = directory / f"data-{port}"
        self.log = directory / f"log-{port}"
        self.port = port
        self.process = None
        self.programs = programs()

    def run(self, program, *arguments):
        done = subprocess.run(as_user(self.programs / program, *arguments), capture_output=True, text=True, timeout=DEADLINE, cwd="/")
        assert done.returncode == 0, (program, done.stdout, done.stderr)
        return done.stdout

    def initialise(self):
        self.run("initdb", "--pgdata", self.data, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.write(f"listen_addresses = ''\nunix_socket_directories = '{self.directory}'\nport = {self.port}\nmax_connections = 200\nlog_min_error_statement = error\n")
        return self

    def start(self):
        with open(self.log, "ab") as log:
            # A child of this process, so that it ends with a signal to it and is waited for.
            self.process = subprocess.Popen(as_user(self.programs / "postgres", "-D", self.data), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.wait_until_answers()
        return self

    def wait_until_answers(self):
        end = time.monotonic() + DEADLINE
        while subprocess.run([self.programs / "pg_isready", "--quiet", "--host", self.directory, "--port", str(self.port)], check=False).returncode != 0:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def sql(self, statement, database=DATABASE, user="postgres"):
        return self.run("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--host", self.directory, "--port", self.port,
                        "--username", user, "--command", statement, database)

    def make_database(self, name=DATABASE):
        if not self.sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'", "postgres"):
            self.sql(f"CREATE ROLE {ROLE} LOGIN", "postgres")
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE}", "postgres")
        return self

    def url(self, database=DATABASE):
        return f"postgresql://{ROLE}@/{database}?host={self.directory}&port={self.port}"

    def standby(self, port):
        """A streaming replica of this server; commits wait for it from now on."""
        other = Server(self.directory, port)
        self.run("pg_basebackup", "--pgdata", other.data, "--host", self.directory, "--port", self.port, "--username", "postgres", "--write-recovery-conf",
                 "--checkpoint=fast", "--wal-method=stream")
        with open(other.data / "postgresql.conf", "a", encoding="utf-8") as configuration:
            configuration.write(f"port = {port}\n")
        other.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "postgres")
        self.sql("SELECT pg_reload_conf()", "postgres")
        end = time.monotonic() + DEADLINE
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "postgres").strip() != "1":
            assert time.monotonic() < end, other.log.read_text()[-2000:]
            time.sleep(0.05)
        return other

    def promote(self):
        self.sql("SELECT pg_promote()", "postgres")

    @contextlib.contextmanager
    def stopped(self):
        """Nothing of it runs, and its host still takes what is sent to it."""
        everything = [self.process.pid, *self.children()]
        for one in everything:
            os.kill(one, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in everything:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGCONT)

    def children(self):
        found = subprocess.run(["pgrep", "--parent", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(child) for child in found.stdout.split()]

    def kill(self):
        """As when its machine is cut off: every process of it at once."""
        if self.process is None:
            return
        children = self.children()
        self.process.kill()
        self.process.wait(DEADLINE)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process = None

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)  # at once, its clients are sent away
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process = None


@contextlib.contextmanager
def directory():
    """One that the servers' user can enter, whatever the umask is."""
    with tempfile.TemporaryDirectory(prefix="skms-pg-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(name, entry.pw_uid, entry.pw_gid)
        yield pathlib.Path(name)


@contextlib.contextmanager
def running():
    """One server with an empty database."""
    with directory() as place:
        server = Server(place).initialise()
        try:
            yield server.start().make_database()
        finally:
            server.stop()


INSTALLED = programs() is not None and (os.geteuid() != 0 or shutil.which("setpriv") is not None)
