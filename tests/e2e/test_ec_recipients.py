"""Keys to EC recipients: enrolled, by certificate and by a UE's token, on a token that has ECDH with a KDF and on one that has not."""

import base64
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwcrypto import jwk

from appliance import BIN, DEADLINE, ROOT
from nss_appliance import NssAppliance
from openapi import OURS, check, check_val_key_info
from test_key_provisioning import post, request
from test_km_uu import ask, body, refused, token

ECDH = "ECDH-ES+A256KWP"
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
WORDS = "cannot be wrapped to"


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture(scope="module")
def kdf():
    """A running appliance on NSS softoken; val-p256 and val-p384 have EC certificates."""
    with tempfile.TemporaryDirectory(prefix="skms-e2e-") as directory:
        appliance = NssAppliance(pathlib.Path(directory)).initialise()
        try:
            yield with_ec_principals(appliance.start().provision())
            assert appliance.stop() in (0, None), appliance.log.read_text()[-4000:]
        finally:
            if appliance.process is not None:
                appliance.process.kill()
                appliance.process.wait(DEADLINE)


@pytest.fixture(scope="module")
def no_kdf(shared):
    return with_ec_principals(shared)


def with_ec_principals(appliance):
    appliance.warnings = {}
    readers = []
    for curve, named in CURVES.items():
        who = principal(curve)
        appliance.ca.issue(who, key=ec.generate_private_key(named))
        added = appliance.try_ctl("principal", "add", who, "--certificate", appliance.directory / f"{who}.pem")
        assert added.returncode == 0, added.stderr
        appliance.warnings[curve] = added.stderr
        readers += ["--reader", who]
    for profile in ("aes-128", "aes-256", "hmac-sha256", "ec-p256"):
        appliance.ctl("service", "add", profile, "--profile", profile, "--reader", "val-1", *readers)
    appliance.ctl("service", "add", "u", "--scope", "service,user", "--reader", "val-1", "--ue-issuer", "sim-s")
    appliance.ctl("service", "add", "k", "--reader", "val-1", *readers, "--provisioner", "val-1")
    return appliance


def principal(curve):
    return "val-" + curve.replace("-", "").lower()


