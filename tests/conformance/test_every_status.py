"""Every status that an OpenAPI file of ours, or 3GPP's of the same API, documents is met, with each of its operations.

`met` asks all of it; each documented (file, operation, status) is then looked up in what the daemons' recordings hold.
Whether an answer is right in itself is judged as everywhere.
"""

import base64
import contextlib
import itertools
import json
import re
import sqlite3
import threading
import time

import pytest

from appliance import Appliance, free_port, running, wait_for
from judge import OFFICIAL, OFFICIAL_FILES, OURS, Document, document_for
from people import GROUP, OTHER_USERS, People, open_directory
from recording import Recording, recordings
from several_tokens import ended
from test_issuer_keys import site_of
from test_locked import locked, unlock

METHODS = ("get", "put", "post", "delete", "patch")
WIDE = {f"limits__{name}": "100000" for name in ("requests_per_second", "burst", "refused_per_second", "refused_burst")}
POLICY = ("--scope", "service,user,group", "--reader", "val-1", "--provisioner", "val-1", "--group-server", "gms", "--ue-issuer", "sim-s",
          "--delivery", "tls")


def documented(document):
    return {(document.path.name, method.upper(), path, int(status)) for path, item in document.root["paths"].items()
            for method in METHODS if method in item for status in item[method]["responses"] if status != "default"}


DOCUMENTS = [Document(path) for path in sorted(OURS.glob("*.yaml"))]
STANDARD = {api: Document(OFFICIAL / name) for api, name in OFFICIAL_FILES.items() if (OFFICIAL / name).is_file()}
EVERY = sorted(set().union(*map(documented, [*DOCUMENTS, *STANDARD.values()])))


def met_by(exchange):
    """What of EVERY an exchange shows. 405 and 501 stand with the operations of the path whose method was wrong."""
    if exchange.method is None:
        return
    path = exchange.target.partition("?")[0]
    candidates = [document_for(path)]
    parts = path.split("/")
    if parts[1] in STANDARD:
        candidates.append((STANDARD[parts[1]], "/" + "/".join(parts[3:])))
    for document, rest in candidates:
        if document is None:
            continue
        templates = sorted(document.root["paths"], key=lambda t: t.count("{"))
        template = next((t for t in templates if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(t)), rest)), None)
        methods = [exchange.method] if exchange.status not in (405, 501) else [m.upper() for m in METHODS]
        yield from ((document.path.name, method, template, exchange.status) for method in methods)


