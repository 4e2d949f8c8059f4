"""libskmc as its users have it: skmc's commands, and the C++ examples built against the installed library."""

import copy
import os
import pathlib
import shutil
import subprocess

import pytest

from appliance import BIN, DEADLINE, ROOT, Appliance
from pki import write_key
from test_km_uu import UeKey

BUILD = BIN.parent
PAYLOAD = bytes(range(256)) * 5


@pytest.fixture(scope="module")
def world(shared):
    """Service 'lib', its UE's key, and the token files of a VAL server and of a UE."""
    shared.ctl("service", "add", "lib", "--scope", "service,user,ue,client", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer",
               "sim-s")
    shared.ue = UeKey()
    write_key(shared.directory / "ue.key", shared.ue.private)
    write_token(shared, "val-token", shared.issuer.token(client_id="val-1", scope="ss-kir ss-kpp", SKeyProv=True))
    write_token(shared, "ue-token", ue_token(shared))
    return shared


def ue_token(world, **changes):
    claims = {"client_id": "sim-c", "scope": "skm", "val_user_id": "alice", "val_ue_id": "ue-1", "val_client_id": "app-1",
              "val_service_ids": ["lib"], "cnf": {"jkt": world.ue.thumbprint}}
    return world.issuer.token(**{**claims, **changes})


def write_token(world, name, token):
    (world.directory / name).write_text(token)
    (world.directory / name).chmod(0o600)
    return world.directory / name


def skmc(world, command, *arguments, url=None, token="val-token", val=True):
    words = [BIN / "skmc", command, "--url", url or world.url, "--ca", world.directory / "ca.pem"]
    if command != "discover":
        words += ["--token-file", world.directory / token]
    if val:
        words += ["--cert", world.directory / "val-1.pem", "--key", world.directory / "val-1.key"]
    return subprocess.run([*map(str, words), *map(str, arguments)], capture_output=True, timeout=DEADLINE)


def good(done):
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def request(world, *arguments, **options):
    return skmc(world, "request", *arguments, url=world.ue_url, token="ue-token", val=False, **options)


@pytest.mark.parametrize("option,name", [("--user", "alice"), ("--ue", "ue-1"), ("--client", "app-1")])
def test_a_ue_has_the_key_that_its_val_server_has(world, option, name):
    mine = good(request(world, "--service", "lib", option, name, "--bound-key", world.directory / "ue.key"))
    assert len(mine.strip()) == 64
    if option != "--client":  # KM-S has no way to name one
        assert good(skmc(world, "get", "--service", "lib", option, name)) == mine


def test_refusals_of_km_uu_are_sentences_with_advice(world):
    done = request(world, "--service", "lib", "--user", "bob", "--bound-key", world.directory / "ue.key")
    assert done.returncode == 1
    text = done.stderr.decode()
    assert text.startswith("skmc: the server answered 403: Forbidden") and "what to do:" in text
    both = request(world, "--service", "lib", "--user", "a", "--ue", "b")
    assert both.returncode == 2 and b"at most one of --user, --ue and --client" in both.stderr


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("target", [(), ("--user", "alice"), ("--ue", "ue-1")])
def test_a_payload_comes_back_octet_for_octet(world, sealed, target):
    payload = PAYLOAD + (b"sealed" if sealed else b"plain")
    (world.directory / "payload").write_bytes(payload)
    more = () if sealed else ("--plain",)
    out = good(skmc(world, "provision", "--service", "lib", *target, "--payload-id", "p", "--payload-file", world.directory / "payload", *more))
    assert out == f"provisioned {len(payload)} bytes for service lib\n".encode()
    assert good(skmc(world, "get", "--service", "lib", *target, "--payload", "p")) == payload
    if target[:1] == ("--user",):
        assert good(request(world, "--service", "lib", *target, "--payload", "p", "--bound-key", world.directory / "ue.key")) == payload
    missing = skmc(world, "get", "--service", "lib", *target, "--payload", "q")
    assert missing.returncode == 5 and b"no payload 'q'" in missing.stderr


