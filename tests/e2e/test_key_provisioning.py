"""Key provisioning: a payload goes in, comes out as a JWE that an independent library opens, and nobody else may."""

import base64
import json
import os
import socket
import ssl
import time

import pytest
from jwcrypto import jwe, jwk

from appliance import running

SCOPE = "openid ss-kir ss-kpp"
PAYLOAD = bytes(range(256)) * 2


def b64(octets):
    return base64.b64encode(octets).decode()


@pytest.fixture(scope="module")
def kpp(shared):
    """The shared appliance with service 'k': val-1 reads and provisions, val-2 reads."""
    shared.ctl("service", "add", "k", "--scope", "service,user,ue,client", "--reader", "val-1", "--reader", "val-2",
               "--provisioner", "val-1", "--ue-issuer", "sim-s")
    shared.ctl("service", "add", "plain", "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1",
               "--delivery", "tls", "--generate-on-request", "no")
    return shared


def token(appliance, who="val-1", **changes):
    return appliance.issuer.token(**{"client_id": who, "scope": SCOPE, "SKeyProv": True, **changes})


def request(**changes):
    body = {"skmcUri": "https://val-1.test/skmc", "valServiceId": "k", "payloadId": "p1", "payload": b64(PAYLOAD)}
    body.update(changes)
    return {name: value for name, value in body.items() if value is not None}


def post(appliance, body, path="/ss-kpp/v1/request", access=None, who="val-1", content="application/json", **options):
    data = appliance.directory / "payload.json"
    data.write_text(body if isinstance(body, str) else json.dumps(body))
    return appliance.curl(path, "--data-binary", f"@{data}", who=who, token=access or token(appliance, who),
                          headers=[f"Content-Type: {content}"], **options)


def provision(appliance, **changes):
    answer = post(appliance, request(**changes))
    assert answer.status == 200, answer.body
    return answer.json


def payloads(appliance, query="val-service-id=k", **options):
    answer = appliance.get(query, **options)
    assert answer.status == 200, answer.body
    return json.loads(answer.json["keyInfo"]).get("payloads", [])


def open_jwe(appliance, delivered, who="val-1"):
    key = jwk.JWK.from_pem((appliance.directory / f"{who}.key").read_bytes())
    opened = jwe.JWE(algs=["RSA-OAEP", "RSA-OAEP-256", "A256GCM"])
    opened.deserialize(json.dumps(delivered["jwe"]), key)
    return opened.payload


def refused(answer, status, code="04"):
    assert answer.status == status, (answer.status, answer.body)
    if code:
        assert answer.problem["errorCode"] == code
    return answer.problem


def test_what_is_provisioned_comes_out_as_a_jwe_for_each_reader(kpp):
    answer = provision(kpp, payloadId="p1")
    assert answer == {"skmcUri": "https://val-1.test/skmc", "valServiceId": "k", "skmsId": "skms-test", "payloadId": "p1"}
    for who in ("val-1", "val-2"):
        [delivered] = payloads(kpp, who=who)
        assert delivered["payloadId"] == "p1" and delivered["scope"] == "service"
        assert json.loads(base64.urlsafe_b64decode(delivered["jwe"]["protected"] + "==")) == {"enc": "A256GCM"}
        assert open_jwe(kpp, delivered, who) == PAYLOAD
    # The same ciphertext, re-addressed.
    [one], [other] = payloads(kpp, who="val-1"), payloads(kpp, who="val-2")
    assert one["jwe"]["ciphertext"] == other["jwe"]["ciphertext"] and one["jwe"]["encrypted_key"] != other["jwe"]["encrypted_key"]


def test_the_same_bytes_again_change_nothing_and_others_are_the_next_version(kpp):
    provision(kpp, payloadId="again")
    before = [p for p in payloads(kpp) if p["payloadId"] == "again"][0]
    provision(kpp, payloadId="again")
    assert [p for p in payloads(kpp) if p["payloadId"] == "again"][0]["kid"] == before["kid"]
    provision(kpp, payloadId="again", payload=b64(b"other"))
    after = [p for p in payloads(kpp) if p["payloadId"] == "again"][0]
    assert after["version"] == before["version"] + 1 and open_jwe(kpp, after) == b"other"


