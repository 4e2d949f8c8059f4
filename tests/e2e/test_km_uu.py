"""KM-UU over real TLS: a UE with a token gets its keys and nobody else's, wrapped to a key that is its own."""

import base64
import hashlib
import json
import os
import pwd
import sqlite3
import subprocess
import tempfile
import time

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from appliance import running

SCOPE = "openid skm"


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class UeKey:
    """An RSA key of a UE, its JWK and RFC 7638 thumbprint."""

    def __init__(self, bits=2048):
        self.private = rsa.generate_private_key(65537, bits)
        numbers = self.private.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        self.jwk = {"kty": "RSA", "n": b64(numbers.n.to_bytes(size, "big")), "e": "AQAB"}
        canonical = json.dumps({k: self.jwk[k] for k in sorted(self.jwk)}, separators=(",", ":"))
        self.thumbprint = b64(hashlib.sha256(canonical.encode()).digest())

    def open(self, wrapped):
        digest = {"RSA-OAEP": hashes.SHA1, "RSA-OAEP-256": hashes.SHA256}[wrapped["alg"]]()
        return self.private.decrypt(unb64(wrapped["encryptedKey"]), padding.OAEP(padding.MGF1(digest), digest, None))


@pytest.fixture(scope="module")
def ues(shared):
    """The shared appliance with services for UEs: 'u' wrapped, 'p' in plaintext."""
    shared.ctl("service", "add", "u", "--scope", "service,user,ue,client", "--reader", "val-1", "--ue-issuer", "sim-s")
    shared.ctl("service", "add", "p", "--scope", "service,user", "--delivery", "tls", "--ue-issuer", "sim-s", "--ue-service-level", "yes")
    return shared


@pytest.fixture(scope="module")
def key():
    return UeKey()


def token(appliance, **changes):
    claims = {"client_id": "sim-c", "scope": SCOPE, "val_service_ids": ["u", "p", "s"], "val_user_id": "alice",
              "val_ue_id": "ue-1", "val_client_id": "app-1"}
    return appliance.issuer.token(**{**claims, **changes})


def body(appliance, **changes):
    request = {"version": "1.0.0", "skmsUri": appliance.ue_url, "serviceId": "u", "userId": "alice", "dateTime": int(time.time())}
    request.update(changes)
    return {k: v for k, v in request.items() if v is not None}


def ask(appliance, request, access=None, who=None, *arguments, content="application/json", **options):
    data = request if isinstance(request, str) else json.dumps(request)
    (appliance.directory / "request.json").write_text(data)
    return appliance.curl("/skm/v1/key-request", "--data-binary", f"@{appliance.directory / 'request.json'}", *arguments, who=who,
                          token=token(appliance) if access is None else (access or None), url=appliance.ue_url,
                          headers=[f"Content-Type: {content}", *options.pop("headers", [])], **options)


def refused(answer, status, code="04"):
    assert answer.status == status, (answer.status, answer.body)
    assert answer.problem["errorCode"] == code
    return answer.problem


def test_a_ue_gets_its_users_key_wrapped_to_the_key_that_its_token_is_bound_to(ues, key):
    request = body(ues, recipientKey=key.jwk)
    answer = ask(ues, request, token(ues, cnf={"jkt": key.thumbprint}))
    assert answer.status == 200, answer.body
    assert answer.json["skmsUri"] == ues.ue_url and answer.json["skmsId"] == "skms-test"
    assert answer.json["serviceId"] == "u" and answer.json["userId"] == "alice" and "deviceId" not in answer.json
    assert abs(answer.json["dateTime"] - time.time()) < 5
    [delivered] = answer.json["payload"]["keys"]
    assert delivered["scope"] == "user" and delivered["target"] == "alice"
    assert delivered["wrapped"]["recipient"] == "jkt:" + key.thumbprint
    secret = key.open(delivered["wrapped"])
    assert len(secret) == 32
    # The VAL server's KM-S has the same key.
    assert ues.key("val-service-id=u&valUserId=alice")["kid"] == delivered["kid"]