def test_a_payload_under_a_transport_key_and_one_without_a_key_beside_it(world):
    shared = world
    (shared.directory / "transport").write_bytes(os.urandom(32))
    (shared.directory / "transport").chmod(0o400)
    shared.ctl("principal", "add", "val-1t", "--certificate", make_certificate(shared))
    shared.ctl("recipient", "add", "tk", "--principal", "val-1t", "--transport-key", shared.directory / "transport")
    shared.ctl("service", "add", "only-payloads", "--scope", "service", "--reader", "val-1t", "--provisioner", "val-1t", "--generate-on-request",
               "no")
    write_token(shared, "t-token", shared.issuer.token(client_id="val-1t", scope="ss-kir ss-kpp", SKeyProv=True))
    (shared.directory / "payload").write_bytes(PAYLOAD)
    identity = ("--cert", shared.directory / "val-1t.pem", "--key", shared.directory / "val-1t.key")
    good(skmc(shared, "provision", "--service", "only-payloads", "--payload-file", shared.directory / "payload", *identity, token="t-token",
              val=False))
    transport = ("--transport-key", shared.directory / "transport")
    read = skmc(shared, "get", "--service", "only-payloads", *identity, *transport, "--payload", token="t-token", val=False)
    assert good(read) == PAYLOAD
    no_key = skmc(shared, "get", "--service", "only-payloads", *identity, *transport, token="t-token", val=False)
    assert no_key.returncode == 5 and b"name one with --payload" in no_key.stderr
    info = good(skmc(shared, "get", "--service", "only-payloads", *identity, "--info", token="t-token", val=False)).decode()
    assert "payload    (without an id)" in info and "A256KW to tk" in info


def make_certificate(world):
    world.ca.issue("val-1t")
    return world.directory / "val-1t.pem"


def test_discovery_tells_what_there_is(world):
    text = good(skmc(world, "discover")).decode()
    assert f"apiRoot      {world.url}" in text and "skms-test" in text and "(scope ss-kpp)" in text and "RSA-OAEP" in text


def test_redirects_are_followed_only_when_asked(world):
    world.ctl("service", "add", "moved", "--reader", "val-1", "--home", "https://localhost:1")
    done = skmc(world, "get", "--service", "moved")
    text = done.stderr.decode()
    assert done.returncode == 1 and "it is served by https://localhost:1/ss-kir/v1/key-records" in text and "--follow" in text
    assert skmc(world, "get", "--service", "moved", "--follow").returncode == 4
    # A server that sends in circles is left after three hops.
    world.ctl("service", "set", "moved", "--home", world.url)
    assert skmc(world, "get", "--service", "moved", "--follow").returncode == 1


@pytest.fixture(scope="module")
def home(world, tmp_path_factory):
    """Another server with services 'away' and 'away-too', a token of its own, and the same CA and issuer."""
    directory = tmp_path_factory.mktemp("home")
    for path in world.directory.iterdir():
        if path.suffix in (".pem", ".key") or path.name == "jwks.json":
            shutil.copy2(path, directory)
    appliance = Appliance(directory)
    appliance.make_token()
    appliance.write_pin()
    appliance.write_config()
    appliance.issuer = copy.copy(world.issuer)
    appliance.issuer.jwks_path = directory / "jwks.json"
    appliance.ctl("init")
    try:
        appliance.start().provision()
        for service in ("away", "away-too"):
            appliance.ctl("service", "add", service, "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer",
                          "sim-s", "--delivery", "tls")
        yield appliance
    finally:
        appliance.stop()


def test_a_redirect_is_followed_to_the_server_that_has_the_service(world, home):
    world.ctl("service", "add", "away", "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s",
              "--home", home.url, "--home-ue", home.ue_url)
    assert skmc(world, "get", "--service", "away").returncode == 1
    key = good(skmc(world, "get", "--service", "away", "--follow"))
    assert key == good(skmc(world, "get", "--service", "away", url=home.url))
    # KM-UU names the new server in the body that it sends again.
    write_token(world, "away-token", ue_token(world, val_service_ids=["away"], cnf=None))
    asked = skmc(world, "request", "--service", "away", "--user", "alice", "--follow", url=world.ue_url, token="away-token", val=False)
    assert good(asked) == good(skmc(world, "get", "--service", "away", "--user", "alice", url=home.url))


def test_a_payload_is_sealed_to_the_server_that_takes_it(world, home):
    world.ctl("service", "add", "away-too", "--scope", "service", "--reader", "val-1", "--provisioner", "val-1", "--home", home.url)
    (world.directory / "payload").write_bytes(PAYLOAD)
    good(skmc(world, "provision", "--service", "away-too", "--payload-file", world.directory / "payload", "--follow"))
    assert good(skmc(world, "get", "--service", "away-too", "--payload", url=home.url)) == PAYLOAD


