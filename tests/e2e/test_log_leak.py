"""A whole life of a server, with everything that it, the edge and the tools say and show: no secret and nobody's identity is in it.

Looked at are standard output and error of each program, the log with each line, and argv and environment of each process while it runs. What is
looked for are PINs, access tokens, keys, payloads, users and UEs, in the forms in which a careless line would hold them.
"""

import array
import base64
import contextlib
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import socketserver
import sqlite3
import subprocess
import termios
import threading
import time
import urllib.parse

import pytest

from appliance import BIN, DEADLINE, PIN, Appliance, running, wait_for
from edge import HAPROXY, Edge, ending

USER = "leaky-user-7f3a@example.test"
UE = "leaky-ue-5d21"
PAYLOAD = b"leaky payload: 0123456789abcdef"


def as_logged(octets):
    """What the log makes of octets that somebody gave it as they are: text as it is, the rest escaped."""
    line = ""
    while octets:
        character = next((octets[:size].decode() for size in (1, 2, 3, 4) if is_text(octets[:size])), "")
        size = len(character.encode()) or 1
        line += character.replace("\\", "\\\\") or "".join(f"\\x{octet:02x}" for octet in octets[:size])
        octets = octets[size:]
    return line


def is_text(octets):
    """One character that the log lets through."""
    try:
        character = octets.decode()
    except UnicodeDecodeError:
        return False
    return len(character) == 1 and not (ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 or character in "\u2028\u2029")


