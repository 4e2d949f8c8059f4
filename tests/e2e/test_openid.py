"""Tokens and JWEs of implementations that are not ours: npm's oidc-provider as SIM-S, npm's jose as the VAL server's."""

import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import time
import urllib.parse

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance import DEADLINE, running

SOURCES = pathlib.Path(__file__).resolve().parent / "sims"
# Where tests/run.sh put npm's packages; a folder of one's own for a run by hand.
INSTALLED = pathlib.Path(os.environ.get("SKMS_SIMS", SOURCES.parents[2] / "build/sims"))
AUDIENCE = "https://kms.test"
REDIRECT = "http://127.0.0.1:9/back"


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def packages():
    if not (INSTALLED / "node_modules/oidc-provider").is_dir():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, INSTALLED / name)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=INSTALLED, check=True, capture_output=True)
    for path in SOURCES.glob("*.mjs"):
        shutil.copy(path, INSTALLED / path.name)
    return INSTALLED


def node(packages, script, **given):
    done = subprocess.run(["node", packages / script], input=json.dumps(given), capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Provider:
    """The OpenID provider, and a client of it."""

    def __init__(self, packages, appliance, alg="ES256"):
        self.appliance = appliance
        services = {"val_service_ids": ["o"]}
        self.settings = {
            "certificate": str(appliance.directory / "server.pem"), "key": str(appliance.directory / "server.key"), "audience": AUDIENCE, "alg": alg,
            "servers": {
                "val-1": {"secret": secrets.token_hex(16), "scope": "ss-kir ss-kpp", "claims": {**services, "SKeyProv": ["o"]}},
                "val-2": {"secret": secrets.token_hex(16), "scope": "ss-kir", "claims": services},
            },
            "users": {"alice": {"password": secrets.token_hex(8), "claims": {**services, "val_user_id": "sip:alice@val.test", "val_ue_id": "ue-1"}}},
            "app": {"id": "sim-c-app", "redirect": REDIRECT},
        }
        path = appliance.directory / "provider.json"
        path.write_text(json.dumps(self.settings))
        self.log = open(appliance.directory / "provider.log", "wb")
        self.process = subprocess.Popen(["node", packages / "provider.mjs", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline()
        assert line, (appliance.directory / "provider.log").read_text()
        self.issuer = json.loads(line)["issuer"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.log.close()

    def curl(self, path, *arguments):
        """(status, headers, body); cookies are kept."""
        jar = self.appliance.directory / "cookies"
        url = path if path.startswith("https://") else self.issuer + path
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--include", "--cacert", self.appliance.directory / "ca.pem", "--cookie", jar, "--cookie-jar", jar,
             *arguments, url], capture_output=True, text=True, check=True, timeout=DEADLINE)
        head, _, body = done.stdout.partition("\n\n") if "\r\n\r\n" not in done.stdout else done.stdout.partition("\r\n\r\n")
        lines = head.splitlines()
        return int(lines[0].split()[1]), {f.split(":", 1)[0].lower(): f.split(":", 1)[1].strip() for f in lines[1:]}, body

    def for_server(self, who, scope):
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope})
        config = self.appliance.directory / "basic"
        config.write_text(f'user = "{who}:{self.settings["servers"][who]["secret"]}"\n')
        status, _, body = self.curl("/token", "--config", config, "--data", form)
        assert status == 200, body
        return json.loads(body)["access_token"]

    def for_user(self, user="alice"):
        """Authorization code with PKCE: what a UE's SIM-C does."""
        verifier = b64(secrets.token_bytes(32))
        query = urllib.parse.urlencode({
            "response_type": "code", "client_id": "sim-c-app", "redirect_uri": REDIRECT, "scope": "openid skm", "state": "s", "nonce": "n",
            "code_challenge": b64(hashlib.sha256(verifier.encode()).digest()), "code_challenge_method": "S256"})
        _, headers, _ = self.curl(f"/auth?{query}")
        form = urllib.parse.urlencode({"login": user, "password": self.settings["users"][user]["password"]})
        status, headers, body = self.curl(headers["location"], "--data", form)
        assert status == 303, (status, headers, body, (self.appliance.directory / "provider.log").read_text())
        for _ in range(5):
            if headers["location"].startswith(REDIRECT):
                break
            status, headers, body = self.curl(headers["location"])
            assert status == 303, (status, headers, body)
        code = re.search("[?&]code=([^&]+)", headers["location"])
        assert code, (headers, body)
        form = urllib.parse.urlencode({"grant_type": "authorization_code", "client_id": "sim-c-app", "redirect_uri": REDIRECT,
                                       "code": code.group(1), "code_verifier": verifier})
        status, _, body = self.curl("/token", "--data", form)
        assert status == 200, body
        return json.loads(body)["access_token"]