class Operations:
    """The operations of KM-S, KM-UU and key provisioning, each as one good request that can be bent."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.numbers = itertools.count()
        self.names = {"retrieve": self.retrieve, "key-request": self.key_request, "kp": self.kp, "kpp": self.kpp}

    def post(self, path, body, *arguments, url=None, who="val-1", claims=None, headers=("Content-Type: application/json",), **options):
        a = self.appliance
        content = a.directory / f"every-{next(self.numbers)}"  # its own: some are asked at the same time
        content.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        options.setdefault("token", a.issuer.token(**{"scope": "openid ss-kpp skm", "SKeyProv": True, "val_user_id": "alice",
                                                      "val_service_ids": ["every", "moved"], **(claims or {})}))
        return a.curl(path, *(arguments or ("--data-binary", f"@{content}")), url=url, who=who, headers=list(headers), **options)

    def retrieve(self, *arguments, service="every", query="", headers=(), **options):
        claims = options.pop("claims", None)
        if claims:
            options["token"] = self.appliance.issuer.token(**claims)
        options.pop("body", None)
        path = f"/ss-kir/v1/key-records?val-service-id={service}{query}"
        return self.appliance.curl(path, *arguments, headers=list(headers), **options)

    def kpp(self, *arguments, service="every", query="", body=None, **options):
        message = {"skmcUri": "https://val-1.test", "valServiceId": service, "payloadId": "p", "payload": base64.b64encode(b"p").decode()}
        return self.post("/ss-kpp/v1/request" + query, message if body is None else body, *arguments, **options)

    def kp(self, *arguments, service="every", query="", body=None, **options):
        message = {"version": "1.0.0", "skmsUri": self.appliance.url, "serviceId": service, "sValClientUri": "https://val-1.test",
                   "dateTime": int(time.time()), "payloadId": "p", "payload": base64.b64encode(b"p").decode()}
        return self.post("/skm/v1/key-provisioning" + query, message if body is None else body, *arguments, **options)

    def key_request(self, *arguments, service="every", query="", body=None, **options):
        message = {"version": "1.0.0", "skmsUri": self.appliance.ue_url, "serviceId": service, "userId": "alice", "dateTime": int(time.time())}
        options.setdefault("who", None)
        return self.post("/skm/v1/key-request" + query, message if body is None else body, *arguments, url=self.appliance.ue_url, **options)

    def all(self, status, *arguments, but=(), **options):
        for name, operation in self.names.items():
            if name in but:
                continue
            answer = operation(*arguments, **options)
            assert answer.status == status, (name, status, answer.status, answer.body)


def add_every(appliance):
    appliance.ca.issue("gms")
    appliance.ctl("principal", "add", "gms", "--certificate", appliance.directory / "gms.pem", "--role", "group-server")
    appliance.ctl("service", "add", "every", *POLICY)
    return Operations(appliance)


def ask_key_apis(appliance):
    operations = add_every(appliance)
    appliance.ctl("service", "add", "moved", *POLICY, "--home", "https://other.test", "--home-ue", "https://other.test")
    json_type = "Content-Type: application/json"
    operations.all(200)
    tag = operations.retrieve().headers["etag"]
    assert operations.retrieve(headers=[f"If-None-Match: {tag}"]).status == 304
    operations.all(307, service="moved")
    appliance.ctl("service", "set", "moved", "--home-permanent", "yes")
    operations.all(308, service="moved")
    operations.all(400, body=b"{", but=["retrieve"])
    assert operations.retrieve(query="&valUserId=a&valUeId=b").status == 400
    operations.all(401, token=None)
    operations.all(403, claims={"client_id": "val-2", "scope": "ss-kir ss-kpp"})
    operations.all(404, service="nowhere")
    operations.all(405, "--request", "DELETE")
    operations.all(406, headers=[json_type, "Accept: text/html"])
    operations.all(411, "--data-binary", "x", "--request", "POST", headers=[json_type, "Transfer-Encoding: chunked"], but=["retrieve"])
    assert operations.retrieve("--request", "GET", "--data-binary", "x", headers=["Transfer-Encoding: chunked"]).status == 411
    operations.all(413, body=b" " * 300000, but=["retrieve"])
    operations.all(414, query="&x=" + "y" * 9000, but=["key-request", "kp", "kpp"])
    operations.all(414, query="?x=" + "y" * 9000, but=["retrieve"])
    operations.all(415, headers=["Content-Type: text/plain"], but=["retrieve"])
    operations.all(431, headers=[json_type, "X-Long: " + "y" * 30000])
    operations.all(501, "--request", "BREW")


def ask_when_the_audit_chain_cannot_grow(appliance):
    """Neither given nor taken without being recorded."""
    operations = Operations(appliance)
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db", timeout=30)) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no room'); END")
        try:
            operations.all(500)
        finally:
            database.execute("DROP TRIGGER full")
    operations.all(200)


def ask_too_often(directory):
    with running(directory, limits__requests_per_second="0.01", limits__burst="1") as appliance:
        operations = add_every(appliance)
        for name in operations.names.values():
            name()
        operations.all(429)


def taken(operation):
    """Its answer once there was room for it: the question whether the house is full takes a place too."""
    answers = []
    wait_for(lambda: answers.append(operation()) or answers[-1].status != 503, "room")
    return answers[-1]


def ask_too_much_at_once(directory):
    with running(directory, limits__concurrent_requests="1", limits__waiting_requests="0", limits__max_wait_ms="0") as appliance:
        operations = add_every(appliance)
        operations.all(200)
        answers = []
        with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db", timeout=30, isolation_level=None)) as database:
            # One request at each listener waits for the database; no other fits beside it.
            database.execute("BEGIN IMMEDIATE")
            threads = []
            for wait, url in ((operations.key_request, appliance.ue_url), (operations.retrieve, appliance.url)):
                threads.append(threading.Thread(target=lambda wait=wait: answers.append(taken(wait))))
                threads[-1].start()
                # This one writes nothing itself.
                wait_for(lambda url=url: appliance.curl("/.well-known/skms", url=url).status == 503, "a full house")
            operations.all(503)
            database.execute("ROLLBACK")
            for thread in threads:
                thread.join()
        assert [answer.status for answer in answers] == [200, 200]


def ask_seal_x1_events_and_discovery(appliance):
    def ask(method, path, body=None, headers=(), who="gms", scope="seal-x1"):
        arguments = ["--request", method]
        if body is not None:
            (appliance.directory / "x1").write_text(json.dumps(body))
            arguments += ["--data-binary", f"@{appliance.directory / 'x1'}"]
        return appliance.curl(path, *arguments, who=who, token=appliance.issuer.token(client_id=who, scope=scope),
                              headers=["Content-Type: application/json", *headers])

    group = "/seal-x1/v1/groups/g"
    document = {"valServiceIds": ["every"], "members": [{"valUserId": "alice"}]}
    made = ask("PUT", group, document)
    tag = ask("PUT", group, document, [f"If-Match: {made.headers['etag']}"]).headers["etag"]
    ask("GET", group)
    ask("GET", group, headers=[f"If-None-Match: {tag}"])
    ask("GET", group + "/key-records")
    rekeyed = ask("POST", group + "/rekey", {"reason": "drill"}, [f"If-Match: {tag}"])
    appliance.ctl("group", "list")
    appliance.ctl("group", "show", "g")
    appliance.ctl("group", "rekey", "g", "--reason", "drill")
    ask("DELETE", group, headers=[f"If-Match: {ask('GET', group).headers['etag']}"])
    ask("PUT", group + "2", document)
    appliance.ctl("group", "remove", "g2")
    assert rekeyed.status == 200, rekeyed.body

    events = "/skms-events/v1/subscriptions"
    destination = {"notificationDestination": f"https://localhost:{free_port()}/", "caCertificates": (appliance.directory / "ca.pem").read_text()}
    subscribed = [ask("POST", events, destination, who="val-1", scope="skms-events").headers["location"].rpartition("/")[2] for _ in range(2)]
    ask("GET", events, who="val-1", scope="skms-events")
    ask("GET", f"{events}/{subscribed[0]}", who="val-1", scope="skms-events")
    ask("DELETE", f"{events}/{subscribed[0]}", who="val-1", scope="skms-events")
    appliance.ctl("subscription", "list")
    appliance.ctl("subscription", "remove", subscribed[1])

    tag = appliance.curl("/.well-known/skms").headers["etag"]
    appliance.curl("/.well-known/skms", headers=[f"If-None-Match: {tag}"])


def ask_admin_api(appliance):
    ctl = appliance.ctl
    for path in ("/healthz", "/readyz", "/admin/v1/token"):
        appliance.ask_admin(path)
    ctl("audit", "archive", "--directory", appliance.directory, "--older-than", "0")
    for command in ("status", "audit verify", "audit key", "audit query", "audit export --file -", "token probe", "metrics", "page --to -", "service list", "principal list", "recipient list", "issuer list",
                    "payload list", "key list"):
        ctl(*command.split())
    ctl("backup", "create", "--file", appliance.directory / "backup")
    ctl("backup", "verify", "--file", appliance.directory / "backup")
    (appliance.directory / "so-pin").write_text("12345678\n")
    (appliance.directory / "so-pin").chmod(0o600)
    ctl("recipient", "trust", "--certificate", appliance.directory / "val-1.pem", "--so-pin-file", appliance.directory / "so-pin")
    ctl("service", "add", "gone")
    ctl("service", "show", "gone")
    ctl("service", "set", "gone", "--scope", "user")
    ctl("service", "remove", "gone")
    appliance.ca.issue("gone")
    ctl("principal", "add", "gone", "--certificate", appliance.directory / "gone.pem")
    (appliance.directory / "transport").write_bytes(bytes(range(32)))
    (appliance.directory / "transport").chmod(0o600)
    ctl("recipient", "add", "gone", "--principal", "gone", "--transport-key", appliance.directory / "transport")
    ctl("recipient", "remove", "gone")
    ctl("principal", "remove", "gone")
    with site_of(appliance) as site:
        site.publish(appliance.issuer)
        ctl("issuer", "add", "gone", "--issuer", "https://gone.test", "--audience", "skms", "--jwks-uri", site.url,
            "--jwks-ca", appliance.directory / "ca.pem")
        ctl("issuer", "fetch", "gone")
        ctl("issuer", "remove", "gone")
    ctl("payload", "remove", appliance.ctl_json("payload", "list")["payloads"][0]["id"])
    kid = appliance.key("val-service-id=every")["kid"]
    ctl("key", "show", kid)
    ctl("key", "rotate", "--service", "every", "--dry-run")
    ctl("key", "rotate", "--service", "every")
    ctl("key", "compromise", kid, "--reason", "drill")
    # Rotation held, as after a leap of the clock that was there when the daemon ended.
    appliance.stop()
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db")) as database, database:
        database.execute("INSERT INTO meta (name, value) VALUES ('rotation_hold', ?)", (f"{int(time.time())} 99999 drill",))
    appliance.start()
    ctl("rotation", "resume")


def ask_about_token_keys(directory):
    """A second token joins; then the keys of both are changed, and the former ones ended."""
    appliance = Appliance(directory).prepare()
    appliance.make_token("b")
    appliance.write_config(tokens=[{"label": label, "pin_file": "pin"} for label in ("skms", "b")])
    with ended(appliance.start()):
        assert appliance.ctl("token", "prepare", "b")
        fingerprint = appliance.ctl_json("token", "join", "b")["fingerprint"]
        appliance.ctl("token", "join", "b", "--fingerprint", fingerprint)
        appliance.ctl("kek", "status", "--wait")
        appliance.ctl("kek", "rotate", "--wait")
        appliance.ctl("kek", "retire", "--yes")


def ask_for_approval():
    """What others must approve, asked for; a second person approves, refuses, and the first one goes on."""
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        (directory / "so-pin").write_text("12345678\n")
        (directory / "so-pin").chmod(0o600)
        appliance.ctl("token", "make-strict-kek", "--so-pin-file", directory / "so-pin")
        appliance.ctl("service", "add", "strict", "--recipients", "trusted")
        appliance.stop()
        appliance.write_config(approvals__required="[destroy, restore, kek, strict-recipient, audit-key]")
        appliance.start()
        appliance.ctl("service", "add", "every", *POLICY[:4], "--provisioner", "val-1")
        people = People(appliance)
        operations = Operations(appliance)
        assert operations.kpp().status == 200
        asked = [people.asked("admin", "payload", "remove", people.appliance.ctl_json("payload", "list")["payloads"][0]["id"])]
        asked.append(people.asked("admin", "service", "set", "s", "--versions-kept", "3"))
        asked.append(people.asked("admin", "recipient", "add", "r", "--principal", "val-1", "--certificate", appliance.directory / "val-1.pem"))
        asked.append(people.asked("admin", "token", "refresh"))
        asked.append(people.asked("admin", "kek", "rotate"))
        asked.append(people.asked("admin", "kek", "retire", "--yes"))
        assert people.ask("admin", "POST", "/admin/v1/tokens/skms/join", {"fingerprint": "0" * 64})[0] == 202
        kid = appliance.key()["kid"]
        people.did("admin", "key", "deactivate", kid, "--reason", "drill")
        asked.append(people.asked("admin", "key", "destroy", kid, "--reason", "drill"))
        status, answer = people.ask("admin", "POST", "/admin/v1/backups/restorations", {"sha256": "0" * 64})
        assert status == 202
        people.did("admin", "approval", "list")
        people.approve("second", answer["approval"])
        assert people.ask("admin", "POST", "/admin/v1/backups/restorations", {"sha256": "0" * 64})[0] == 200
        people.did("second", "approval", "refuse", asked[0]["id"])
        people.did("admin", "approval", "withdraw", asked[1]["id"])


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    first = len(recordings)
    with running(tmp_path_factory.mktemp("every"), **WIDE) as appliance:
        ask_key_apis(appliance)
        ask_when_the_audit_chain_cannot_grow(appliance)
        ask_seal_x1_events_and_discovery(appliance)
        ask_admin_api(appliance)
    ask_too_often(tmp_path_factory.mktemp("often"))
    ask_too_much_at_once(tmp_path_factory.mktemp("much"))
    ask_about_token_keys(tmp_path_factory.mktemp("tokens"))
    if OTHER_USERS:
        ask_for_approval()
    with locked(tmp_path_factory.mktemp("locked")) as appliance:
        assert unlock(appliance).returncode == 0
    return {one for recording in recordings[first:] for exchange in Recording(recording.path).read() for one in met_by(exchange)}


@pytest.mark.parametrize("file,method,path,status", EVERY, ids=lambda part: str(part).removesuffix(".yaml"))
def test_it_is_met(met, file, method, path, status):
    if not OTHER_USERS and (status == 202 or "/approvals" in path or "/restorations" in path):
        pytest.skip("needs root and setpriv to be several persons")
    assert (file, method, path, status) in met