def test_a_transfer_key_that_is_not_the_named_one_is_refused(world):
    thumbprint = good(skmc(world, "discover")).decode().rpartition("thumbprint ")[2].strip()
    arguments = ("--service", "lib", "--payload-id", "t", "--payload-file", world.directory / "payload", "--transfer-thumbprint")
    (world.directory / "payload").write_bytes(PAYLOAD)
    good(skmc(world, "provision", *arguments, thumbprint))
    other = skmc(world, "provision", *arguments, "A" * 43)
    assert other.returncode == 5 and b"the server's transfer key is" in other.stderr


def test_a_private_key_that_others_can_read_is_refused(world):
    loose = world.directory / "loose.key"
    loose.write_bytes((world.directory / "val-1.key").read_bytes())
    loose.chmod(0o644)
    for option in ("--key", "--recipient-key"):
        done = skmc(world, "get", "--service", "lib", "--cert", world.directory / "val-1.pem", option, loose,
                    *(("--key", world.directory / "val-1.key") if option != "--key" else ()), val=False)
        assert done.returncode in (3, 5) and b"loose.key" in done.stderr, done.stderr


def test_the_environment_does_not_steer_the_client(world):
    log = world.directory / "keylog"
    words = [BIN / "skmc", "discover", "--url", world.url, "--ca", world.directory / "ca.pem", "--cert", world.directory / "val-1.pem",
             "--key", world.directory / "val-1.key"]
    environment = {**os.environ, "https_proxy": "http://localhost:1", "HTTPS_PROXY": "http://localhost:1", "SSLKEYLOGFILE": str(log)}
    done = subprocess.run(list(map(str, words)), capture_output=True, timeout=DEADLINE, env=environment)
    assert done.returncode == 0, done.stderr
    assert not log.exists()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The C++ examples, built as the document says: against the library that was installed elsewhere."""
    cache = (BUILD / "CMakeCache.txt").read_text() if (BUILD / "CMakeCache.txt").exists() else ""
    if not cache:
        pytest.skip("needs a build folder, not its programs alone")
    sanitize = next((line.partition("=")[2] for line in cache.splitlines() if line.startswith("SKMS_SANITIZE:")), "")
    place = tmp_path_factory.mktemp("examples")
    run = lambda *words: subprocess.run(list(map(str, words)), check=True, capture_output=True, timeout=600)
    run("cmake", "--install", BUILD, "--component", "skmc", "--prefix", place / "prefix")
    source = place / "source"
    shutil.copytree(ROOT / "client/examples/cpp", source)
    flags = [f"-DCMAKE_CXX_FLAGS=-fsanitize={sanitize}"] if sanitize else []
    run("cmake", "-G", "Ninja", "-S", source, "-B", place / "build", f"-DCMAKE_PREFIX_PATH={place / 'prefix'}", *flags)
    run("cmake", "--build", place / "build", "-j2")
    return place / "build"


def run_example(world, examples, name, *arguments):
    return subprocess.run([str(examples / name), *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)


def files(world):
    return world.directory / "ca.pem", world.directory / "val-1.pem", world.directory / "val-1.key", world.directory / "val-token"


def test_the_example_of_a_val_server_runs(world, examples):
    done = run_example(world, examples, "retrieve_key", world.url, "lib", *files(world))
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.endswith("A256GCM active: 32 octets") and last == "unchanged"
    refused = run_example(world, examples, "retrieve_key", world.url, "none-such", *files(world))
    assert refused.returncode == 1 and "the server answered 404" in refused.stderr


def test_the_example_of_a_ue_runs(world, examples):
    done = run_example(world, examples, "request_key", world.ue_url, "lib", "alice", world.directory / "ca.pem", world.directory / "ue.key",
                       world.directory / "ue-token")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("A256GCM active: 32 octets")


def test_the_example_of_a_provisioner_runs(world, examples):
    done = run_example(world, examples, "provision_payload", world.url, "lib", *files(world), "the plan of the day")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "example version 1: the plan of the day\n"


def test_installed_headers_are_enough_and_no_more(examples):
    headers = pathlib.Path(examples).parent / "prefix/include/skmc"
    assert {path.name for path in (headers / "client").iterdir()} == {
        "https.h", "key_answer.h", "key_management_client.h", "open_key.h", "problem.h", "receipt.h"}
    for path in headers.rglob("*.h"):
        assert "nlohmann" not in path.read_text() and "curl/" not in path.read_text(), path