@pytest.fixture(scope="module", params=["ES256", "RS256"])
def world(request, packages, tmp_path_factory):
    """An appliance that trusts the provider by its jwks_uri; service 'o' for val-1 and val-2, and UEs."""
    with running(tmp_path_factory.mktemp("openid")) as appliance:
        provider = Provider(packages, appliance, request.param)
        try:
            _, _, body = provider.curl("/.well-known/openid-configuration")
            appliance.ctl("issuer", "add", "openid", "--issuer", provider.issuer, "--audience", AUDIENCE, "--jwks-uri", json.loads(body)["jwks_uri"],
                          "--jwks-ca", appliance.directory / "ca.pem", "--services-claim", "val_service_ids", "--user-claim", "val_user_id",
                          "--ue-claim", "val_ue_id")
            appliance.ctl("service", "add", "o", "--scope", "service,user,ue", "--reader", "val-1", "--reader", "val-2", "--provisioner", "val-1",
                          "--ue-issuer", "openid", "--delivery", "wrapped")
            yield appliance, provider, packages
        finally:
            provider.close()


def test_client_credentials_open_km_s(world):
    appliance, provider, _ = world
    assert appliance.get("val-service-id=o", token=provider.for_server("val-1", "ss-kir")).status == 200
    # Another's certificate, another scope, a service that the token does not name.
    assert appliance.get("val-service-id=o", who="val-2", token=provider.for_server("val-1", "ss-kir")).status == 403
    assert appliance.get("val-service-id=s", token=provider.for_server("val-1", "ss-kir")).status == 404


def provision(appliance, token, payload):
    body = {"skmcUri": "https://val-1.test", "valServiceId": "o", "payloadId": "p", "payload": base64.b64encode(payload).decode()}
    (appliance.directory / "body").write_text(json.dumps(body))
    return appliance.curl("/ss-kpp/v1/request", "--data-binary", f"@{appliance.directory / 'body'}", token=token,
                          headers=["Content-Type: application/json"])


def test_what_jose_sends_and_opens(world):
    appliance, provider, packages = world
    keys = appliance.curl("/.well-known/skms", token=None).json["jwks"]["keys"]
    transfer = next(key for key in keys if key["use"] == "enc")
    sealed = node(packages, "seal_jwe.mjs", payload=base64.b64encode(b"by jose").decode(), jwk=transfer)
    token = provider.for_server("val-1", "ss-kpp")
    assert provision(appliance, token, sealed.encode()).status == 200
    answer = appliance.get("val-service-id=o", token=provider.for_server("val-1", "ss-kir"))
    [delivered] = json.loads(answer.json["keyInfo"])["payloads"]
    private = load_pem_private_key((appliance.directory / "val-1.key").read_bytes(), None).private_numbers()
    number = lambda n: b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))
    jwk = {"kty": "RSA", "n": number(private.public_numbers.n), "e": number(private.public_numbers.e), "d": number(private.d), "p": number(private.p),
           "q": number(private.q), "dp": number(private.dmp1), "dq": number(private.dmq1), "qi": number(private.iqmp)}
    assert base64.b64decode(node(packages, "open_jwe.mjs", jwe=delivered["jwe"], jwk=jwk)) == b"by jose"
    assert provision(appliance, provider.for_server("val-1", "ss-kir"), b"x").status == 403


def test_a_user_who_signed_in_with_pkce_gets_his_keys(world):
    appliance, provider, _ = world
    token = provider.for_user()
    public = appliance.directory / "ue.pub"
    subprocess.run(["openssl", "pkey", "-in", appliance.directory / "val-2.key", "-pubout", "-out", public], check=True)
    appliance.ctl("recipient", "add", "ue-1", "--ue", "ue-1", "--public-key", public)
    body = {"version": "1.0.0", "skmsUri": appliance.ue_url, "serviceId": "o", "userId": "sip:alice@val.test", "dateTime": int(time.time())}
    (appliance.directory / "body").write_text(json.dumps(body))
    ask = lambda: appliance.curl("/skm/v1/key-request", "--data-binary", f"@{appliance.directory / 'body'}", who=None, token=token,
                                 url=appliance.ue_url, headers=["Content-Type: application/json"])
    answer = ask()
    assert answer.status == 200, answer.body
    assert answer.json["userUri"] == "sip:alice@val.test"
    assert answer.json["payload"]["keys"][0]["wrapped"]["recipient"] == "ue-1"
    body["userId"] = "sip:bob@val.test"
    (appliance.directory / "body").write_text(json.dumps(body))
    assert ask().status == 403
