"""Several administrators of one appliance, each a user of this host of his own. Needs root and setpriv."""

import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile

from appliance import BIN, DEADLINE

OTHER_USERS = os.geteuid() == 0 and shutil.which("setpriv") is not None
GROUP = "games"  # opens the socket to them
PEOPLE = {"admin": "daemon", "second": "bin", "operator": "sys", "backup": "backup", "auditor": "man", "officer": "lp"}
NOBODY = "nobody"
ROLES = {
    "roles__admin": f"[user:{PEOPLE['admin']}, user:{PEOPLE['second']}]", "roles__operator": f"['user:{PEOPLE['operator']}']",
    "roles__backup": f"['user:{PEOPLE['backup']}']", "roles__auditor": f"['user:{PEOPLE['auditor']}']",
    "roles__officer": f"['user:{PEOPLE['officer']}']",
}


@contextlib.contextmanager
def open_directory():
    """One that `People` can let other users enter; pytest closes its own to them whenever a run begins."""
    with tempfile.TemporaryDirectory(prefix="skms-people-") as name:
        yield pathlib.Path(name)


class People:
    """An appliance in an open_directory, asked by each person as his own user."""

    def __init__(self, appliance):
        self.appliance = appliance
        appliance.directory.chmod(0o755)
        self.program = shutil.copy(BIN / "skmsctl", appliance.directory)  # BIN may lie where only its owner may look
        os.chmod(self.program, 0o755)  # whatever the umask is
        self.config = appliance.directory / "people.yaml"
        shutil.copy(appliance.config, self.config)
        self.config.chmod(0o644)

    def command(self, person, *command):
        user = pwd.getpwnam(PEOPLE.get(person, person))
        return ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(grp.getgrnam(GROUP).gr_gid), "--clear-groups", *map(str, command)]

    def ctl(self, person, *arguments):
        command = [self.program, "--config", self.config, *arguments]
        return subprocess.run(self.command(person, *command), env=self.appliance.environment, capture_output=True, text=True, timeout=DEADLINE)

    def did(self, person, *arguments):
        done = self.ctl(person, *arguments)
        assert done.returncode == 0, (person, arguments, done.stderr)
        return done.stdout

    def ask(self, person, method, path, body=None):
        """Status and JSON of one request."""
        command = self.command(person, "curl", "--silent", "--max-time", "50", "--unix-socket", self.appliance.directory / "admin.sock", "--request", method,
                               "--write-out", "\n%{http_code}", *(("--data", "@-") if body is not None else ()),
                               "http://localhost" + path)
        out = subprocess.run(command, input=json.dumps(body), capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
        text, _, status = out.rpartition("\n")
        return int(status), json.loads(text) if text.startswith("{") else {}

    def asked(self, person, *arguments):
        """The request that this command became."""
        done = self.ctl(person, *arguments)
        assert done.returncode == 8, (done.returncode, done.stdout, done.stderr)
        assert "nothing was done yet" in done.stderr and "skmsctl approval list" in done.stderr
        return self.show(person, re.search(r"apr-[0-9a-f]{16}", done.stderr)[0])

    def show(self, person, request):
        return json.loads(self.did(person, "approval", "show", request, "--output", "json"))

    def approve(self, person, request):
        return self.did(person, "approval", "approve", request["id"], "--digest", request["digest"])

    def chain(self, **query):
        status, answer = self.ask("auditor", "POST", "/admin/v1/audit/search", {"limit": 1000, **query})
        assert status == 200, answer
        return answer["entries"]


def actor(person):
    return f"admin:{pwd.getpwnam(PEOPLE[person]).pw_uid}"
