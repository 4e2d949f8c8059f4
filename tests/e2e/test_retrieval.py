"""KM-S as a VAL server uses it: keys arrive, open, and are the same by every way."""

import base64
import json
import subprocess
import urllib.parse

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_private_key

from openapi import OURS, check, check_val_key_info, official_or_skip

USER_FORMS = [
    "val-service-id=s&val-tgt-ue=" + urllib.parse.quote('{"valUserId":"alice"}'),
    "val-service-id=s&valUserId=alice",
]


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def openssl_unwrap(key, wrapped, directory):
    """RFC 5649 with the command of docs/wire-format.md."""
    (directory / "wrapped").write_bytes(wrapped)
    subprocess.run(
        ["openssl", "enc", "-d", "-id-aes256-wrap-pad", "-K", key.hex(), "-iv", "A65959A6", "-in", directory / "wrapped",
         "-out", directory / "unwrapped"], check=True, capture_output=True)
    return (directory / "unwrapped").read_bytes()


def openssl_open(appliance, block, who="val-1"):
    return subprocess.run(
        ["openssl", "pkeyutl", "-decrypt", "-inkey", appliance.directory / f"{who}.key", "-pkeyopt", "rsa_padding_mode:oaep",
         "-pkeyopt", "rsa_oaep_md:sha1"],
        input=block, capture_output=True, check=True,
    ).stdout


def test_a_service_key_arrives_and_openssl_opens_what_skmc_opens(shared):
    answer = shared.get()
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    check_val_key_info(answer.json)
    key_info = json.loads(answer.json["keyInfo"])
    check(OURS, "/components/schemas/KeyInfo", key_info)
    wrapped = key_info["keys"][0]["wrapped"]
    assert wrapped["alg"] == "RSA-OAEP"
    opened = openssl_open(shared, b64(wrapped["encryptedKey"]))
    assert len(opened) == 32
    done = shared.skmc("--service", "s", "--format", "hex")
    assert done.returncode == 0, done.stderr
    assert bytes.fromhex(done.stdout.decode()) == opened


def test_answers_fit_the_official_openapi_file(shared):
    official = official_or_skip()
    for query in ["val-service-id=s", *USER_FORMS, "val-service-id=s&valUeId=ue-1"]:
        check(official, "/components/schemas/ValKeyInfo", shared.get(query).json)


@pytest.mark.parametrize("query", USER_FORMS)
def test_both_forms_of_the_target_give_the_same_key(shared, query):
    answer = shared.get(query)
    assert answer.json["valTgtUe"] == {"valUserId": "alice"}
    key = json.loads(answer.json["keyInfo"])["keys"][0]
    assert (key["scope"], key["target"]) == ("user", "alice")
    assert key["kid"] == shared.key(USER_FORMS[0])["kid"]
    assert key["kid"] != shared.key("val-service-id=s&valUeId=alice")["kid"]
    assert key["kid"] != shared.key()["kid"]


def test_an_entity_tag_saves_the_body_until_the_key_changes(shared):
    first = shared.get("val-service-id=s&valUserId=tagged")
    same = shared.get("val-service-id=s&valUserId=tagged", headers=[f"If-None-Match: {first.headers['etag']}"])
    assert (same.status, same.body) == (304, "")
    shared.ctl("key", "rotate", "--service", "s", "--user", "tagged")
    changed = shared.get("val-service-id=s&valUserId=tagged", headers=[f"If-None-Match: {first.headers['etag']}"])
    assert changed.status == 200


@pytest.mark.parametrize("profile,size", [("aes-128", 16), ("aes-256", 32), ("hmac-sha256", 32)])
def test_each_symmetric_profile_has_its_length(shared, profile, size):
    shared.ctl("service", "add", profile, "--profile", profile, "--reader", "val-1")
    done = shared.skmc("--service", profile, "--format", "raw")
    assert (done.returncode, len(done.stdout)) == (0, size)


def test_an_ec_key_opens_as_pem_and_fits_its_public_half(shared):
    shared.ctl("service", "add", "signing", "--profile", "ec-p256", "--reader", "val-1")
    key = shared.key("val-service-id=signing")
    assert key["wrapped"]["alg"] == "RSA-AES-KWP"
    kek = openssl_open(shared, b64(key["wrapped"]["encryptedKey"]))
    pkcs8 = aes_key_unwrap_with_padding(kek, b64(key["wrapped"]["wrappedKey"]))
    assert openssl_unwrap(kek, b64(key["wrapped"]["wrappedKey"]), shared.directory) == pkcs8
    numbers = load_der_private_key(pkcs8[: pkcs8[1] + 2 if pkcs8[1] < 128 else pkcs8[2] + 3], None).public_key().public_numbers()
    assert b64(key["publicKey"]["x"]) == numbers.x.to_bytes(32, "big")
    done = shared.skmc("--service", "signing")
    assert done.stdout.startswith(b"-----BEGIN PRIVATE KEY-----")
    shown = subprocess.run(["openssl", "pkey", "-noout", "-text"], input=done.stdout, capture_output=True, check=True)
    assert b"P-256" in shown.stdout


