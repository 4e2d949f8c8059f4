"""The store on a real PostgreSQL server: what an administrator does with it, and what clients see while it breaks."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from appliance import BIN, DEADLINE, ROOT, Appliance, running, wait_for
from databases import NEEDS_SERVER, cluster, database, name_in, server  # noqa: F401: two are fixtures
from edge_load import UNLIMITED
from several_tokens import opened
from test_edge_kills import Askers

pytestmark = NEEDS_SERVER
SERVED_AGAIN_S = 5  # after the server answers again


def initialise(appliance):
    for file in appliance.directory.glob("skms.db*"):  # of the one that was copied
        file.unlink()
    appliance.ctl("init")


def on(url, directory):
    """A running appliance whose store is there."""
    return running(directory, initialise, store__url=url, **UNLIMITED)


def test_everything_is_on_the_server_and_nothing_in_a_file(database, tmp_path):
    with on(database, tmp_path) as appliance:
        keys = opened(appliance, users=5)
        again = appliance.ctl("init") if appliance.stop() == 0 else None
        assert "was there already" in again and name_in(database) in again
        appliance.start()
        assert opened(appliance, users=5) == keys
        assert appliance.ctl_json("audit", "verify")["whole"]
        assert appliance.ctl_json("status")["state"] == "operational"
        found = [one for one in json.loads(appliance.try_ctl("doctor", "--output", "json").stdout)["findings"] if one["check"] in ("database", "schema", "audit chain", "database file")]
        assert [(one["check"], one["verdict"]) for one in found] == [("database", "ok"), ("schema", "ok"), ("audit chain", "ok")]
        sizes = [line for line in appliance.ctl("metrics").splitlines() if line.startswith("skms_store_file_size_bytes")]
        assert len(sizes) == 1 and float(sizes[0].split()[-1]) > 100_000
        assert {path.name for path in tmp_path.glob("skms.db*")} <= {"skms.db.lock", "skms.db.backups"}


def test_a_second_server_on_the_same_database_is_refused_and_the_first_goes_on(database, tmp_path):
    with on(database, tmp_path) as appliance:
        kid = appliance.key()["kid"]
        (tmp_path / "other").mkdir()
        second = Appliance(tmp_path / "other", store__url=database).prepare()
        done = second.run_skmsd()
        assert done.returncode == 1 and "is in use by another skmsd or skmsctl" in done.stderr
        assert appliance.key()["kid"] == kid


@pytest.mark.parametrize("url, words", [
    ("postgresql://skms:secret-word@/skms", "holds a password; put it into a file of mode 0600"),
    ("postgresql://skms@/skms?password=secret-word", "holds a password"),
    ("postgresql://skms@db.example.org/skms", "leads to db.example.org"),
    ("postgresql://skms@/skms?hostaddr=192.0.2.1", "leads to 192.0.2.1"),
    ("postgresql://skms@localhost,db.example.org/skms?sslmode=require", "sslmode=verify-full"),
    ("postgresql://localhost", "names no database"),
    ("postgresql://localhost/skms?target_session_attrs=any", "must have target_session_attrs=read-write"),
    ("postgresql://localhost/skms?service=elsewhere", "has parameter service, which is not taken"),
    ("postgresql://localhost/skms?nonsense=1", "is no URL that libpq reads"),
    ("mysql://localhost/skms", "must begin with postgresql://"),
])
def test_a_url_that_is_unsafe_or_wrong_is_refused_with_what_to_do(tmp_path, url, words):
    appliance = Appliance(tmp_path, store__url=f"'{url}'").prepare()
    done = appliance.run_skmsd("--check-config")
    assert done.returncode == 3 and "'store.url' " in done.stderr and words in done.stderr
    assert "secret-word" not in done.stderr + done.stdout


def test_a_server_that_would_lose_what_is_acknowledged_is_refused(server, tmp_path):
    server.make_database("weak")
    server.sql("ALTER DATABASE weak SET synchronous_commit = off", "postgres")
    server.sql("ALTER DATABASE weak SET log_statement = 'all'", "postgres")
    server.sql("ALTER SYSTEM SET full_page_writes = off", "postgres")
    server.sql("SELECT pg_reload_conf()", "postgres")
    try:
        appliance = Appliance(tmp_path, store__url=server.url("weak")).prepare()
        wait_for(lambda: server.sql("SHOW full_page_writes").strip() == "off", "the server's setting")
        done = appliance.try_ctl("init")
        assert done.returncode == 3 and "full_page_writes=off, and would lose keys" in done.stderr
    finally:
        server.sql("ALTER SYSTEM RESET full_page_writes", "postgres")
        server.sql("SELECT pg_reload_conf()", "postgres")
        wait_for(lambda: server.sql("SHOW full_page_writes").strip() == "on", "the server's setting")
    # What can be asked for by whoever connects, is.
    with on(server.url("weak"), tmp_path) as appliance:
        appliance.key()
        assert server.sql("SELECT count(*) FROM key_versions", "weak").strip() == "1"
        asked = [line for line in server.log.read_text().splitlines() if "SET synchronous_commit" in line]
        assert asked and all(line.endswith("synchronous_commit = on") for line in asked)


def test_a_password_comes_from_its_file_and_is_nowhere_else(server, tmp_path):
    server.make_database("secured")
    server.sql("CREATE ROLE careful LOGIN PASSWORD 'database-word-77'", "postgres")
    server.sql("ALTER DATABASE secured OWNER TO careful", "postgres")
    rules = server.data / "pg_hba.conf"
    former = rules.read_text()
    rules.write_text("local secured careful scram-sha-256\n" + former)
    server.sql("SELECT pg_reload_conf()", "postgres")
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:secured:careful:database-word-77\n")
    passwords.chmod(0o600)
    url = server.url("secured").replace("skms@", "careful@")
    wait_for(lambda: subprocess.run([server.programs / "psql", url, "-wc", "SELECT 1"], capture_output=True, check=False).returncode != 0, "the rule")
    (tmp_path / "a").mkdir()
    without = Appliance(tmp_path / "a", store__url=url).prepare().try_ctl("init")
    assert without.returncode != 0 and "no password supplied" in without.stderr
    with on(f"{url}&passfile={passwords}", tmp_path) as appliance:
        appliance.key()
        said = appliance.log.read_bytes() + pathlib.Path(f"/proc/{appliance.process.pid}/cmdline").read_bytes()
        said += pathlib.Path(f"/proc/{appliance.process.pid}/environ").read_bytes()
        assert b"database-word-77" not in said
    rules.write_text(former)
    server.sql("SELECT pg_reload_conf()", "postgres")


def test_a_backup_is_taken_tried_and_restored_into_either_kind_of_database(server, database, tmp_path):
    server.make_database("restored")
    with on(database, tmp_path) as appliance:
        keys = opened(appliance, users=20)
        appliance.ctl("payload", "list")
        made = appliance.ctl_json("backup", "create", "--file", tmp_path / "b")
        assert made["keyVersions"] >= len(keys)
        assert appliance.ctl_json("backup", "verify", "--file", tmp_path / "b")["sha256"] == made["sha256"]
        drill = appliance.ctl_json("backup", "drill", "--file", tmp_path / "b")
        assert drill["result"] == "passed" and drill["opened"] == len(keys)
        appliance.stop()
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 7 and "overwrites none; make another one with createdb" in refused.stderr
        for url in (server.url("restored"), ""):
            appliance.settings["store__url"] = url or "''"
            if not url:
                appliance.settings["store__path"] = "file.db"
            appliance.write_config()
            assert "is restored" in appliance.ctl("backup", "restore", "--file", tmp_path / "b")
            appliance.start()
            assert opened(appliance, users=20) == keys
            assert appliance.ctl_json("audit", "verify")["whole"]
            assert appliance.key("val-service-id=s&valUserId=new")["kid"] not in keys
            assert appliance.stop() == 0


def test_nothing_acknowledged_before_a_backup_is_missing_with_writers_running(server, database, tmp_path):
    server.make_database("moment")
    with on(database, tmp_path) as appliance:
        with Askers(appliance) as load:
            before = dict(load.kids)
            appliance.ctl("backup", "create", "--file", tmp_path / "b")
            wait_for(lambda: len(load.kids) > len(before) + 50, "writers")
        assert load.wrong == [] and load.broken == 0
        appliance.stop()
        appliance.settings["store__url"] = server.url("moment")
        appliance.write_config()
        appliance.ctl("backup", "restore", "--file", tmp_path / "b")
        appliance.start()
        for user, kid in before.items():
            assert appliance.key(f"val-service-id=s&valUserId={user}")["kid"] == kid


def test_what_pg_dump_writes_is_the_whole_database_again(server, database, tmp_path):
    """The database administrator's own tool: what he carries away are ciphertexts."""
    server.make_database("dumped")
    with on(database, tmp_path) as appliance:
        keys = opened(appliance, users=5)
        dump = subprocess.run([server.programs / "pg_dump", "--no-owner", database], capture_output=True, check=True, timeout=DEADLINE).stdout
        subprocess.run([server.programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", server.url("dumped")], input=dump, check=True, timeout=DEADLINE,
                       stdout=subprocess.DEVNULL)
        appliance.stop()
        appliance.settings["store__url"] = server.url("dumped")
        appliance.write_config()
        appliance.start()
        assert opened(appliance, users=5) == keys and appliance.ctl_json("audit", "verify")["whole"]


def served_again(load, since):
    known = len(load.kids)
    wait_for(lambda: len(load.kids) > known, "a new key")
    return time.monotonic() - since


def test_connections_that_are_cut_under_load_lose_nothing(server, database, tmp_path):
    with on(database, tmp_path) as appliance:
        name = name_in(database)
        with Askers(appliance) as load:
            for _ in range(10):
                server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")
                assert served_again(load, time.monotonic()) < SERVED_AGAIN_S
        judged(appliance, load)


def judged(appliance, load):
    assert load.wrong == [] and load.broken == 0, load.wrong[:3]
    with contextlib.closing(load.connect()) as connection:
        for user in list(load.kids):
            answer, body = load.ask(connection, user)
            assert answer.status == 200, (user, body)
            load.judge(user, body)
    assert load.wrong == [] and appliance.ctl_json("audit", "verify")["whole"]


def test_a_server_that_is_killed_under_load_loses_nothing_and_is_found_again(tmp_path):
    with cluster.running() as server, on(server.url(), tmp_path) as appliance:
        with Askers(appliance) as load:
            for _ in range(5):
                server.kill()
                refused = wait_for_503(appliance)
                assert int(refused.headers["retry-after"]) > 0 and refused.problem["detail"] == "the database cannot be reached just now"
                assert appliance.ask_admin("/healthz") == {"status": "ok"}
                status = appliance.try_ctl("status")
                assert status.returncode == 4 and "database" in status.stderr and "docs/postgresql.md" in status.stderr, status.stderr
                server.start()
                took = served_again(load, time.monotonic())
                print(f"\nserved {took:.2f} s after the server answered")
                assert took < SERVED_AGAIN_S
        assert appliance.process.poll() is None
        judged(appliance, load)


def test_a_daemon_that_starts_while_the_server_is_away_ends_so_that_it_is_started_again(tmp_path):
    with cluster.running() as server, on(server.url(), tmp_path) as appliance:
        kid = appliance.key()["kid"]
        assert appliance.stop() == 0
        server.kill()
        done = appliance.run_skmsd()
        unit = (ROOT / "systemd/skmsd.service").read_text()
        assert done.returncode not in map(int, re.search(r"^RestartPreventExitStatus=(.*)$", unit, re.M)[1].split()) and done.returncode != 0
        assert "no database server" in done.stderr
        server.start()
        appliance.start()
        assert appliance.key()["kid"] == kid


def wait_for_503(appliance):
    answers = []
    wait_for(lambda: answers.append(appliance.get("val-service-id=s&valUserId=x")) or answers[-1].status == 503, "a refusal")
    return answers[-1]


def test_a_replica_takes_over_from_a_primary_that_was_killed_and_nothing_acknowledged_is_lost(tmp_path):
    with cluster.running() as primary:
        replica = primary.standby(primary.port + 1)
        try:
            url = f"postgresql://skms@/skms?host={primary.directory},{primary.directory}&port={primary.port},{replica.port}"
            with on(url, tmp_path) as appliance:
                with Askers(appliance) as load:
                    wait_for(lambda: len(load.kids) > 100, "keys")
                    primary.kill()
                    killed = time.monotonic()
                    assert wait_for_503(appliance).headers["retry-after"]
                    replica.promote()
                    took = served_again(load, time.monotonic())
                    print(f"\nserved {took:.2f} s after the promotion, {time.monotonic() - killed:.2f} s after the primary was killed")
                    assert took < SERVED_AGAIN_S
                assert appliance.process.poll() is None
                judged(appliance, load)
                counted = replica.sql("SELECT count(*) FROM key_versions").strip()
                assert int(counted) >= len(load.kids)
        finally:
            replica.stop()


def test_a_store_moves_from_its_file_to_a_server_with_all_that_is_in_it(database, tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.start().provision()
    keys = opened(appliance, users=30)
    entries = appliance.ctl_json("audit", "query", "--limit", "1000")["entries"]
    refused = appliance.try_ctl("store", "move", "--to", database)
    assert refused.returncode == 7 and "in use" in refused.stderr
    assert appliance.stop() == 0
    wrong = appliance.try_ctl("store", "move", "--to", "postgresql://db.example.org/skms")
    assert wrong.returncode == 1 and "--to leads to db.example.org" in wrong.stderr
    said = appliance.ctl("store", "move", "--to", database)
    assert "each checked there" in said and "set store.url in" in said
    old = appliance.run_skmsd()
    assert old.returncode != 0 and "was moved to postgresql://" in old.stderr and "name that in store.url" in old.stderr
    again = appliance.try_ctl("store", "move", "--to", database)
    assert again.returncode == 7 and "was moved to postgresql://" in again.stderr
    appliance.settings["store__url"] = database
    appliance.write_config()
    appliance.start()
    try:
        assert opened(appliance, users=30) == keys and appliance.ctl_json("audit", "verify")["whole"]
        now = appliance.ctl_json("audit", "query", "--limit", "1000")["entries"]
        assert now[:len(entries)] == entries and any(entry["action"] == "store.move" for entry in now)
    finally:
        assert appliance.stop() == 0
    assert not (tmp_path / "skms.db.moving.lock").exists()


def test_a_store_whose_rows_were_changed_is_not_moved(server, database, tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.start().provision()
    opened(appliance, users=3)
    assert appliance.stop() == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as file:
        file.execute("UPDATE key_versions SET state = 'suspended' WHERE target = 'user-1' OR target LIKE '%1'")
        assert file.total_changes > 0
        file.commit()
    refused = appliance.try_ctl("store", "move", "--to", database)
    assert refused.returncode == 3 and "was changed outside skms, and is not moved" in refused.stderr
    assert server.sql("SELECT count(*) FROM key_versions", name_in(database)).strip() == "0"


def test_a_variable_of_the_environment_that_would_lead_elsewhere_is_refused(database, tmp_path):
    appliance = Appliance(tmp_path, store__url=database).prepare()
    appliance.environment["PGHOST"] = "/elsewhere"
    done = appliance.try_ctl("init")
    assert done.returncode == 3 and "PGHOST is set in the environment" in done.stderr
    # Also where the URL names no host, and before anything else has been asked of whoever answers there.
    appliance.settings["store__url"] = "postgresql:///skms"
    appliance.write_config()
    for command in (["init"], ["doctor"]):
        done = appliance.try_ctl(*command)
        assert done.returncode != 0 and "PGHOST is set in the environment" in done.stdout + done.stderr, done.stdout


def test_a_server_that_hangs_holds_nobody_for_ever(tmp_path):
    with cluster.running() as server, on(server.url(), tmp_path) as appliance:
        appliance.key()
        with server.stopped():
            begun = time.monotonic()
            answers = [appliance.get("val-service-id=s&valUserId=x") for _ in range(2)]
            assert {answer.status for answer in answers} == {503} and time.monotonic() - begun < 60
            assert appliance.ask_admin("/healthz") == {"status": "ok"}
            wait_for(lambda: "the server has not answered in time; the connection is cut" in appliance.log.read_text(), "the deadline")
        wait_for(lambda: appliance.get("val-service-id=s&valUserId=x").status == 200, "service")


class Between:
    """A relay before a server that, when it is told, lets a commit through and its answer not."""

    def __init__(self, server, directory):
        self.server = str(server.directory / f".s.PGSQL.{server.port}")
        self.path = directory / f".s.PGSQL.{server.port}"
        self.loses = threading.Event()
        self.lost = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(self.server)
            state = {"cut": False}
            threading.Thread(target=self.pump, args=(client, upstream, state, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(upstream, client, state, False), daemon=True).start()

    def pump(self, source, sink, state, to_server):
        with contextlib.suppress(OSError):
            while (octets := source.recv(65536)):
                if to_server and self.loses.is_set() and b"COMMIT\0" in octets:
                    self.loses.clear()
                    state["cut"] = True
                    self.lost += 1
                sink.sendall(octets) if to_server or not state["cut"] else None
                if not to_server and state["cut"]:
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def test_a_change_whose_commit_was_not_answered_holds_from_then_on(server, tmp_path):
    server.make_database("between")
    (tmp_path / "relay").mkdir()
    between = Between(server, tmp_path / "relay")
    url = f"postgresql://skms@/between?host={tmp_path / 'relay'}&port={server.port}"
    try:
        with on(url, tmp_path) as appliance:
            assert appliance.get(who="val-1").status == 200
            between.loses.set()
            told = appliance.try_ctl("service", "set", "s", "--remove-reader", "val-1", "--add-reader", "val-2")
            assert told.returncode != 0 and between.lost == 1
            # Whoever was taken out is refused, though nobody was told that he is out.
            assert appliance.get(who="val-1").status in (403, 404, 503)
            wait_for(lambda: appliance.get(who="val-1").status != 503, "the database")
            assert appliance.get(who="val-1").status in (403, 404) and appliance.get(who="val-2").status == 200
            assert "val-2" in appliance.ctl("service", "show", "s")
    finally:
        between.close()


def test_two_hosts_that_take_turns_do_not_write_at_once(database, tmp_path):
    with on(database, tmp_path) as appliance:
        kid = appliance.key()["kid"]
        server_of_it = name_in(database)
        (tmp_path / "b").mkdir()
        standby = Appliance(tmp_path / "b", store__url=database, **UNLIMITED).prepare()
        standby.issuer = appliance.issuer
        appliance.stop()
        standby.start()
        try:
            refused = appliance.run_skmsd()
            assert refused.returncode == 1 and f"{server_of_it} is in use by another" in refused.stderr
            assert standby.ctl_json("audit", "verify")["whole"] and kid in standby.ctl("key", "list")
        finally:
            standby.stop()
        appliance.start()
        assert appliance.key()["kid"] == kid


def test_a_move_that_was_cut_off_is_done_again_and_nobody_starts_in_between(server, database, tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.start().provision()
    keys = opened(appliance, users=40)
    assert appliance.stop() == 0
    cut = 0
    for pause in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        moving = subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, "store", "move", "--to", database], env=appliance.environment,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)  # the moment is the test's subject
        moving.kill()
        cut += moving.wait() == -signal.SIGKILL
        there = server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'meta'", name_in(database)).strip()
        marks = server.sql("SELECT name FROM meta", name_in(database)) if there == "1" else ""
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as file:
            moved = file.execute("SELECT count(*) FROM meta WHERE name = 'moved_to'").fetchone()[0]
        arrived = there == "1" and server.sql("SELECT count(*) FROM key_versions", name_in(database)).strip() != "0"
        assert not (arrived and "arriving" not in marks and not moved), "both could be started"
        if moved and "arriving" not in marks:
            break
    assert cut > 0
    if not (moved and "arriving" not in marks):
        appliance.ctl("store", "move", "--to", database)
    appliance.settings["store__url"] = database
    appliance.write_config()
    appliance.start()
    try:
        assert opened(appliance, users=40) == keys and appliance.ctl_json("audit", "verify")["whole"]
    finally:
        assert appliance.stop() == 0
