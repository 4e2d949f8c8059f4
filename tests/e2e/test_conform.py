"""skmc conform: nothing fails against our own server, and servers that are wrong are found out."""

import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import xml.etree.ElementTree

import pytest

from appliance import BIN, DEADLINE
from test_km_uu import UeKey
from pki import write_key


@pytest.fixture(scope="module")
def world(shared):
    """The appliance with service 'conf' and files for every option of the command."""
    shared.ca.issue("stranger")
    shared.ctl("service", "add", "conf", "--scope", "service,user,client", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s")
    key = UeKey()
    write_key(shared.directory / "bound.key", key.private)
    issue = shared.issuer.token
    tokens = {
        "token-file": issue(client_id="val-1", scope="ss-kir ss-kpp"),
        "unscoped-token-file": issue(client_id="val-1", scope="openid"),
        "expired-token-file": issue(client_id="val-1", exp=1000000000),
        "provisioning-token-file": issue(client_id="val-1", scope="ss-kir ss-kpp", SKeyProv=True),
        "ue-token-file": issue(client_id="sim-c", scope="skm", val_user_id="alice", val_service_ids=["conf"],
                               cnf={"jkt": key.thumbprint}),
    }
    for name, token in tokens.items():
        (shared.directory / name).write_text(token)
        (shared.directory / name).chmod(0o600)
    return shared


def needed(world, url=None):
    directory = world.directory
    return {"url": url or world.url, "ca": directory / "ca.pem", "cert": directory / "val-1.pem", "key": directory / "val-1.key",
            "token-file": directory / "token-file", "service": "conf"}


def everything(world, url=None, ue_url=None):
    directory = world.directory
    files = {name: directory / name for name in ("unscoped-token-file", "expired-token-file", "provisioning-token-file", "ue-token-file")}
    return needed(world, url) | files | {
        "user": "bob", "foreign-cert": directory / "stranger.pem", "foreign-key": directory / "stranger.key",
        "ue-url": ue_url or world.ue_url, "ue-user": "alice", "bound-key": directory / "bound.key",
    }


def conform(world, options, *more):
    """The finished command and its JSON report."""
    report = world.directory / "conform.json"
    report.unlink(missing_ok=True)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([BIN / "skmc", "conform", *words, "--json", report, *map(str, more)], capture_output=True, text=True, timeout=DEADLINE)
    return done, json.loads(report.read_text()) if report.exists() else None


def outcomes(report):
    return {case["name"]: case["outcome"] for case in report["cases"]}


def test_our_own_server_fails_no_case(world):
    junit = world.directory / "conform.xml"
    done, report = conform(world, everything(world), "--junit", junit)
    assert done.returncode == 0, done.stdout
    assert report["failed"] == 0 and report["skipped"] == 0 and report["passed"] >= 60
    assert done.stdout.splitlines()[-1] == f"{report['passed']} passed, 0 failed, 0 skipped"
    suite = xml.etree.ElementTree.parse(junit).getroot()
    assert suite.get("tests") == str(len(report["cases"])) and suite.get("failures") == "0"
    assert {case.get("classname") for case in suite} == {case["clause"] for case in report["cases"]}


def test_the_published_cases_have_names_of_their_own_and_clauses(world):
    listed = subprocess.run([BIN / "skmc", "conform", "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split()[0] for line in listed]
    assert len(names) >= 60 and len(set(names)) == len(names)
    for line in listed:
        clause = line.rpartition("[")[2]
        assert any(word in clause for word in ("TS ", "RFC ", "api/openapi/")), line


def test_what_is_not_given_is_told_as_skipped(world):
    done, report = conform(world, needed(world))
    assert done.returncode == 0, done.stdout
    by_name = outcomes(report)
    assert by_name["km-s.retrieve"] == "passed"
    for name in ("km-s.user", "security.expired", "security.scope", "security.foreign-certificate", "kpp.provision", "km-uu.request"):
        assert by_name[name] == "skipped", name
    reasons = {case["name"]: case.get("reason") for case in report["cases"]}
    assert reasons["km-uu.request"] == "needs --ue-url, --ue-token-file and --ue-user"


def test_a_part_can_be_tried_alone(world):
    _, report = conform(world, everything(world), "--only", "security.")
    assert report["cases"] and all(case["name"].startswith("security.") for case in report["cases"])
    done, _ = conform(world, everything(world), "--only", "nothing.")
    assert done.returncode == 2 and "--list" in done.stderr


def test_a_server_that_is_not_there_is_one_complaint(world):
    done, report = conform(world, needed(world, url="https://localhost:1"))
    assert done.returncode == 4 and report is None and "what" not in done.stdout


@contextlib.contextmanager
def stub(world, answer, oldest=ssl.TLSVersion.TLSv1_2):
    """A TLS server that gives `answer(method, path)` = (status, headers, body) to whoever comes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, body = answer(self.command, self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_BREW = serve

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = oldest
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(world.directory / "server.pem", world.directory / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


JSON = {"Content-Type": "application/json"}
# Right answers whatever is asked: true of each but not for these askers.
OPEN = json.dumps({"userUri": "urn:u", "valService": "conf", "keyInfo": "k", "skmsId": "x"}).encode()


def failed(report):
    return {name for name, outcome in outcomes(report).items() if outcome == "failed"}


def test_a_server_that_gives_everybody_everything_is_found_out(world):
    with stub(world, lambda *_: (200, JSON, OPEN), oldest=ssl.TLSVersion.TLSv1) as url:
        done, report = conform(world, everything(world, url, url))
    assert done.returncode == 1
    found = failed(report)
    every = {name for name in outcomes(report) if name.startswith("security.")}
    assert every <= found, every - found
    # What this server does right: it answers KM-S for the service itself.
    assert outcomes(report)["km-s.members"] == "passed"
    right = {name for name, outcome in outcomes(report).items() if outcome == "passed"}
    assert right <= {"km-s.retrieve", "km-s.members", "km-s.service-echoed", "km-s.user-uri", "km-s.key-info-not-empty",
                     "km-s.no-target-unasked", "http.accept-any", "http.head", "http.entity-tag-other", "http.timestamp-now",
                     "km-uu.unknown-member", "kpp.again", "kpp.unknown-member"}, right


@pytest.mark.parametrize("body,type_", [(b"<html>", "text/html"), (b"{}", "application/json"), (b"[]", "application/problem+json"),
                                        (b'{"status": 200}', "application/problem+json"), (b'{"title": 7}', "application/problem+json")])
def test_errors_that_are_no_problem_are_found_out(world, body, type_):
    with stub(world, lambda *_: (400, {"Content-Type": type_}, body)) as url:
        for name in ("km-s.target-both", "kpp.no-service", "km-uu.no-version"):
            _, report = conform(world, everything(world, url, url), "--only", name)
            assert outcomes(report) == {name: "failed"}


@pytest.mark.parametrize("changes,name", [
    ({"valService": "other"}, "km-s.service-echoed"), ({"extra": 1}, "km-s.members"), ({"keyInfo": None}, "km-s.members"),
    ({"userUri": "nobody"}, "km-s.user-uri"), ({"keyInfo": ""}, "km-s.key-info-not-empty"),
    ({"valTgtUe": {"valUserId": "x"}}, "km-s.no-target-unasked"),
])
def test_a_wrong_member_is_found_out(world, changes, name):
    body = json.dumps(json.loads(OPEN) | changes).encode()
    with stub(world, lambda *_: (200, JSON, body)) as url:
        _, report = conform(world, needed(world, url), "--only", name)
    assert outcomes(report) == {name: "failed"}


def test_a_case_that_cannot_be_judged_is_a_failure_and_the_report_is_there(world):
    weird = json.dumps({"skmsId": "x", "apis": [], "valService": 7, "valTgtUe": [], "keyInfo": {"a": [None]}, "userUri": "\uffff\x1b<&"}).encode()
    junit = world.directory / "weird.xml"
    with stub(world, lambda *_: (200, JSON, weird)) as url:
        done, report = conform(world, everything(world, url, url), "--junit", junit)
    assert done.returncode == 1 and report["failed"] > 60
    assert "\x1b" not in done.stdout
    xml.etree.ElementTree.parse(junit)


@pytest.mark.parametrize("token", ["aaaa.bbbb.cccc", "opaque", "a.b."])
def test_a_token_that_is_no_jws_leaves_cases_out(world, token):
    (world.directory / "odd-token").write_text(token)
    (world.directory / "odd-token").chmod(0o600)
    _, report = conform(world, needed(world) | {"token-file": world.directory / "odd-token"}, "--only", "security.claims-changed")
    assert outcomes(report) == {"security.claims-changed": "skipped"}


def test_without_key_provisioning_nothing_is_provisioned(world):
    _, report = conform(world, needed(world))
    assert all(outcome == "skipped" for name, outcome in outcomes(report).items() if name.startswith("kpp."))


def test_wrong_files_are_told_before_anything_is_asked(world):
    for changes in ({"foreign-cert": "/nonexistent", "foreign-key": "/nonexistent"}, {"token-file": "/nonexistent"}):
        done, report = conform(world, needed(world) | changes)
        assert done.returncode == 3 and report is None and "/nonexistent" in done.stderr
