"""The Python example, run as its users run it: what it opens is what skmc opens, and what it is refused it explains."""

import ast
import json
import py_compile
import stat
import subprocess
import sys

import pytest
from jwcrypto import jwk

import demo
from appliance import DEADLINE, ROOT

EXAMPLE = ROOT / "client/examples/python"
MAY_IMPORT = {*sys.stdlib_module_names, "httpx", "jwcrypto", "cryptography", "skms_client"}


@pytest.fixture(scope="module")
def home(shared):
    """The shared appliance as the quick start leaves one, and its variables."""
    shared.variables = demo.environment(shared)
    return shared


@pytest.fixture(scope="module")
def skms_client():
    sys.path.insert(0, str(EXAMPLE))
    try:
        import skms_client

        yield skms_client
    finally:
        sys.path.remove(str(EXAMPLE))


def script(home, name, *arguments, token="SKMS_TOKEN_FILE"):
    v = home.variables
    return run(name, "--url", v["SKMS_URL"], "--ca", v["SKMS_CA"], "--cert", v["SKMS_CERT"], "--key", v["SKMS_KEY"],
               "--token-file", v.get(token, token), *arguments)


def as_ue(home, *arguments, token=None):
    v = home.variables
    return run("fetch_key.py", "--km-uu", "--url", v["SKMS_UE_URL"], "--ca", v["SKMS_CA"], "--token-file", token or v["SKMS_UE_TOKEN_FILE"],
               "--recipient-key", v["SKMS_UE_RECIPIENT_KEY"], "--service", "demo", *arguments)