def forms(secret):
    """How `secret` may stand in a text: itself, hex, percent-encoded, and base64 of it wherever in a longer text it begins."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found.update(urllib.parse.quote_from_bytes(secret, safe=safe).encode() for safe in ("", "/"))
    found.update((as_logged(secret).encode(), json.dumps(as_logged(secret), ensure_ascii=False)[1:-1].encode()))
    found.update(separator.join(f"{octet:02x}" for octet in secret).encode() for separator in (":", " "))
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Characters that hold bits of a neighbour are left out.
            found.add(encode(b"\0" * before + secret)[-(-before * 8 // 6):(before + len(secret)) * 8 // 6])
    return found


def leaks(seen, secrets):
    """(where, what) of each secret in the octets of `seen`, by name."""
    return sorted({(where, what) for what, secret in secrets.items() for form in forms(secret) for where, octets in seen.items() if form in octets})


class Witness:
    """Reads argv and environment of our programs all the time, and keeps what each of them said."""

    def __init__(self):
        self.seen = {}
        self.programs = {str(path.resolve()) for path in (BIN / "skmsd", BIN / "skmsctl", BIN / "skmc", pathlib.Path(HAPROXY))}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ending.wait(0.01):
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    program = os.readlink(process / "exe")
                    if program not in self.programs:
                        continue
                    for file in ("cmdline", "environ"):
                        # Of others' tests, too: theirs are not ours to judge.
                        key = f"{file} of {pathlib.Path(program).name} {process.name}"
                        if key not in self.seen:
                            self.seen[key] = (process / file).read_bytes()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def heard(self, name, done):
        self.seen[f"stdout of {name}"] = done.stdout if isinstance(done.stdout, bytes) else done.stdout.encode()
        self.seen[f"stderr of {name}"] = done.stderr if isinstance(done.stderr, bytes) else done.stderr.encode()
        return done


def of_this_server(seen, directory):
    """Without processes of other servers on this host."""
    return {name: octets for name, octets in seen.items()
            if not name.startswith(("cmdline", "environ")) or str(directory).encode() in seen.get(name.replace("environ of", "cmdline of"), b"")}


@contextlib.contextmanager
def started_locked(directory, witness):
    appliance = Edge(directory, token__attended="true", log__level="debug", log__format="json").prepare()
    text = appliance.config.read_text()
    appliance.config.write_text(text.replace("  pin_file: pin\n", ""))
    with ending(appliance):
        appliance.start()
        wrong = directory / "wrong-pin"
        wrong.write_text("wrong-pin-9183\n")
        wrong.chmod(0o400)
        assert witness.heard("unlock, wrong", appliance.try_ctl("unlock", "--pin-file", wrong)).returncode != 0
        assert witness.heard("unlock", appliance.try_ctl("unlock", "--pin-file", directory / "pin")).returncode == 0
        wait_for(appliance.answers, "the server after unlock")
        appliance.provision()
        appliance.ctl("service", "add", "open", "--scope", "service,user,ue", "--delivery", "tls", "--reader", "val-1", "--provisioner", "val-1",
                      "--ue-issuer", "sim-s")
        yield appliance.start_edge()


def live(appliance, witness):
    """Deliveries on both reference points and errors of all kinds; the secrets that went through."""
    tokens = {}

    def token(name, **claims):
        tokens[name] = appliance.issuer.token(**claims)
        return tokens[name]

    def of(kind, identity):
        return "val-service-id=open&val-tgt-ue=" + urllib.parse.quote(json.dumps({kind: identity}))

    keys = [json.loads(appliance.get(of(kind, identity), token=token(kind, client_id="val-1")).json["keyInfo"])["keys"][0]["k"]
            for kind, identity in (("valUserId", USER), ("valUeId", UE))]
    body = appliance.directory / "body"

    def post(path, message, name, url=None, who="val-1", **claims):
        body.write_text(message if isinstance(message, str) else json.dumps(message))
        return appliance.curl(path, "--data-binary", f"@{body}", url=url, who=who, token=token(name, **claims), headers=["Content-Type: application/json"])

    message = {"version": "1.0.0", "skmsUri": appliance.ue_url, "serviceId": "open", "userId": USER, "dateTime": int(time.time())}
    ue = {"client_id": "sim-c", "scope": "skm", "val_service_ids": ["open"], "val_user_id": USER}
    assert post("/skm/v1/key-request", message, "KM-UU", appliance.ue_url, None, **ue).status == 200
    provisioned = post("/ss-kpp/v1/request", {"skmcUri": "https://val-1.test", "valServiceId": "open", "payloadId": "p",
                                              "payload": base64.b64encode(PAYLOAD).decode()}, "provisioning", scope="ss-kpp", SKeyProv=True)
    assert provisioned.status == 200, provisioned.body
    # Errors of all kinds, with identities and tokens in every place.
    statuses = {
        appliance.get(of("valUserId", USER), token=tokens["valUserId"][:-6] + "AAAAAA").status,
        appliance.get(of("valUserId", USER), token=None).status,
        appliance.get(of("valUserId", USER), who="val-2", token=token("wrong client", client_id="val-1")).status,
        appliance.get("val-service-id=nowhere&" + of("valUserId", USER).partition("&")[2]).status,
        appliance.get("val-service-id=open&valUserId=" + USER + "&valUeId=" + UE).status,
        appliance.curl(f"/nowhere?user={USER}&token={tokens['valUserId']}").status,
        appliance.curl(f"/ss-kir/v1/key-records?val-service-id=open&x={USER}", "--request", "BREW").status,
        post("/skm/v1/key-request", {**message, "userId": "other"}, "KM-UU, another", appliance.ue_url, None, **ue).status,
        post("/skm/v1/key-request", {**message, "dateTime": 5, USER: UE}, "KM-UU, old", appliance.ue_url, None, **ue).status,
        post("/skm/v1/key-request", '{"userId": "' + USER + '", broken', "KM-UU, broken", appliance.ue_url, None, **ue).status,
        post("/skm/v1/key-request", {**message, "x": USER * 9000}, "KM-UU, large", appliance.ue_url, None, **ue).status,
    }
    assert statuses >= {400, 401, 403, 404} and not statuses & {0, 200}, statuses
    witness.heard("skmc", appliance.skmc("--service", "s"))
    for command in ("status", "doctor", "metrics", "token list", "token probe", "service list", "key list", "audit verify", "nonsense"):
        done = appliance.try_ctl(*command.split())
        # Lists are for the administrator who asks for them; what goes wrong is for logs.
        witness.heard(command, subprocess.CompletedProcess([], 0, "" if command == "key list" else done.stdout, done.stderr))
    # A database that fails, with identities in what it was asked.
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db", timeout=30)) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no room'); END")
        assert appliance.get(of("valUserId", USER + "2")).status == 500
        database.execute("DROP TRIGGER full")
    secrets = {f"token {name}": text.encode() for name, text in tokens.items()}
    secrets |= {f"signature of token {name}": text.rpartition(".")[2].encode() for name, text in tokens.items()}
    secrets |= {f"key {number}": base64.urlsafe_b64decode(k + "==") for number, k in enumerate(keys)}
    return {**secrets, "PIN": PIN.encode(), "wrong PIN": b"wrong-pin-9183", "user": USER.encode(), "UE": UE.encode(), "payload": PAYLOAD}


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    directory = tmp_path_factory.mktemp("leak")
    with Witness() as witness, started_locked(directory, witness) as appliance:
        secrets = live(appliance, witness)
        request_id = appliance.get(token=None).headers["x-request-id"]
        audited = appliance.ctl_json("audit", "query", "--request-id", request_id)["entries"]
    seen = of_this_server(witness.seen, directory)
    seen["log of skmsd"] = appliance.log.read_bytes()
    seen["log of HAProxy"] = appliance.edge_log.read_bytes()
    return appliance, seen, secrets, request_id, audited


def test_no_secret_and_nobody_is_in_what_the_programs_say_and_show(life):
    _, seen, secrets, *_ = life
    assert {name.split()[0] for name in seen} == {"stdout", "stderr", "cmdline", "environ", "log"}
    for program in ("skmsd", "haproxy", "skmsctl"):
        assert any(name.startswith(f"environ of {program}") for name in seen), program
    assert len(secrets) > 20 and len(seen["log of skmsd"]) > 1000 and len(seen["log of HAProxy"]) > 500
    assert leaks(seen, secrets) == []


@pytest.mark.parametrize("form", range(8))
def test_a_leak_that_is_planted_is_found(life, form):
    _, seen, secrets, *_ = life
    for what in ("PIN", "user", "key 0", "token KM-UU", "payload"):
        secret = secrets[what]
        planted = [secret, secret.hex().encode(), base64.b64encode(b"{" + secret + b"}"), base64.urlsafe_b64encode(b"ab" + secret),
                   urllib.parse.quote_from_bytes(secret).encode(), as_logged(secret).encode(), secret.hex(":").encode(),
                   json.dumps(as_logged(secret), ensure_ascii=False).encode()][form]
        assert ("log of skmsd", what) in leaks({**seen, "log of skmsd": seen["log of skmsd"] + b"x" + planted + b"y\n"}, secrets), (what, planted)


@contextlib.contextmanager
def cores_allowed():
    """To what is started meanwhile."""
    former = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (former[1], former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, former)


def crash(process):
    """With the signal of a broken pointer."""
    process.send_signal(signal.SIGSEGV)
    assert process.wait(DEADLINE) == -signal.SIGSEGV


def unread(pipe):
    """Octets in it that nobody has taken."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def cores_in(directory):
    return [path for path in directory.rglob("core*") if path.is_file()]