@pytest.mark.parametrize("member,own,other", [("userId", "alice", "bob"), ("deviceId", "ue-1", "ue-2"), ("clientId", "app-1", "app-2")])
def test_only_the_identity_in_the_token_is_served(ues, key, member, own, other):
    bound = token(ues, cnf={"jkt": key.thumbprint})
    mine = ask(ues, body(ues, **{"userId": None, member: own}, recipientKey=key.jwk), bound)
    assert mine.status == 200 and mine.json[member] == own
    problem = refused(ask(ues, body(ues, **{"userId": None, member: other}, recipientKey=key.jwk), bound), 403)
    assert problem[member] == other and problem["serviceId"] == "u" and problem["skmsUri"] == ues.ue_url


def test_a_token_without_the_identity_gives_none(ues):
    assert refused(ask(ues, body(ues), token(ues, val_user_id=None)), 403)
    refused(ask(ues, body(ues, userId=None, deviceId="ue-1"), token(ues, val_ue_id=None)), 403)


def test_the_services_own_key_only_where_policy_says_so(ues):
    refused(ask(ues, body(ues, userId=None)), 403)
    answer = ask(ues, body(ues, userId=None, serviceId="p"))
    assert answer.status == 200 and answer.json["payload"]["keys"][0]["scope"] == "service"


def test_in_plaintext_only_where_policy_says_so(ues):
    answer = ask(ues, body(ues, serviceId="p"))
    assert answer.status == 200 and len(unb64(answer.json["payload"]["keys"][0]["k"])) == 32
    assert answer.headers["cache-control"] == "no-store"
    refused(ask(ues, body(ues)), 403)  # no recipient at all


def test_a_stolen_bound_token_gives_no_plaintext_and_no_key_of_the_thief(ues, key):
    bound = token(ues, cnf={"jkt": key.thumbprint})
    thief = UeKey()
    refused(ask(ues, body(ues, recipientKey=thief.jwk), bound), 403)
    refused(ask(ues, body(ues, serviceId="p"), bound), 403)
    answer = ask(ues, body(ues, serviceId="p", recipientKey=key.jwk), bound)
    assert answer.status == 200 and "k" not in answer.json["payload"]["keys"][0]
    # A token that is bound to nothing gives no say in where keys go.
    refused(ask(ues, body(ues, recipientKey=thief.jwk)), 403)