@pytest.mark.parametrize("target,query", [({"valUserId": "alice"}, "valUserId=alice"), ({"valUeId": "ue-7"}, "valUeId=ue-7")])
def test_a_users_or_ues_payload_is_not_the_services(kpp, target, query):
    answer = provision(kpp, valTgtUe=target, payloadId="mine", payload=b64(b"secret of one"))
    assert answer["valTgtUe"] == target
    [delivered] = payloads(kpp, "val-service-id=k&" + query)
    assert open_jwe(kpp, delivered) == b"secret of one"
    assert "mine" not in [p.get("payloadId") for p in payloads(kpp)]
    assert payloads(kpp, "val-service-id=k&valUserId=somebody") == []


def test_without_a_payload_id_there_is_one_slot(kpp):
    answer = provision(kpp, valTgtUe={"valUserId": "slot"}, payloadId=None)
    assert "payloadId" not in answer
    provision(kpp, valTgtUe={"valUserId": "slot"}, payloadId=None, payload=b64(b"x"))
    [delivered] = payloads(kpp, "val-service-id=k&valUserId=slot")
    assert "payloadId" not in delivered and delivered["version"] == 2


def test_entity_tags_see_payloads(kpp):
    tag = kpp.get("val-service-id=k").headers["etag"]
    assert kpp.get("val-service-id=k", headers=[f"If-None-Match: {tag}"]).status == 304
    provision(kpp, payloadId="tag", payload=b64(os.urandom(8)))
    assert kpp.get("val-service-id=k", headers=[f"If-None-Match: {tag}"]).status == 200


def test_a_jwe_to_the_transfer_key_is_opened_in_the_token(kpp):
    keys = kpp.curl("/.well-known/skms", token=None).json["jwks"]["keys"]
    transfer = next(key for key in keys if key["use"] == "enc")
    public = jwk.JWK(**transfer)
    header = {"alg": transfer["alg"], "enc": "A256GCM", "kid": transfer["kid"]}
    sent = jwe.JWE(b"crossed a proxy", json.dumps(header), algs=["RSA-OAEP", "RSA-OAEP-256", "A256GCM"])
    sent.add_recipient(public)
    for number, form in enumerate((sent.serialize(compact=True), sent.serialize())):
        provision(kpp, valTgtUe={"valUserId": f"jwe-{number}"}, payload=b64(form.encode()))
        [delivered] = payloads(kpp, f"val-service-id=k&valUserId=jwe-{number}")
        assert open_jwe(kpp, delivered) == b"crossed a proxy"
    broken = sent.serialize(compact=True)[:-3] + "AAA"
    refused(post(kpp, request(valTgtUe={"valUserId": "broken"}, payload=b64(broken.encode()))), 400)
    other_enc = jwe.JWE(b"x", json.dumps({**header, "enc": "A128CBC-HS256"}), algs=["RSA-OAEP", "RSA-OAEP-256", "A128CBC-HS256"])
    other_enc.add_recipient(public)
    problem = refused(post(kpp, request(payload=b64(other_enc.serialize(compact=True).encode()))), 400)
    assert "A256GCM" in problem["invalidParams"][0]["reason"]
    # Somebody else's JWE is a payload like any other.
    foreign = jwe.JWE(b"x", json.dumps({**header, "kid": "theirs"}), algs=["RSA-OAEP", "RSA-OAEP-256", "A256GCM"])
    foreign.add_recipient(public)
    text = foreign.serialize(compact=True).encode()
    provision(kpp, valTgtUe={"valUserId": "foreign"}, payload=b64(text))
    assert open_jwe(kpp, payloads(kpp, "val-service-id=k&valUserId=foreign")[0]) == text


def test_in_plaintext_only_where_policy_says_so_and_without_a_key_of_ours(kpp):
    provision(kpp, valServiceId="plain")
    answer = kpp.get("val-service-id=plain")
    info = json.loads(answer.json["keyInfo"])
    assert info["keys"] == []
    assert base64.urlsafe_b64decode(info["payloads"][0]["payload"] + "==") == PAYLOAD


