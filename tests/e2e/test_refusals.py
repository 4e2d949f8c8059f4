"""Bad input over the real transport: a clear problem, and the next client is served as if nothing had been."""

import base64
import datetime
import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hostile import HOSTILE, Listener, answers, assert_no_handshake_for_wrong_certificates, status_of
from openapi import OURS, check

JSON_TARGET = "val-tgt-ue=%7B%22valUserId%22%3A%22a%22%7D"


@pytest.fixture(autouse=True)
def serves_the_next_client(shared):
    yield
    assert shared.get().status == 200
    assert shared.curl("/.well-known/skms", who=None, token=None, url=shared.ue_url).status == 200


def refused(answer, status, cause=None):
    assert answer.status == status, (answer.status, answer.body)
    problem = answer.problem
    check(OURS, "/components/schemas/ProblemDetails", problem)
    if cause:
        assert problem["cause"] == cause
    return problem


@pytest.mark.parametrize(
    "query,cause",
    [
        (None, "MANDATORY_QUERY_PARAM_MISSING"),
        ("", "MANDATORY_QUERY_PARAM_MISSING"),
        ("valUserId=a", "MANDATORY_QUERY_PARAM_MISSING"),
        ("val-service-id=", "MANDATORY_QUERY_PARAM_INCORRECT"),
        ("val-service-id=s&val-service-id=s", "MANDATORY_QUERY_PARAM_INCORRECT"),
        ("val-service-id=" + "a" * 300, "MANDATORY_QUERY_PARAM_INCORRECT"),
        ("val-service-id=%ff%fe", "MANDATORY_QUERY_PARAM_INCORRECT"),
        ("val-service-id=%0d%0aX-A:b", "MANDATORY_QUERY_PARAM_INCORRECT"),
        ("val-service-id=s&valUserId=a&valUeId=b", "OPTIONAL_QUERY_PARAM_INCORRECT"),
        (f"val-service-id=s&{JSON_TARGET}&valUserId=a", "OPTIONAL_QUERY_PARAM_INCORRECT"),
        ("val-service-id=s&val-tgt-ue=%7Bnot-json", "OPTIONAL_QUERY_PARAM_INCORRECT"),
        ("val-service-id=s&val-tgt-ue=%7B%22valUserId%22%3A%22a%22%2C%22valUeId%22%3A%22b%22%7D", "OPTIONAL_QUERY_PARAM_INCORRECT"),
        ("val-service-id=s&val-tgt-eu=x", "INVALID_QUERY_PARAM"),
    ],
)
def test_a_malformed_query_is_400_with_its_cause(shared, query, cause):
    problem = refused(shared.get(query), 400, cause)
    assert problem["errorCode"] == "04" and problem["invalidParams"]


def test_head_is_get_without_its_body_and_options_says_what_is_served(shared):
    got = shared.get()
    head = shared.curl("/ss-kir/v1/key-records?val-service-id=s", "--head")
    assert head.status == 200 and head.body == ""
    for field in ("content-type", "cache-control", "etag"):
        assert head.headers[field] == got.headers[field]
    assert shared.curl("/ss-kir/v1/key-records?val-service-id=nowhere", "--head").status == 404
    assert shared.curl("/ss-kir/v1/key-records?val-service-id=s", "--head", token=None).status == 401
    options = shared.curl("/ss-kir/v1/key-records", "--request", "OPTIONS", token=None)
    assert options.status == 204 and options.headers["allow"] == "GET, HEAD, OPTIONS" and options.body == ""
    assert shared.curl("/ss-kpp/v1/request", "--head").status == 405


def test_an_asserted_identity_is_not_taken_from_here(shared):
    for token in ("default", None):
        problem = refused(shared.get(token=token, headers=["X-3GPP-Asserted-Identity: sip:admin@val"]), 403)
        assert problem["errorCode"] == "04"


def test_unknown_and_foreign_services_are_404_and_look_alike(shared):
    unknown = refused(shared.get("val-service-id=nowhere"), 404)
    foreign = refused(shared.get("val-service-id=t"), 404)
    assert unknown["errorCode"] == "02"
    assert {k: v for k, v in unknown.items() if k != "instance"} == {k: v for k, v in foreign.items() if k != "instance"}


def test_a_scope_the_service_lacks_is_403(shared):
    refused(shared.get("val-service-id=t&valUserId=a", who="val-2"), 403)


def test_no_token_is_401_with_a_challenge(shared):
    answer = shared.get(token=None)
    problem = refused(answer, 401)
    assert problem["errorCode"] == "03"
    assert answer.headers["www-authenticate"] == 'Bearer realm="skms"'


def none_token(shared):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    return f"{part({'alg': 'none'})}.{part(shared.issuer.claims())}."