CORES = pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 or not pathlib.Path("/proc/sys/kernel/core_pattern").read_text().startswith("core"),
                           reason="needs a host that writes cores, into the working directory")


@contextlib.contextmanager
def silent_daemon(appliance):
    """What answers on the admin socket in its place: locked, and to whatever is sent nothing at all. Yields the list of that."""
    sent = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            line = self.rfile.readline()
            length = 0
            while (field := self.rfile.readline().strip().lower()):
                if field.startswith(b"content-length:"):
                    length = int(field.partition(b":")[2])
            if line.startswith(b"GET"):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 18\r\n\r\n{\"state\":\"locked\"}")
            else:
                sent.append(self.rfile.read(length))
                self.rfile.read()  # until the other end is gone

    with socketserver.ThreadingUnixStreamServer(str(appliance.directory / "admin.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield sent
        finally:
            server.shutdown()
            thread.join()


@CORES
def test_skmsctl_that_crashes_with_a_pin_leaves_no_core(tmp_path):
    appliance = Appliance(tmp_path).prepare()
    with silent_daemon(appliance) as sent, cores_allowed():
        process = subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, "unlock", "--pin-file", tmp_path / "pin"], cwd=tmp_path,
                                   env=appliance.environment, stdin=subprocess.DEVNULL)
        wait_for(lambda: sent, "the PIN on its way")
        crash(process)
    assert json.loads(sent[0])["pin"] == PIN and cores_in(tmp_path) == []


@CORES
@pytest.mark.parametrize("program, leaves_one", [("skmc", False), ("cat", True)])
def test_skmc_that_crashes_with_a_token_leaves_no_core(tmp_path, program, leaves_one):
    """`cat` shows that this host makes cores of programs that let it, and what one of ours would hold."""
    appliance = Appliance(tmp_path).prepare()
    command = [BIN / "skmc", "get", "--url", appliance.url, "--ca", tmp_path / "ca.pem", "--cert", tmp_path / "val-1.pem", "--key",
               tmp_path / "val-1.key", "--service", "s", "--token-file", "-"] if program == "skmc" else ["cat"]
    with cores_allowed():
        process = subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with process.stdin as secret:
        secret.write(b"core-secret-4410")
        secret.flush()
        wait_for(lambda: process.poll() is None and unread(secret) == 0, "the program with its secret")
        crash(process)
    assert [b"core-secret-4410" in core.read_bytes() for core in cores_in(tmp_path)] == ([True] if leaves_one else [])


@CORES
def test_the_server_that_crashes_leaves_no_core(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with cores_allowed(), running(tmp_path) as appliance:
        assert os.readlink(f"/proc/{appliance.process.pid}/cwd") == str(tmp_path)
        assert appliance.get("val-service-id=s&valUserId=u").status == 200
        process, appliance.process = appliance.process, None
        crash(process)
    assert cores_in(tmp_path) == []


def test_each_line_of_the_log_is_an_object_with_its_time_and_its_request(life):
    appliance, seen, *_ = life
    lines = [json.loads(line) for line in seen["log of skmsd"].splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert set(line) - {"requestId"} == {"time", "level", "program", "message"}, line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) and line["program"] == "skmsd"
        assert line["level"] in ("debug", "info", "warning", "error", "critical")
    failed = [line for line in lines if line["level"] == "error" and "requestId" in line]
    assert failed and all(re.fullmatch("[0-9a-f]{16}", line["requestId"]) for line in failed)


def test_a_request_has_one_id_at_the_edge_in_the_log_and_in_the_audit_chain(life):
    _, seen, _, request_id, audited = life
    assert request_id.encode() in seen["log of HAProxy"]
    assert len(audited) == 1 and audited[0]["requestId"] == request_id and audited[0]["outcome"] == "refused"
    [line] = [json.loads(line) for line in seen["log of skmsd"].splitlines() if b'"requestId"' in line and b'"level":"error"' in line][-1:]
    assert line["requestId"].encode() in seen["log of HAProxy"], "an error that the daemon logs is found at the edge"