def make_pair(directory, curve):
    """Private and public key in PEM, made by openssl."""
    private, public = directory / "recipient.key", directory / "recipient.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-out", private],
                   check=True, capture_output=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def open_with_openssl(directory, wrapped):
    """The commands of docs/wire-format.md, as they stand there."""
    document = (ROOT / "docs/wire-format.md").read_text()
    [b64_function] = re.findall(r"`(b64\(\) \{.*\})`", document)
    [commands] = re.findall(r"^\*\*ECDH-ES\+A256KWP\*\*.*?^```sh\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    values = {**wrapped["epk"], "encryptedKey": wrapped["encryptedKey"]}
    done = subprocess.run(["bash", "-euc", b64_function + "\n" + commands], cwd=directory, env={"PATH": "/usr/bin:/bin", **values},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (directory / "key").read_bytes()


def open_with_python(private_path, wrapped):
    private = load_pem_private_key(private_path.read_bytes(), None)
    epk = wrapped["epk"]
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(b64(epk["x"]), "big"), int.from_bytes(b64(epk["y"]), "big"), private.curve)
    agreed = X963KDF(hashes.SHA256(), 32, ECDH.encode()).derive(private.exchange(ec.ECDH(), numbers.public_key()))
    return aes_key_unwrap_with_padding(agreed, b64(wrapped["encryptedKey"]))


def open_with_the_example(appliance, private, service, out):
    token_file = appliance.directory / "token"
    done = subprocess.run(
        [sys.executable, "-B", ROOT / "client/examples/python/fetch_key.py", "--url", appliance.url, "--ca", appliance.directory / "ca.pem",
         "--cert", appliance.directory / "val-1.pem", "--key", appliance.directory / "val-1.key", "--token-file", token_file,
         "--recipient-key", private, "--service", service, "--out", out], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


@pytest.fixture(params=CURVES)
def enrolled(kdf, tmp_path, request):
    """(curve, private key file) of an enrolled recipient of val-1."""
    private, public = make_pair(tmp_path, request.param)
    kdf.ctl("recipient", "add", "mine", "--principal", "val-1", "--public-key", public)
    yield request.param, private
    kdf.ctl("recipient", "remove", "mine")


@pytest.mark.parametrize("service,octets", [("aes-128", 16), ("aes-256", 32), ("hmac-sha256", 32)])
def test_openssl_python_and_skmc_open_the_same_key(kdf, enrolled, tmp_path, service, octets):
    curve, private = enrolled
    answer = kdf.get(f"val-service-id={service}")
    check_val_key_info(answer.json)
    key_info = json.loads(answer.json["keyInfo"])
    check(OURS, "/components/schemas/KeyInfo", key_info)
    wrapped = key_info["keys"][0]["wrapped"]
    assert (wrapped["alg"], wrapped["recipient"], wrapped["epk"]["crv"]) == (ECDH, "mine", curve)
    opened = open_with_openssl(tmp_path, wrapped)
    assert len(opened) == octets
    assert open_with_python(private, wrapped) == opened
    assert kdf.skmc("--service", service, "--recipient-key", private, "--format", "raw").stdout == opened
    assert open_with_the_example(kdf, private, service, tmp_path / "by-example") == opened
    again = kdf.key(f"val-service-id={service}")["wrapped"]
    assert again["epk"] != wrapped["epk"] and again["encryptedKey"] != wrapped["encryptedKey"]


def test_an_ec_private_key_arrives_too(kdf, enrolled, tmp_path):
    _, private = enrolled
    key = kdf.key("val-service-id=ec-p256")
    opened = open_with_openssl(tmp_path, key["wrapped"])
    shown = subprocess.run(["openssl", "pkey", "-inform", "DER"], input=opened, capture_output=True, check=True).stdout
    assert kdf.skmc("--service", "ec-p256", "--recipient-key", private).stdout == shown
    numbers = load_pem_private_key(shown, None).public_key().public_numbers()
    assert b64(key["publicKey"]["x"]) == numbers.x.to_bytes(32, "big")


def test_the_list_names_kind_and_curve_and_a_restart_keeps_them(kdf, enrolled):
    curve, private = enrolled
    [listed] = kdf.ctl_json("recipient", "list")["recipients"]
    assert (listed["kind"], listed["curve"], listed["principal"]) == ("ec", curve, "val-1") and len(b64(listed["spkiSha256"])) == 32
    assert re.search(rf"^mine +val-1 .* ec +{curve} ", kdf.ctl("recipient", "list"), re.MULTILINE)
    before = kdf.skmc("--service", "s", "--recipient-key", private).stdout
    assert kdf.stop() == 0
    kdf.start()
    assert kdf.ctl_json("recipient", "list")["recipients"] == [listed]
    assert kdf.skmc("--service", "s", "--recipient-key", private).stdout == before != b""


def test_another_recipients_key_and_a_wrong_kind_of_key_do_not_open_it(kdf, enrolled, tmp_path):
    _, private = enrolled
    kdf.key()
    (tmp_path / "other").mkdir()
    for curve in CURVES:
        other, _ = make_pair(tmp_path / "other", curve)
        closed = kdf.skmc("--service", "s", "--recipient-key", other)
        assert closed.returncode == 5 and closed.stdout == b"" and b"does not open with this" in closed.stderr
    closed = kdf.skmc("--service", "s", "--recipient-key", kdf.directory / "val-1.key")
    assert closed.returncode == 5 and b"holds no EC private key" in closed.stderr
    assert kdf.skmc("--service", "s", "--recipient-key", private).returncode == 0


@pytest.mark.parametrize("curve", CURVES)
def test_a_certificates_ec_key_is_wrapped_to_and_its_holder_needs_no_other(kdf, curve):
    who = principal(curve)
    wrapped = kdf.key("val-service-id=aes-256", who=who)["wrapped"]
    assert wrapped["alg"] == ECDH and wrapped["recipient"].startswith("spki-sha256:")
    opened = open_with_python(kdf.directory / f"{who}.key", wrapped)
    done = kdf.skmc("--service", "aes-256", "--format", "raw", who=who)
    assert done.stdout == opened and len(opened) == 32
    assert "only by a token that has ECDH with a KDF" in kdf.warnings[curve]


def test_a_certificate_file_and_der_are_taken_like_pem(kdf, tmp_path):
    private, public = make_pair(tmp_path, "P-384")
    der = tmp_path / "public.der"
    subprocess.run(["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER", "-out", der], check=True)
    kdf.ctl("recipient", "add", "as-der", "--principal", "val-2", "--public-key", der)
    opened = kdf.skmc("--service", "t", "--recipient-key", private, "--format", "raw", who="val-2").stdout
    kdf.ctl("recipient", "remove", "as-der")
    certificate = kdf.directory / f"{principal('P-256')}.pem"
    kdf.ctl("recipient", "add", "as-certificate", "--principal", "val-2", "--certificate", certificate)
    private = kdf.directory / f"{principal('P-256')}.key"
    assert kdf.skmc("--service", "t", "--recipient-key", private, "--format", "raw", who="val-2").stdout == opened != b""
    kdf.ctl("recipient", "remove", "as-certificate")


@pytest.mark.parametrize("curve", CURVES)
def test_a_ue_gets_its_key_wrapped_to_the_ec_key_that_its_token_is_bound_to(kdf, tmp_path, curve):
    private, _ = make_pair(tmp_path, curve)
    public = jwk.JWK.from_pem(private.read_bytes())
    bound = token(kdf, cnf={"jkt": public.thumbprint()})
    answer = ask(kdf, body(kdf, recipientKey=public.export_public(as_dict=True)), bound)
    assert answer.status == 200, answer.body
    [key] = answer.json["payload"]["keys"]
    assert key["wrapped"]["recipient"] == "jkt:" + public.thumbprint() and key["wrapped"]["epk"]["crv"] == curve
    opened = open_with_python(private, key["wrapped"])
    (tmp_path / "bound").write_text(bound)
    (tmp_path / "bound").chmod(0o600)
    done = subprocess.run(
        [BIN / "skmc", "request", "--url", kdf.ue_url, "--ca", kdf.directory / "ca.pem", "--service", "u", "--user", "alice",
         "--token-file", tmp_path / "bound", "--bound-key", private, "--format", "raw"], capture_output=True, timeout=DEADLINE)
    assert done.stdout == opened and len(opened) == 32, done.stderr
    (tmp_path / "thief").mkdir()
    thief = jwk.JWK.from_pem(make_pair(tmp_path / "thief", curve)[0].read_bytes())
    refused(ask(kdf, body(kdf, recipientKey=thief.export_public(as_dict=True)), bound), 403)


def test_discovery_says_whether_keys_go_to_ec_recipients(kdf, no_kdf):
    for appliance, expected in ((kdf, True), (no_kdf, False)):
        assert (ECDH in appliance.curl("/.well-known/skms", token=None).json["wrapping"]) == expected


def test_what_is_no_key_on_these_curves_is_refused_on_every_token(kdf, tmp_path):
    for curve in ("P-521", "secp256k1"):
        _, public = make_pair(tmp_path, curve)
        done = kdf.try_ctl("recipient", "add", "odd", "--principal", "val-1", "--public-key", public)
        assert done.returncode != 0 and "not an EC public key on P-256 or P-384" in done.stderr
    assert kdf.ctl_json("recipient", "list")["recipients"] == []


def test_payloads_do_not_go_to_ec_recipients_and_the_refusal_says_so(kdf):
    assert kdf.get("val-service-id=k", who="val-p256").status == 200
    assert post(kdf, request()).status == 200
    answer = kdf.get("val-service-id=k", who="val-p256")
    assert answer.status == 403 and WORDS in answer.problem["detail"] and "payloads" in answer.problem["detail"]
    assert last_refusal(kdf) == "recipient-unusable"
    assert "no payload goes to an EC recipient" in kdf.log.read_text()
    # The certificate's key is RSA: everything comes.
    assert len(json.loads(kdf.get("val-service-id=k").json["keyInfo"])["payloads"]) == 1


def last_refusal(appliance):
    with sqlite3.connect(appliance.directory / "skms.db") as database:
        return database.execute("select reason from audit where outcome = 'refused' order by seq desc limit 1").fetchone()[0]


@pytest.mark.parametrize("curve", CURVES)
def test_without_the_kdf_an_enrolment_is_refused_and_says_what_is_missing(no_kdf, tmp_path, curve):
    _, public = make_pair(tmp_path, curve)
    done = no_kdf.try_ctl("recipient", "add", "mine", "--principal", "val-1", "--public-key", public)
    assert done.returncode == 5
    assert f"no ECDH with the X9.63 KDF on {curve}" in done.stderr and "RSA public key or a transport key" in done.stderr
    assert "skmsctl token probe" in done.stderr
    assert no_kdf.ctl_json("recipient", "list")["recipients"] == []


def test_without_the_kdf_certificates_and_ues_with_ec_keys_are_told_so(no_kdf, tmp_path):
    answer = no_kdf.get("val-service-id=aes-256", who="val-p384")
    assert answer.status == 403 and WORDS in answer.problem["detail"]
    assert last_refusal(no_kdf) == "recipient-unusable"
    private, _ = make_pair(tmp_path, "P-256")
    public = jwk.JWK.from_pem(private.read_bytes())
    bound = token(no_kdf, cnf={"jkt": public.thumbprint()})
    problem = refused(ask(no_kdf, body(no_kdf, recipientKey=public.export_public(as_dict=True)), bound), 403)
    assert WORDS in problem["detail"]
    done = no_kdf.skmc("--service", "aes-256", who="val-p384")
    assert done.returncode == 1 and WORDS.encode() in done.stderr