def confused_token(shared):
    """HS256 with the RSA public key as the secret."""
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    signed = f"{part({'alg': 'HS256', 'kid': 'key-1'})}.{part(shared.issuer.claims())}"
    mac = hmac.new(shared.issuer.public_pem(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


BAD_TOKENS = {
    "expired": lambda s: s.issuer.token(exp=int(datetime.datetime.now().timestamp()) - 60),
    "not yet valid": lambda s: s.issuer.token(nbf=int(datetime.datetime.now().timestamp()) + 600),
    "without exp": lambda s: s.issuer.token(exp=None),
    "exp beyond the year 9999": lambda s: s.issuer.token(exp=10**15),
    "wrong issuer": lambda s: s.issuer.token(iss="https://evil.test"),
    "wrong audience": lambda s: s.issuer.token(aud="other"),
    "wrong key": lambda s: s.issuer.token(key=rsa.generate_private_key(65537, 2048)),
    "wrong kid": lambda s: s.issuer.token(headers={"kid": "../../etc/passwd"}),
    "algorithm none": none_token,
    "HS256 with the public key": confused_token,
    "RS512": lambda s: s.issuer.token("RS512"),
    "critical header": lambda s: s.issuer.token(headers={"crit": ["b64"], "b64": True}),
    "truncated": lambda s: s.issuer.token()[:-20],
    "no token at all": lambda s: "garbage",
    "without client_id": lambda s: s.issuer.token(client_id=None),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_401_invalid_token(shared, kind):
    answer = shared.get(token=BAD_TOKENS[kind](shared))
    refused(answer, 401)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_without_the_scope_is_403_and_names_it(shared):
    answer = shared.get(token=shared.issuer.token(scope="openid ss-kirk"))
    refused(answer, 403)
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_stolen_token_with_another_principals_certificate_is_403(shared):
    refused(shared.get(who="val-2", token=shared.issuer.token(client_id="val-1")), 403)


def test_a_certificate_nobody_enrolled_is_403(shared):
    shared.ca.issue("stranger")
    refused(shared.get(who="stranger", token=shared.issuer.token(client_id="stranger")), 403)


def test_without_a_certificate_there_is_no_connection(shared):
    assert shared.get(who=None).status == 0


def test_a_certificate_of_a_foreign_ca_or_an_expired_one_is_refused_in_the_handshake(shared):
    assert_no_handshake_for_wrong_certificates(shared)


def test_tls_1_1_is_refused_and_1_2_served(shared):
    assert shared.curl("/ss-kir/v1/key-records?val-service-id=s", "--tlsv1.2", "--tls-max", "1.2").status == 200
    old = shared.curl("/x", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
    assert old.status == 0


def test_methods_and_paths(shared):
    answer = shared.curl("/ss-kir/v1/key-records", "-X", "DELETE")
    refused(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    refused(shared.curl("/ss-kir/v1/key-records", "-X", "BREW"), 501)
    refused(shared.curl("/ss-kir/v1/nothing"), 404, "RESOURCE_URI_STRUCTURE_NOT_FOUND")
    refused(shared.curl("/ss-kir/v1/key-records/"), 404)
    refused(shared.curl("/admin/v1/status"), 404)


def test_an_answer_nobody_accepts_is_406(shared):
    refused(shared.get(headers=["Accept: text/html"]), 406)
    assert shared.get(headers=["Accept: text/html, application/json;q=0.1"]).status == 200
    refused(shared.get(headers=["Accept: application/json;q=0"]), 406)


def test_another_servers_name_is_refused(shared):
    refused(shared.get(headers=["Host: other.test"]), 400)


def test_long_queries_and_headers(shared):
    refused(shared.get("val-service-id=" + "a" * 65536), 414)
    refused(shared.get(headers=["X-Long: " + "a" * 65536]), 431)
    refused(shared.get(token="a" * 12000), 431)
    refused(shared.get(token="a" * 7000), 401)


@pytest.fixture(params=["KM-S", "KM-UU"])
def listener(shared, request):
    if request.param == "KM-S":
        return Listener(shared.directory, shared.port, b"/ss-kir/v1/key-records?val-service-id=s", "val-1")
    return Listener(shared.directory, shared.ue_port, b"/skm/v1/key-request")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_framing_is_refused_and_the_connection_closed(listener, kind):
    make, status = HOSTILE[kind]
    answer = listener.raw(make(listener))
    assert status_of(answer) == status, answer[:300]
    [(_, _, body)] = answers(answer)
    check(OURS, "/components/schemas/ProblemDetails", json.loads(body))


@pytest.mark.parametrize("listener", ["KM-S"], indirect=True)
def test_pipelined_requests_are_each_answered(shared, listener):
    token = f"Authorization: Bearer {shared.issuer.token()}\r\n".encode()
    last = listener.request(token + b"Connection: close\r\n")
    answer = listener.raw(listener.request(token) + listener.request(token) + last)
    assert [status for status, *_ in answers(answer)] == [200, 200, 200]


@pytest.mark.parametrize("listener", ["KM-UU"], indirect=True)
def test_pipelined_requests_with_bodies_are_each_answered(shared, listener):
    shared.ctl("service", "add", "p", "--scope", "user", "--delivery", "tls", "--ue-issuer", "sim-s")
    token = shared.issuer.token(client_id="sim-c", scope="skm", val_service_ids=["p"], val_user_id="alice")
    order = {"version": "1.0.0", "skmsUri": shared.ue_url, "serviceId": "p", "userId": "alice", "dateTime": int(time.time())}

    def post(extra=b"", **changes):
        body = json.dumps({**order, **changes}).encode()
        fields = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return listener.request(fields.encode() + extra, b"POST") + body

    # One in the middle is refused, and takes nothing of its neighbours with it.
    answer = listener.raw(post() + post(userId="bob") + post(pad="x" * 5000) + post(b"Connection: close\r\n"))
    assert [status for status, *_ in answers(answer)] == [200, 403, 200, 200]


def test_a_user_is_never_named_in_the_log(shared):
    assert shared.get("val-service-id=s&valUserId=alice-the-user").status == 200
    refused(shared.get("val-service-id=t&valUserId=alice-the-user"), 404)
    assert "alice-the-user" not in shared.log.read_text()