def test_a_transport_key_recipient_gets_kwp(shared):
    transport = bytes(range(32))
    path = shared.directory / "transport.hex"
    path.write_text(transport.hex())
    path.chmod(0o400)
    shared.ctl("service", "add", "u", "--reader", "val-2")
    before = openssl_open(shared, b64(shared.key("val-service-id=u", who="val-2")["wrapped"]["encryptedKey"]), who="val-2")
    shared.ctl("recipient", "add", "val-2-trk", "--principal", "val-2", "--transport-key", path)
    key = shared.key("val-service-id=u", who="val-2")
    assert (key["wrapped"]["alg"], key["wrapped"]["recipient"]) == ("A256KWP", "val-2-trk")
    assert aes_key_unwrap_with_padding(transport, b64(key["wrapped"]["encryptedKey"])) == before
    assert openssl_unwrap(transport, b64(key["wrapped"]["encryptedKey"]), shared.directory) == before
    done = shared.skmc("--service", "u", "--transport-key", path, "--format", "raw", who="val-2")
    assert done.stdout == before
    shared.ctl("recipient", "remove", "val-2-trk")


def test_delivery_tls_hands_out_plaintext_only_where_policy_says_so(shared):
    added = shared.try_ctl("service", "add", "open", "--delivery", "tls", "--reader", "val-1")
    assert added.returncode == 0 and "plaintext" in added.stderr
    key = shared.key("val-service-id=open")
    assert "wrapped" not in key and len(b64(key["k"])) == 32
    assert shared.skmc("--service", "open", "--format", "raw").stdout == b64(key["k"])


def test_rotation_gives_the_next_version(shared):
    first = shared.key("val-service-id=s&valUserId=rotated")
    made = shared.ctl_json("key", "rotate", "--service", "s", "--user", "rotated")
    second = shared.key("val-service-id=s&valUserId=rotated")
    assert (first["version"], second["version"]) == (1, 2)
    assert second["kid"] == made["kid"] != first["kid"]
    assert shared.ctl_json("key", "show", first["kid"])["state"] == "deactivated"
    keys = json.loads(shared.get("val-service-id=s&valUserId=rotated").json["keyInfo"])["keys"]
    assert [(key["state"], key["key_ops"]) for key in keys] == [
        ("active", ["encrypt", "decrypt"]), ("deactivated", ["decrypt"])]


def test_an_administrator_leads_a_key_through_its_life(shared):
    query = "val-service-id=s&valUserId=lifelong"
    kid = shared.key(query)["kid"]
    refused = shared.try_ctl("key", "destroy", kid, "--reason", "too early")
    assert refused.returncode != 0 and "allowed: suspend, deactivate, compromise" in refused.stderr
    assert "nothing is changed" in shared.ctl("key", "suspend", kid, "--reason", "drill", "--dry-run")
    assert shared.key(query)["kid"] == kid
    shared.ctl("key", "suspend", kid, "--reason", "drill")
    assert shared.get(query).status == 404
    shared.ctl("key", "resume", kid, "--reason", "drill is over")
    assert shared.key(query)["kid"] == kid
    shared.ctl("key", "compromise", kid, "--reason", "laptop stolen", "--rotate")
    assert shared.key(query)["version"] == 2
    shared.ctl("key", "destroy", kid, "--reason", "no longer needed")
    shown = shared.ctl_json("key", "show", kid)
    assert (shown["state"], shown["reason"]) == ("destroyed", "no longer needed")
    assert len(shared.ctl_json("key", "list", "--target-prefix", "lifel", "--state", "active")["keys"]) == 1


def test_skmc_writes_a_private_file_and_says_what_went_wrong(shared):
    out = shared.directory / "out.key"
    assert shared.skmc("--service", "s", "--format", "raw", "--out", out).returncode == 0
    assert out.stat().st_mode & 0o777 == 0o600 and len(out.read_bytes()) == 32
    refused = shared.skmc("--service", "t")
    assert refused.returncode == 1 and b"404" in refused.stderr and b"what to do" in refused.stderr
    wrong_key = shared.skmc("--service", "s", "--recipient-key", shared.directory / "val-2.key")
    assert wrong_key.returncode == 5
    assert shared.skmc("--service", "s", token=shared.issuer.token(exp=1)).returncode == 1


def test_tokens_signed_with_es256_are_taken(shared):
    assert shared.get(token=shared.issuer.token("ES256")).status == 200


def test_a_token_bound_to_the_certificate_is_taken_and_another_ones_is_not(shared):
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    def thumbprint(who):
        der = x509.load_pem_x509_certificate((shared.directory / f"{who}.pem").read_bytes()).public_bytes(Encoding.DER)
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")

    assert shared.get(token=shared.issuer.token(cnf={"x5t#S256": thumbprint("val-1")})).status == 200
    assert shared.get(token=shared.issuer.token(cnf={"x5t#S256": thumbprint("val-2")})).status == 401
    assert shared.get(token=shared.issuer.token(cnf={"jkt": "x"})).status == 401


def test_the_timestamp_header_is_checked_when_it_is_there(shared):
    import datetime

    now = datetime.datetime.utcnow()
    fresh = now.isoformat(timespec="milliseconds") + "Z"
    stale = (now - datetime.timedelta(seconds=60)).isoformat(timespec="milliseconds") + "Z"
    assert shared.get(headers=[f"Nb-Api-Sender-Timestamp: {fresh}"]).status == 200
    assert shared.get(headers=[f"Nb-Api-Sender-Timestamp: {stale}"]).status == 403
    assert shared.get(headers=["Nb-Api-Sender-Timestamp: soon"]).status == 400
