"""A real appliance in a directory of its own: SoftHSM2 token, PKI, skmsd, skmsctl, skmc, curl."""

import contextlib
import copy
import functools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from pki import Authority, TokenIssuer

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from judge import ROOT  # noqa: E402, F401: it stands in the neighbouring suite
from recording import new_recording  # noqa: E402

os.umask(0o022)  # what a test has to say of modes it sets itself

BIN = pathlib.Path(os.environ.get("SKMS_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))
RECORDER = BIN.parent / "lib/skms_answer_recorder.so"
PIN = "648219"
DEADLINE = 60


def wait_for(condition, what):
    """Polls until `condition()` is true; fails the test after DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE} s for {what}"
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    """What curl brought back."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        assert self.headers["content-type"] == "application/problem+json", self.headers
        assert self.json["status"] == self.status
        return self.json


class Appliance:
    def __init__(self, directory, **settings):
        self.directory = directory
        self.settings = settings
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.ue_port = free_port()
        self.ue_url = f"https://localhost:{self.ue_port}"
        self.config = directory / "skms.yaml"
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(directory / "softhsm2.conf")}
        self.environment.pop("CREDENTIALS_DIRECTORY", None)
        self.process = None
        self.log = directory / "skmsd.log"

    # -- set-up ---------------------------------------------------------------------------------------------------

    def make_token(self, label="skms"):
        (self.directory / "tokens").mkdir(exist_ok=True)
        self.write_token_config()
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN],
            env=self.environment, check=True, capture_output=True,
        )

    def write_token_config(self):
        (self.directory / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )

    def make_pki(self):
        self.ca = Authority(self.directory, "ca")
        self.ca.issue("server", server=True)
        self.ca.issue("val-1")
        self.ca.issue("val-2")
        self.issuer = TokenIssuer(self.directory)

    def write_pin(self, pin=PIN):
        path = self.directory / "pin"
        path.unlink(missing_ok=True)
        path.write_text(pin + "\n")
        path.chmod(0o400)

    def write_config(self, tokens=None, **settings):
        """`section__key=value` sets one value; `tokens` is a list of tokens in place of section `token`."""
        sections = {
            "skms": {"id": "skms-test", "uri": self.url},
            "token": {"label": "skms", "pin_file": "pin"},
            "store": {"path": "skms.db"},
            "listen": {"port": self.port, "certificate": "server.pem", "private_key": "server.key", "client_ca": "ca.pem"},
            "listen_ue": {"port": self.ue_port, "uri": self.ue_url, "certificate": "server.pem", "private_key": "server.key",
                          "client_ca": "ca.pem"},
            "admin": {"socket": "admin.sock"},
        }
        for key, value in {**self.settings, **settings}.items():
            section, _, member = key.partition("__")
            sections.setdefault(section, {})[member] = value
        text = ""
        if tokens:
            del sections["token"]
            text = "tokens:\n" + "".join("  - " + json.dumps(token) + "\n" for token in tokens)
        for section, members in sections.items():
            text += f"{section}:\n" + "".join(f"  {k}: {v}\n" for k, v in members.items())
        self.config.write_text(text)

    def initialise(self):
        self.make_token()
        self.make_pki()
        self.write_pin()
        self.write_config()
        self.ctl("init")
        return self

    def prepare(self):
        """As after `initialise`, of keys that the other appliances of this run have too: making RSA keys takes seconds."""
        model = initialised()
        shutil.copytree(model.directory, self.directory, dirs_exist_ok=True)
        self.ca = copy.copy(model.ca)
        self.ca.directory = self.directory
        self.ca.path = self.directory / model.ca.path.name
        self.issuer = copy.copy(model.issuer)
        self.issuer.jwks_path = self.directory / model.issuer.jwks_path.name
        self.write_token_config()
        self.write_config()
        return self

    def provision(self):
        """Issuer, two principals, and services: 's' for val-1, 't' for val-2."""
        self.ctl("issuer", "add", "sim-s", "--issuer", "https://sim-s.test", "--audience", "skms", "--jwks", self.issuer.jwks_path,
                 "--services-claim", "val_service_ids", "--user-claim", "val_user_id", "--ue-claim", "val_ue_id",
                 "--client-claim", "val_client_id")
        for principal in ("val-1", "val-2"):
            self.ctl("principal", "add", principal, "--certificate", self.directory / f"{principal}.pem")
        self.ctl("service", "add", "s", "--scope", "service,user,ue", "--reader", "val-1")
        self.ctl("service", "add", "t", "--reader", "val-2")
        return self

    # -- processes ------------------------------------------------------------------------------------------------

    def start(self):
        with open(self.log, "ab") as log:
            self.process = self.spawn(log)
        wait_for(lambda: self.process.poll() is not None or self.answers(), "skmsd")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def spawn(self, log):
        return subprocess.Popen([BIN / "skmsd", "--config", self.config], env=self.recorded(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def recorded(self):
        """The environment in which all that skmsd answers is written down, to be judged when the test ends."""
        return {
            **self.environment, "LD_PRELOAD": str(RECORDER), "SKMS_RECORDING": str(new_recording().path),
            "ASAN_OPTIONS": self.environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }

    def answers(self):
        return self.try_ctl("status").returncode == 0

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process is None:
            return None
        self.process.terminate()
        code = self.process.wait(DEADLINE)
        self.process = None
        return code

    def run_skmsd(self, *arguments):
        """skmsd that is expected to end by itself."""
        return subprocess.run(
            [BIN / "skmsd", "--config", self.config, *arguments],
            env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE,
        )

    def try_ctl(self, *arguments):
        command = [BIN / "skmsctl", "--config", self.config, *map(str, arguments)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE)

    def ctl(self, *arguments):
        done = self.try_ctl(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def ctl_json(self, *arguments):
        return json.loads(self.ctl(*arguments, "--output", "json"))

    def skmc(self, *arguments, who="val-1", token=None):
        (self.directory / "token").write_text(token or self.issuer.token(client_id=who))
        (self.directory / "token").chmod(0o600)
        command = [
            BIN / "skmc", "get", "--url", self.url, "--ca", self.directory / "ca.pem",
            "--cert", self.directory / f"{who}.pem", "--key", self.directory / f"{who}.key",
            "--token-file", self.directory / "token", *map(str, arguments),
        ]
        return subprocess.run(command, capture_output=True, timeout=DEADLINE)

    def ask_admin(self, path):
        """JSON of one GET on the admin socket."""
        done = subprocess.run(["curl", "--silent", "--fail", "--unix-socket", self.directory / "admin.sock", "http://localhost" + path],
                              capture_output=True, check=True, timeout=DEADLINE)
        return json.loads(done.stdout)

    # -- requests -------------------------------------------------------------------------------------------------

    def curl(self, target, *arguments, who="val-1", token="default", headers=(), url=None):
        """One request with curl over mutual TLS. `token` None: without Authorization."""
        if token == "default":
            token = self.issuer.token(client_id=who)
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "30", "--cacert", self.directory / "ca.pem"]
        if who is not None:
            command += ["--cert", self.directory / f"{who}.pem", "--key", self.directory / f"{who}.key"]
        lines = list(headers) + ([f"Authorization: Bearer {token}"] if token is not None else [])
        if lines:
            command += ["-H", "@-"]  # on its standard input: not in argv, and not in a file that a second request would write over
        done = subprocess.run([*map(str, command), *map(str, arguments), (url or self.url) + target], capture_output=True, timeout=DEADLINE,
                              input="".join(f"{line}\n" for line in lines).encode())
        if done.returncode != 0:
            return Answer(0, {"curl": str(done.returncode)}, done.stderr.decode())
        head, _, body = done.stdout.decode().partition("\r\n\r\n")
        passed = ("100", "307", "308") if "--location-trusted" in arguments else ("100",)
        while head.split(" ", 2)[1] in passed and body.startswith("HTTP/"):
            head, _, body = body.partition("\r\n\r\n")
        status_line, *fields = head.split("\r\n")
        return Answer(int(status_line.split()[1]), {f.split(":", 1)[0].lower(): f.split(":", 1)[1].strip() for f in fields}, body)

    def get(self, query="val-service-id=s", **options):
        return self.curl("/ss-kir/v1/key-records" + (f"?{query}" if query is not None else ""), **options)

    def key(self, query="val-service-id=s", **options):
        """The first key of the answer's keyInfo."""
        answer = self.get(query, **options)
        assert answer.status == 200, answer.body
        return json.loads(answer.json["keyInfo"])["keys"][0]


@functools.cache
def initialised():
    """The appliance that `prepare` copies; its directory goes with the interpreter."""
    kept = tempfile.TemporaryDirectory(prefix="skms-e2e-")
    model = Appliance(pathlib.Path(kept.name)).initialise()
    model.kept = kept
    return model


@contextlib.contextmanager
def running(directory, before=None, **settings):
    """`before` does what is to be done with it before it starts."""
    appliance = Appliance(directory, **settings).prepare()
    if before is not None:
        before(appliance)
    try:
        yield appliance.start().provision()
        # Also where a sanitizer speaks: it reports at the end, by its exit code.
        assert appliance.stop() in (0, None), appliance.log.read_text()[-4000:]
    finally:
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait(DEADLINE)