def test_an_enrolled_recipient_of_the_user_or_ue_is_wrapped_to(ues, key):
    pem = ues.directory / "alice.pub"
    pem.write_bytes(key.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    ues.ctl("recipient", "add", "alices", "--user", "alice", "--public-key", pem)
    try:
        answer = ask(ues, body(ues))
        assert answer.status == 200
        wrapped = answer.json["payload"]["keys"][0]["wrapped"]
        assert wrapped["recipient"] == "alices" and len(key.open(wrapped)) == 32
        assert "alice" in ues.ctl("recipient", "list")
    finally:
        ues.ctl("recipient", "remove", "alices")
    refused(ask(ues, body(ues)), 403)


def test_a_token_bound_to_a_certificate_needs_it_and_is_wrapped_to_it(ues):
    certificate = x509.load_pem_x509_certificate((ues.directory / "val-2.pem").read_bytes())
    bound = token(ues, cnf={"x5t#S256": b64(certificate.fingerprint(hashes.SHA256()))})
    refused(ask(ues, body(ues), bound), 401, "03")
    refused(ask(ues, body(ues), bound, who="val-1"), 401, "03")
    answer = ask(ues, body(ues), bound, who="val-2")
    assert answer.status == 200 and answer.json["payload"]["keys"][0]["wrapped"]["recipient"].startswith("spki-sha256:")


@pytest.mark.parametrize(
    "changes,status,param",
    [
        ({"version": "2.0.0"}, 400, "/version"),
        ({"version": None}, 400, "/version"),
        ({"skmsUri": "https://elsewhere.test"}, 400, "/skmsUri"),
        ({"serviceId": None}, 400, "/serviceId"),
        ({"serviceId": ""}, 400, "/serviceId"),
        ({"deviceId": "ue-1"}, 400, "/userId"),
        ({"dateTime": None}, 400, "/dateTime"),
        ({"dateTime": "now"}, 400, "/dateTime"),
        ({"dateTime": 1}, 403, "/dateTime"),
        ({"dateTime": 99999999999}, 403, "/dateTime"),
        ({"recipientKey": {"kty": "EC"}}, 400, "/recipientKey"),
    ],
)
def test_a_wrong_field_is_named(ues, changes, status, param):
    problem = refused(ask(ues, body(ues, **changes)), status)
    assert problem["invalidParams"][0]["param"] == param


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version":"1.0.0","version":"1.0.0"}', '"x"', "[" * 5000])
def test_what_is_no_json_object_is_400(ues, text):
    refused(ask(ues, text), 400)


def test_other_media_types_and_sizes(ues):
    assert ask(ues, body(ues), content="text/plain").status == 415
    assert ask(ues, body(ues, pad="x" * 70000)).status == 413


def test_credentials(ues):
    missing = ask(ues, body(ues), "")
    assert missing.status == 401
    refused(ask(ues, body(ues), token(ues, exp=1)), 401, "03")
    refused(ask(ues, body(ues), token(ues, scope="ss-kir")), 403)
    refused(ask(ues, body(ues), token(ues, val_service_ids=None)), 403)
    refused(ask(ues, body(ues), headers=["X-3GPP-Asserted-Identity: sip:alice@val"]), 403)
    # The plain secret of the verification key is no HMAC key.
    confused = jwt.encode(ues.issuer.claims(scope=SCOPE), "x" * 40, algorithm="HS256", headers={"kid": ues.issuer.kid})
    refused(ask(ues, body(ues), confused), 401, "03")


def test_services_that_are_not_for_this_ue_look_like_none(ues):
    unknown = refused(ask(ues, body(ues, serviceId="nowhere"), token(ues, val_service_ids=["nowhere"])), 404, "02")
    not_named = refused(ask(ues, body(ues), token(ues, val_service_ids=["p"])), 404, "02")
    not_for_ues = refused(ask(ues, body(ues, serviceId="s")), 404, "02")
    assert unknown["detail"] == not_named["detail"] == not_for_ues["detail"]


def test_only_what_a_ue_needs_is_there(ues):
    for path in ("/ss-kir/v1/key-records?val-service-id=s", "/seal-x1/v1/groups/g", "/admin/v1/status"):
        assert ues.curl(path, who=None, token=token(ues), url=ues.ue_url).status == 404
    assert ues.curl("/.well-known/skms", who=None, token=None, url=ues.ue_url).json["skmsUri"] == ues.ue_url
    [api] = [api for api in ues.curl("/.well-known/skms", token=None).json["apis"] if api["apiName"] == "skm"]
    assert api["uri"] == ues.ue_url + "/skm/v1" and api["referencePoint"] == "KM-UU"


def test_a_service_that_is_served_elsewhere_is_redirected(ues):
    ues.ctl("service", "add", "moved", "--reader", "val-1", "--ue-issuer", "sim-s", "--scope", "service,user", "--home", "https://other.test/x")
    names = token(ues, val_service_ids=["moved"])
    answer = ask(ues, body(ues, serviceId="moved"), names)
    assert answer.status == 307 and answer.headers["location"] == "https://other.test/x/skm/v1/key-request"
    ues.ctl("service", "set", "moved", "--home-permanent", "yes")
    answer = ues.get("val-service-id=moved")
    assert answer.status == 308
    assert answer.headers["location"] == "https://other.test/x/ss-kir/v1/key-records?val-service-id=moved"
    refused(ask(ues, body(ues, serviceId="moved", userId="bob"), names), 403)
    assert ues.get("val-service-id=moved", who="val-2").status == 404
    ues.ctl("service", "set", "moved", "--home", "here")
    assert ues.get("val-service-id=moved").status == 200


def test_no_identity_of_a_ue_is_in_the_log(ues, key):
    ask(ues, body(ues, recipientKey=key.jwk), token(ues, cnf={"jkt": key.thumbprint}))
    log = ues.log.read_text()
    assert "alice" not in log and "ue-1" not in log and "app-1" not in log


def test_a_repeated_request_is_refused_where_that_is_asked_for(tmp_path, key):
    with running(tmp_path, access_token__refuse_replays="true") as appliance:
        appliance.ctl("service", "add", "u", "--scope", "service,user", "--ue-issuer", "sim-s")
        access = token(appliance, cnf={"jkt": key.thumbprint})
        request = body(appliance, recipientKey=key.jwk)
        assert ask(appliance, request, access).status == 200
        refused(ask(appliance, request, access), 403)
        assert ask(appliance, {**request, "dateTime": request["dateTime"] + 1}, access).status == 200


def test_anonymous_requests_cannot_fill_the_audit_chain(tmp_path):
    with running(tmp_path, limits__refused_per_second="0.01", limits__refused_burst="3") as appliance:
        appliance.ctl("service", "add", "p", "--scope", "user", "--delivery", "tls", "--ue-issuer", "sim-s")
        before = appliance.ask_admin("/admin/v1/status")["audit"]["entries"]
        assert [ask(appliance, body(appliance), "").status for _ in range(6)] == [401] * 3 + [429] * 3
        assert appliance.ask_admin("/admin/v1/status")["audit"]["entries"] == before + 3
        assert ask(appliance, body(appliance, serviceId="p")).status == 200


PROXYS_USER = "sip:alice@val.test"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """An appliance with a trusted socket for processes of ours; 'a' takes part, 'b' does not."""
    directory = tmp_path_factory.mktemp("proxied")
    settings = {"listen_ue__trusted_socket": "ue.sock", "listen_ue__trusted_user": pwd.getpwuid(os.getuid()).pw_name}
    with running(directory, **settings) as appliance:
        for service, issuers in (("a", "asserted-identity"), ("b", "sim-s")):
            appliance.ctl("service", "add", service, "--scope", "service,user", "--delivery", "tls", "--ue-issuer", issuers)
        yield appliance


def through_proxy(appliance, request, *fields, access=None, **options):
    """As the reverse proxy passes a UE's request on: HTTP on the unix socket, with the host that the UE named."""
    (appliance.directory / "request.json").write_text(json.dumps(request))
    return appliance.curl("/skm/v1/key-request", "--data-binary", f"@{appliance.directory / 'request.json'}", "--unix-socket",
                          appliance.directory / "ue.sock", who=None, token=access, url=f"http://localhost:{appliance.ue_port}",
                          headers=["Content-Type: application/json", *fields], **options)


def test_a_proxy_asserts_a_user_on_the_trusted_socket_alone(proxied):
    field = f'X-3GPP-Asserted-Identity: "{PROXYS_USER}"'
    mine = body(proxied, serviceId="a", userId=PROXYS_USER)
    answer = through_proxy(proxied, mine, field)
    assert answer.status == 200 and answer.json["userId"] == answer.json["userUri"] == PROXYS_USER, answer.body
    assert len(unb64(answer.json["payload"]["keys"][0]["k"])) == 32
    refused(through_proxy(proxied, body(proxied, serviceId="a", userId="sip:bob@val.test"), field), 403)
    refused(through_proxy(proxied, body(proxied, serviceId="b", userId=PROXYS_USER), field), 404, "02")
    refused(through_proxy(proxied, mine, "X-3GPP-Asserted-Identity: alice"), 403)
    refused(through_proxy(proxied, mine), 401, "03")
    # The same from the network.
    refused(ask(proxied, mine, "", headers=[field]), 403)
    # With a token, the token is what counts: its user is another.
    token_of_alice = token(proxied, val_service_ids=["a", "b"])
    refused(through_proxy(proxied, mine, field, access=token_of_alice), 404, "02")
    assert through_proxy(proxied, body(proxied, serviceId="b", userId="alice"), field, access=token_of_alice).status == 200


def test_an_asserted_user_is_not_in_the_log(proxied):
    assert "val.test" not in proxied.log.read_text()
    database = sqlite3.connect(f"file:{proxied.directory / 'skms.db'}?mode=ro", uri=True)
    rows = database.execute("SELECT * FROM audit").fetchall()
    database.close()
    assert rows and not any("val.test" in str(row) for row in rows)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_no_other_users_process_is_listened_to(proxied):
    path = proxied.directory / "ue.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    # Even if the file's mode let him: he is closed before a word.
    path.chmod(0o666)
    for parent in path.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith(tempfile.gettempdir() + "/"):
            parent.chmod(0o755)
    script = """if True:
        import socket, sys
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(sys.argv[1])
        try:
            peer.sendall(b"GET /.well-known/skms HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
            answer = peer.recv(12)
        except OSError:
            answer = b""
        print("connected", answer.decode())
    """
    command = ["/usr/bin/python3", "-c", script, str(path)]
    other = subprocess.run(command, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=60)
    ours = subprocess.run(command, capture_output=True, text=True, timeout=60)
    path.chmod(0o600)
    assert other.stdout == "connected \n", other
    assert ours.stdout.startswith("connected HTTP/1.1 "), ours