@pytest.mark.parametrize(
    "claim,status",
    [(None, 403), (False, 403), ("k", 403), (["other"], 403), ([], 403), (True, 200), (["other", "k"], 200)],
)
def test_skeyprov_decides(kpp, claim, status):
    access = token(kpp, SKeyProv=claim)
    assert post(kpp, request(payloadId="claim"), access=access).status == status


def test_who_may_not_provision(kpp):
    refused(post(kpp, request(), who="val-2"), 403)  # a reader
    refused(post(kpp, request(valServiceId="t")), 404, "02")  # another's
    refused(post(kpp, request(valServiceId="nowhere")), 404, "02")
    refused(post(kpp, request(), access=token(kpp, scope="ss-kir")), 403)
    refused(post(kpp, request(valServiceId="plain", valTgtUe={"valUeId": "x"})), 403)  # scope
    refused(post(kpp, request(), access=token(kpp, val_service_ids=["s"])), 404, "02")


@pytest.mark.parametrize(
    "changes,param",
    [
        ({"skmcUri": None}, "/skmcUri"),
        ({"skmcUri": 1}, "/skmcUri"),
        ({"valServiceId": None}, "/valServiceId"),
        ({"valServiceId": ""}, "/valServiceId"),
        ({"valTgtUe": {}}, "/valTgtUe"),
        ({"valTgtUe": {"valUserId": "a", "valUeId": "b"}}, "/valTgtUe"),
        ({"valTgtUe": {"valUserId": ""}}, "/valTgtUe/valUserId"),
        ({"valTgtUe": "alice"}, "/valTgtUe"),
        ({"payloadId": ""}, "/payloadId"),
        ({"payloadId": 5}, "/payloadId"),
        ({"payload": None}, "/payload"),
        ({"payload": ""}, "/payload"),
        ({"payload": "not base64!"}, "/payload"),
        ({"payload": "YWJj_-=="}, "/payload"),
        ({"payload": "YWI"}, "/payload"),
        ({"payload": ["YWI="]}, "/payload"),
        ({"suppFeat": "xyz"}, "/suppFeat"),
    ],
)
def test_a_wrong_member_is_named(kpp, changes, param):
    assert refused(post(kpp, request(**changes)), 400)["invalidParams"][0]["param"] == param


def test_sizes(kpp):
    provision(kpp, valTgtUe={"valUserId": "large"}, payload=b64(b"x" * 65536))
    assert open_jwe(kpp, payloads(kpp, "val-service-id=k&valUserId=large")[0]) == b"x" * 65536
    refused(post(kpp, request(payload=b64(b"x" * 65537))), 413, None)
    assert post(kpp, request(payload=b64(b"x" * 200000))).status == 413
    assert post(kpp, request(), content="text/plain").status == 415


def test_features_are_negotiated_to_none(kpp):
    assert provision(kpp, suppFeat="F0")["suppFeat"] == "0"
    assert "suppFeat" not in provision(kpp)


def test_unknown_members_are_passed_over(kpp):
    provision(kpp, **{"vendorSpecific-000001": {"a": [1]}, "futureMember": None})


def kp(appliance, **changes):
    body = {"version": "1.0.0", "sValClientUri": "https://val-1.test/skmc", "skmsUri": appliance.url, "serviceId": "k",
            "dateTime": int(time.time()), "payloadId": "kp", "payload": b64(PAYLOAD)}
    body.update(changes)
    return {name: value for name, value in body.items() if value is not None}