def run(name, *arguments):
    return subprocess.run([sys.executable, "-B", EXAMPLE / name, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)


def refused(done):
    """The one line that it says; no traceback."""
    assert done.returncode == 1 and done.stdout == "", (done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def client(home, skms_client):
    v = home.variables
    return skms_client.SkmsClient(v["SKMS_URL"], v["SKMS_CA"], v["SKMS_TOKEN_FILE"], v["SKMS_CERT"], v["SKMS_KEY"])


@pytest.mark.parametrize("target", [(), ("--user", "alice"), ("--user", "sip:a+b c&d=é@val.test")])
def test_what_it_opens_is_what_skmc_opens_and_is_never_printed(home, tmp_path, target):
    out = tmp_path / "key"
    out.write_bytes(b"left by somebody")
    out.chmod(0o644)
    done = script(home, "fetch_key.py", "--service", "demo", *target, "--out", out)
    assert done.returncode == 0, done.stderr
    by_skmc = home.skmc("--service", "demo", *target, "--format", "hex").stdout.decode().strip()
    assert out.read_bytes().hex() == by_skmc and len(by_skmc) == 64
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "A256GCM  32 bytes" in done.stdout and "version 1" in done.stdout
    assert by_skmc not in done.stdout + done.stderr and [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_ec_key_comes_as_pkcs8(home, tmp_path):
    home.ctl("service", "add", "signing", "--profile", "ec-p256", "--reader", "val-1")
    assert script(home, "fetch_key.py", "--service", "signing", "--out", tmp_path / "key").returncode == 0
    pem = subprocess.run(["openssl", "pkey", "-inform", "DER", "-in", tmp_path / "key"], capture_output=True, check=True).stdout
    assert pem == home.skmc("--service", "signing").stdout


@pytest.mark.parametrize("sent", [(), ("--tls-only",)])
def test_a_payload_comes_out_as_it_went_in(home, skms_client, tmp_path, sent):
    payload = demo.secret(tmp_path / "payload", "x")
    payload.write_bytes(bytes(range(256)) * 100)
    user = "user" + "".join(sent)
    done = script(home, "provision.py", "--service", "demo", "--user", user, "--payload-id", "p", "--payload-file", payload, *sent,
                  token="SKMS_PROVISION_TOKEN_FILE")
    assert done.returncode == 0, done.stderr
    with client(home, skms_client) as val:
        [delivered] = val.fetch_payloads("demo", user=user)
        assert delivered.payload_id == "p" and delivered.content == payload.read_bytes()
        assert "content" not in repr(delivered) and "material" not in repr(val.fetch_keys("demo"))


def test_a_ue_gets_its_users_key(home, tmp_path):
    done = as_ue(home, "--user", "alice", "--out", tmp_path / "enrolled")
    assert done.returncode == 0, done.stderr
    public = jwk.JWK.from_pem((home.directory / "alice.key").read_bytes())
    bound = demo.secret(tmp_path / "token", home.issuer.token(
        client_id="sim-c", scope="skm", val_service_ids=["demo"], val_user_id="alice", cnf={"jkt": public.thumbprint()}))
    done = as_ue(home, "--user", "alice", "--bound", "--out", tmp_path / "bound", token=bound)
    assert done.returncode == 0, done.stderr
    by_skmc = home.skmc("--service", "demo", "--user", "alice", "--format", "raw").stdout
    assert (tmp_path / "enrolled").read_bytes() == (tmp_path / "bound").read_bytes() == by_skmc
    assert "403" in refused(as_ue(home, "--user", "alice", token=bound))
    assert "403" in refused(as_ue(home, "--user", "bob"))


def test_a_refusal_says_what_and_what_to_do(home, tmp_path):
    said = refused(script(home, "fetch_key.py", "--service", "t", "--out", tmp_path / "key"))
    assert "404 Not Found" in said and "ask the administrator whether you may read" in said and "urn:request:" in said
    assert not (tmp_path / "key").exists()
    stale = demo.secret(tmp_path / "stale", home.issuer.token(exp=1))
    said = refused(script(home, "fetch_key.py", "--service", "demo", token=stale))
    assert "has expired" in said and "fresh access token" in said
    payload = demo.secret(tmp_path / "payload", "x")
    said = refused(script(home, "provision.py", "--service", "demo", "--payload-file", payload))
    assert "403" in said and "SKeyProv" in said


def test_files_that_others_can_read_are_refused_before_anything_is_sent(home, tmp_path):
    token = demo.secret(tmp_path / "token", home.issuer.token())
    token.chmod(0o644)
    said = refused(script(home, "fetch_key.py", "--service", "demo", token=token))
    assert "can be read by others (mode 0644): chmod 600" in said
    assert home.issuer.token() not in said
    key = demo.secret(tmp_path / "key", (home.directory / "val-1.key").read_text())
    key.chmod(0o640)
    assert "mode 0640" in refused(script(home, "fetch_key.py", "--service", "demo", "--recipient-key", key))
    assert "cannot be read" in refused(script(home, "fetch_key.py", "--service", "demo", token=tmp_path / "none"))
    empty = demo.secret(tmp_path / "empty", "\n")
    assert "holds nothing" in refused(script(home, "fetch_key.py", "--service", "demo", token=empty))


def test_another_key_and_another_server_are_explained(home):
    foreign = home.directory / "val-2.key"
    assert "does not open with" in refused(script(home, "fetch_key.py", "--service", "demo", "--recipient-key", foreign))
    home.variables = {**home.variables, "SKMS_URL": "https://localhost:1"}
    try:
        assert "cannot be spoken to" in refused(script(home, "fetch_key.py", "--service", "demo"))
    finally:
        home.variables["SKMS_URL"] = home.url


def test_an_answer_for_another_target_is_refused(home, skms_client):
    with client(home, skms_client) as val:
        ask = val._ask
        for member, other in (("valService", "t"), ("valTgtUe", {"valUserId": "alice"})):
            val._ask = lambda *a, **k: {**ask(*a, **k), member: other}
            with pytest.raises(skms_client.SkmsError, match="for another service or target"):
                val.fetch_keys("demo")
        alices = json.loads(ask("GET", "/ss-kir/v1/key-records?val-service-id=demo&valUserId=alice")["keyInfo"])
        val._ask = lambda *a, **k: {**ask(*a, **k), "keyInfo": json.dumps(alices)}
        with pytest.raises(skms_client.SkmsError, match="not asked for"):
            val.fetch_keys("demo")


@pytest.mark.parametrize("path", sorted(EXAMPLE.glob("*.py")), ids=lambda path: path.name)
def test_it_compiles_and_imports_little(path, tmp_path):
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled"), doraise=True)
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= MAY_IMPORT, names