def test_kp_request_of_33_434_reaches_clients_too(kpp):
    answer = post(kpp, kp(kpp, clientId="app-1"), "/skm/v1/key-provisioning")
    assert answer.status == 200, answer.body
    assert answer.json["sValKmcUri"] == "https://val-1.test/skmc" and answer.json["clientId"] == "app-1"
    assert answer.json["payloadId"] == "kp" and answer.json["skmsUri"] == kpp.url
    problem = refused(post(kpp, kp(kpp, dateTime=5, deviceId="ue-9"), "/skm/v1/key-provisioning"), 403)
    assert problem["deviceId"] == "ue-9" and problem["serviceId"] == "k"
    refused(post(kpp, kp(kpp, sValClientUri=None), "/skm/v1/key-provisioning"), 400)
    refused(post(kpp, kp(kpp, userId="a", clientId="b"), "/skm/v1/key-provisioning"), 400)
    refused(post(kpp, kp(kpp, skmsUri="https://x.test"), "/skm/v1/key-provisioning"), 400)
    refused(post(kpp, kp(kpp), "/skm/v1/key-provisioning", access=token(kpp, SKeyProv=None)), 403)


def test_a_service_elsewhere_is_redirected(kpp):
    kpp.ctl("service", "add", "far", "--reader", "val-1", "--provisioner", "val-1", "--home", "https://far.test")
    answer = post(kpp, request(valServiceId="far"))
    assert answer.status == 307 and answer.headers["location"] == "https://far.test/ss-kpp/v1/request"


def test_a_selector_has_sixteen_payloads_at_most(kpp):
    for number in range(16):
        provision(kpp, valTgtUe={"valUserId": "many"}, payloadId=f"n{number}", payload=b64(b"x"))
    refused(post(kpp, request(valTgtUe={"valUserId": "many"}, payloadId="n16")), 403)
    provision(kpp, valTgtUe={"valUserId": "many"}, payloadId="n3", payload=b64(b"y"))


def test_an_administrator_lists_and_removes_payloads(kpp):
    provision(kpp, valTgtUe={"valUserId": "gone"}, payloadId="old", payload=b64(b"1"))
    provision(kpp, valTgtUe={"valUserId": "gone"}, payloadId="old", payload=b64(b"2"))
    listed = [p for p in kpp.ctl_json("payload", "list", "--service", "k")["payloads"] if p["target"] == "gone"]
    assert [(p["payloadId"], p["version"], p["provisionedBy"], p["bytes"]) for p in listed] == [("old", 2, "val-1", 1)]
    kpp.ask_admin("/admin/v1/payloads?service=k")
    kpp.ctl("payload", "remove", listed[0]["id"])
    assert payloads(kpp, "val-service-id=k&valUserId=gone") == []
    assert kpp.try_ctl("payload", "remove", listed[0]["id"]).returncode != 0


def test_a_client_that_hangs_in_its_body_holds_up_nobody_and_leaves_nothing(tmp_path):
    with running(tmp_path, listen__request_time_ms="500") as appliance:
        appliance.ctl("service", "add", "k", "--reader", "val-1", "--provisioner", "val-1")
        context = ssl.create_default_context(cafile=str(appliance.directory / "ca.pem"))
        context.load_cert_chain(appliance.directory / "val-1.pem", appliance.directory / "val-1.key")
        with context.wrap_socket(socket.create_connection(("127.0.0.1", appliance.port)), server_hostname="localhost") as hanging:
            head = (f"POST /ss-kpp/v1/request HTTP/1.1\r\nHost: localhost:{appliance.port}\r\nContent-Type: application/json\r\n"
                    f"Authorization: Bearer {token(appliance)}\r\nContent-Length: 400\r\n\r\n")
            hanging.sendall(head.encode() + b'{"skmcUri":"https://a')
            assert appliance.get("val-service-id=k").status == 200
            hanging.settimeout(10)
            answer = hanging.recv(65536)
            assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0]
        assert payloads(appliance) == []


def test_payloads_are_ciphertext_in_the_database_and_survive_a_restart(fresh):
    fresh.start().provision()
    fresh.ctl("service", "add", "k", "--reader", "val-1", "--provisioner", "val-1")
    marker = b"a marker that must not be found anywhere"
    provision(fresh, payload=b64(marker))
    assert fresh.stop() == 0
    for path in fresh.directory.glob("skms.db*"):
        content = path.read_bytes()
        assert marker not in content and base64.b64encode(marker)[:40] not in content
    assert marker not in fresh.log.read_bytes()
    fresh.start()
    assert open_jwe(fresh, payloads(fresh)[0]) == marker
