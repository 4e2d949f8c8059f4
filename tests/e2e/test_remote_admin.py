"""Administrators from other hosts: the TLS port of section listen_admin, and skmsctl --url."""

import base64
import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import socket
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from appliance import BIN, DEADLINE, PIN, free_port, running, wait_for
from people import GROUP, OTHER_USERS, PEOPLE, ROLES, People, actor, open_directory
from pki import DAY, NOW, Authority
from test_edge_reload import write_crl
from test_locked import locked

pytestmark = pytest.mark.skipif(not OTHER_USERS, reason="needs root and setpriv to become several users")


def key_hash(certificate):
    spki = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


class Afar:
    """The administrators' certificates, and what they may ask with them."""

    def __init__(self, directory, people=("admin", "second", "auditor", "officer", "backup")):
        self.directory = directory
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.ca = Authority(directory, "admin-ca")
        self.ca.issue("admin-server", server=True)
        persons = [f"'{PEOPLE[person]}:{key_hash(self.ca.issue(person))}'" for person in people]
        self.settings = {
            "listen_admin__port": self.port, "listen_admin__certificate": "admin-server.pem", "listen_admin__private_key": "admin-server.key",
            "listen_admin__client_ca": "admin-ca.pem", "listen_admin__persons": f"[{', '.join(persons)}]",
        }

    def command(self, person, *arguments, url=None, ca="admin-ca"):
        return [BIN / "skmsctl", "--url", url or self.url, "--cert", self.directory / f"{person}.pem", "--key", self.directory / f"{person}.key",
                "--ca", self.directory / f"{ca}.pem", *map(str, arguments)]

    def ctl(self, person, *arguments, stdin=None, **options):
        return subprocess.run(self.command(person, *arguments, **options), input=stdin, capture_output=True, text=True, timeout=DEADLINE, cwd="/")

    def did(self, person, *arguments):
        done = self.ctl(person, *arguments)
        assert done.returncode == 0, (person, arguments, done.stderr)
        return done.stdout

    def curl(self, *arguments, person=None, path="/admin/v1/status"):
        """(exit code of curl, status, body)"""
        certificate = ("--cert", self.directory / f"{person}.pem", "--key", self.directory / f"{person}.key") if person else ()
        done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "20", "--cacert", self.directory / "admin-ca.pem", "--write-out", "\n%{http_code}",
                               *map(str, (*certificate, *arguments)), self.url + path], capture_output=True, text=True, timeout=DEADLINE)
        body, _, status = done.stdout.rpartition("\n")
        return done.returncode, int(status or 0), body


@pytest.fixture(scope="module")
def server():
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        appliance.key()
        appliance.stop()
        afar = Afar(directory)
        appliance.write_config(**ROLES, **afar.settings)
        appliance.start()
        people = People(appliance)
        people.afar = afar
        yield people


def test_a_person_is_who_his_certificate_says_with_his_roles(server):
    afar = server.afar
    assert json.loads(afar.did("auditor", "status", "--output", "json"))["state"] == "operational"
    done = afar.ctl("auditor", "service", "add", "x")
    assert done.returncode == 1 and "this needs the role admin or operator; user 'man' has auditor" in done.stderr
    afar.did("admin", "service", "add", "from-afar")
    assert "from-afar" in afar.did("auditor", "service", "list")
    [entry] = server.chain(action="service.add", service="from-afar")
    assert entry["actor"] == actor("admin")


def test_one_person_is_one_person_from_wherever_he_asks(server):
    afar = server.afar
    server.did("admin", "key", "rotate", "--service", "s")
    keys = json.loads(server.did("admin", "key", "list", "--service", "s", "--output", "json"))["keys"]
    kid = next(one["kid"] for one in keys if one["state"] == "active")
    server.did("admin", "key", "deactivate", kid, "--reason", "drill")
    destroy = ("key", "destroy", kid, "--reason", "drill")
    request = server.asked("admin", *destroy)
    approve = ("approval", "approve", request["id"], "--digest", request["digest"])
    own = afar.ctl("admin", *approve)
    assert own.returncode == 1 and "own" in own.stderr, own.stderr
    afar.did("second", *approve)
    done = afar.ctl("admin", *destroy)
    assert done.returncode == 0, done.stderr
    assert [one["actor"] for one in server.chain(kid=request["id"])] == [actor("admin"), actor("second"), actor("admin")]


@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_without_a_certificate_of_the_authority_there_is_no_http_at_all(server, version):
    afar = server.afar
    limit = ("--tls-max", version[-3:])
    afar.directory.chmod(0o755)
    afar.ca.issue("ended", starts=NOW - 3 * DAY, ends=NOW - DAY)
    for person in (None, "val-1", "ended"):
        code, status, _ = afar.curl(version, *limit, person=person)
        assert code != 0 and status == 0, (person, code, status)
    assert afar.curl(version, *limit, person="auditor")[:2] == (0, 200)


def test_old_tls_and_plain_http_are_refused(server):
    weak = ("--ciphers", "DEFAULT@SECLEVEL=0")
    assert server.afar.curl("--tlsv1.0", "--tls-max", "1.1", *weak, person="auditor")[0] != 0
    assert server.afar.curl("--tlsv1.0", "--tls-max", "1.2", *weak, person="auditor")[1] == 200
    done = subprocess.run(["curl", "--silent", "--max-time", "10", f"http://localhost:{server.afar.port}/healthz"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode != 0 and "ok" not in done.stdout


def test_a_certificate_that_is_nobodys_is_told_what_to_ask_for(server):
    """Of the right authority, and even with an administrator's name in it."""
    afar = server.afar
    certificate = afar.ca.issue("stranger")
    code, status, body = afar.curl(person="stranger")
    assert (code, status) == (0, 403) and json.loads(body)["cause"] == "not-an-administrator"
    assert key_hash(certificate) in json.loads(body)["detail"] and "listen_admin.persons" in json.loads(body)["detail"]
    for path in ("/healthz", "/readyz", "/metrics", "/admin/v1/services"):
        assert afar.curl(person="stranger", path=path)[1] == 403, path
    done = afar.ctl("stranger", "status")
    assert done.returncode == 1 and key_hash(certificate) in done.stderr


def test_header_fields_make_nobody_an_administrator(server):
    """What the edge says of its clients counts on the edge's socket alone."""
    pem = (server.afar.directory / "admin.pem").read_text()
    der = base64.b64encode(base64.b64decode("".join(pem.splitlines()[1:-1]))).decode()
    code, status, _ = server.afar.curl("-H", f"Client-Cert: :{der}:", person="val-1")
    assert code != 0 and status == 0
    code, status, body = server.afar.curl("-H", f"Client-Cert: :{der}:", "--data", "{}", "-H", "Content-Type: application/json",
                                          person="auditor", path="/admin/v1/services")
    assert status == 403, body


@pytest.mark.parametrize("fields", [("Origin: https://elsewhere.test", "Content-Type: application/json"), ("Sec-Fetch-Site: cross-site", "Content-Type: application/json"),
                                    ("Content-Type: text/plain",), ("Content-Type: application/x-www-form-urlencoded",), ("Content-Type:",)])
def test_a_page_of_another_site_does_nothing_with_an_administrators_browser(server, fields):
    """The browser shows the certificate by itself; what it may send without asking first is refused."""
    afar = server.afar
    headers = [word for field in fields for word in ("-H", field)]
    code, status, body = afar.curl(*headers, "--data", '{"id": "by-another-site"}', person="admin", path="/admin/v1/services")
    assert (code, status, json.loads(body)["cause"]) == (0, 403, "cross-site"), body
    assert "by-another-site" not in afar.did("auditor", "service", "list")
    good = afar.curl("-H", "Content-Type: application/json", "--data", "[]", person="admin", path="/admin/v1/services")
    assert good[1] == 400


def test_a_page_of_another_site_reads_nothing(server):
    for site, expected in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert server.afar.curl("-H", f"Sec-Fetch-Site: {site}", person="auditor")[1] == expected, site
        assert server.afar.curl("--head", "-H", f"Sec-Fetch-Site: {site}", person="auditor")[1] == expected, site


def test_a_certificate_of_an_administrator_opens_no_keys(server):
    """The ports are apart: neither takes the other's certificates."""
    afar, appliance = server.afar, server.appliance
    for name in ("admin.pem", "admin.key"):
        assert (appliance.directory / name).exists()
    assert appliance.get(who="admin").status == 0
    assert afar.curl(person="auditor", path="/ss-kir/v1/key-records?val-service-id=s")[1] == 404


def test_a_backup_comes_over_the_network(server):
    afar = server.afar
    out = pathlib.Path(afar.directory) / "from-afar.backup"
    afar.did("backup", "backup", "create", "--file", out)
    assert out.stat().st_mode & 0o777 == 0o600 and out.stat().st_size > 1000
    assert "whole" in afar.did("auditor", "audit", "verify", "--output", "json")


@pytest.mark.parametrize("arguments", [("init",), ("doctor",), ("token", "probe"), ("backup", "drill", "--file", "/nowhere"), ("edge", "config", "--print"),
                                       ("backup", "restore", "--file", "/nowhere")])
def test_what_needs_the_host_itself_says_so(server, arguments):
    done = server.afar.ctl("admin", *arguments)
    assert done.returncode == 1 and "run it on that host, without --url" in done.stderr, done.stderr


def test_each_mistake_of_the_caller_is_told(server):
    afar = server.afar
    for url in ("http://localhost:1", "localhost:1", "https://localhost:1/prefix", "https://localhost:99999", "https://localhost:x", "https://"):
        done = afar.ctl("auditor", "status", url=url)
        assert done.returncode == 1 and "--url must be https://host[:port]" in done.stderr, (url, done.stderr)
    nobody = afar.ctl("auditor", "status", url=f"https://localhost:{free_port()}")
    assert nobody.returncode == 4 and "nobody answers on https://localhost:" in nobody.stderr
    other = afar.ctl("auditor", "status", ca="ca")
    assert other.returncode == 1 and "does not vouch for" in other.stderr and "nothing was sent" in other.stderr
    other = subprocess.run([*afar.command("auditor")[:-2], "status"], capture_output=True, text=True, timeout=DEADLINE)
    assert other.returncode == 1 and "this host's certificate authorities do not vouch for" in other.stderr, other.stderr
    (afar.directory / "open.pem").write_bytes((afar.directory / "auditor.pem").read_bytes())
    (afar.directory / "open.key").write_bytes((afar.directory / "auditor.key").read_bytes())
    (afar.directory / "open.key").chmod(0o640)
    shown = afar.ctl("open", "status")
    assert shown.returncode == 1 and "others may read or write this key" in shown.stderr
    missing = afar.ctl("no-such", "status")
    assert missing.returncode == 3 and "no-such" in missing.stderr
    both = subprocess.run([*afar.command("auditor", "status"), "--socket", "x"], capture_output=True, text=True, timeout=DEADLINE)
    assert both.returncode == 2 and "name two servers" in both.stderr
    alone = subprocess.run([BIN / "skmsctl", "status", "--cert", "x"], capture_output=True, text=True, timeout=DEADLINE)
    assert alone.returncode == 2 and "go with --url" in alone.stderr
    without = subprocess.run([BIN / "skmsctl", "status", "--url", afar.url], capture_output=True, text=True, timeout=DEADLINE)
    assert without.returncode == 1 and "--url needs --cert FILE and --key FILE" in without.stderr
    wrong_key = shutil.copy(afar.directory / "admin.key", afar.directory / "mixed.key")
    pathlib.Path(wrong_key).chmod(0o600)
    shutil.copy(afar.directory / "auditor.pem", afar.directory / "mixed.pem")
    mixed = afar.ctl("mixed", "status")
    assert mixed.returncode == 1 and "is the key of" in mixed.stderr


@contextlib.contextmanager
def other_server(afar):
    """With a good certificate of the same authority, which names no host."""
    port = free_port()
    process = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", afar.directory / "admin-server-of-another.pem",
                                "-key", afar.directory / "admin-server-of-another.key", "-quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), "openssl s_server")
        yield f"https://localhost:{port}"
    finally:
        process.kill()
        process.wait(DEADLINE)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_servers_name_must_be_in_its_certificate(server):
    afar = server.afar
    assert afar.ctl("auditor", "status", url=f"https://127.0.0.1:{afar.port}").returncode == 0
    afar.ca.issue("admin-server-of-another", server=False)
    with other_server(afar) as url:
        done = afar.ctl("auditor", "status", url=url)
    assert done.returncode == 1 and "shows a certificate for another name" in done.stderr, done.stderr


def test_a_locked_server_is_unlocked_from_afar(tmp_path):
    with open_directory() as directory:
        afar = Afar(directory)
        with locked(directory, admin__group=GROUP, **ROLES, **afar.settings) as appliance:
            assert json.loads(afar.did("auditor", "status", "--output", "json"))["state"] == "locked"
            assert afar.curl(person=None)[1] == 0
            refused = afar.curl("--data", json.dumps({"pin": PIN}), "-H", "Content-Type: application/json", person="auditor", path="/admin/v1/unlock")
            assert refused[1] == 403
            opened = afar.curl("--data", json.dumps({"pin": PIN}), "-H", "Content-Type: application/json", person="officer", path="/admin/v1/unlock")
            assert opened[1] == 204
            wait_for(lambda: json.loads(afar.curl(person="auditor")[2] or "{}").get("state") == "operational", "the opened server")
            assert PIN not in appliance.log.read_text()


def test_a_revoked_certificate_is_nobodys(tmp_path):
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        appliance.stop()
        afar = Afar(directory)
        stolen = afar.ca.issue("stolen")
        write_crl(afar, ["stolen"])
        persons = afar.settings["listen_admin__persons"].rstrip("]") + f", '{PEOPLE['admin']}:{key_hash(stolen)}']"
        appliance.write_config(**ROLES, **{**afar.settings, "listen_admin__persons": persons, "listen_admin__crl": "crl.pem"})
        appliance.start()
        assert afar.curl(person="stolen")[1] == 0
        assert afar.curl(person="admin")[1] == 200
        for file in ("certificate", "client_ca", "crl"):
            assert f'"listen_admin.{file}"' in appliance.ctl("metrics")


def test_what_the_configuration_must_not_say(tmp_path):
    with running(tmp_path) as appliance:
        appliance.stop()
        afar = Afar(tmp_path, people=("admin",))
        hash_ = re.search(r"[0-9a-f]{64}", afar.settings["listen_admin__persons"])[0]
        for persons, says in ((f"['root:{hash_}']", "'root' is no person's account"), (f"['no-such-user:{hash_}']", "no user 'no-such-user' on this host"),
                              (f"['bin:{hash_}', 'sys:{hash_}']", "names one key twice"), ("['bin:abc']", "NAME:HEX"), (f"['bin:{hash_.upper()}']", "NAME:HEX"),
                              ("[]", "NAME:HEX"), (f"[':{hash_}']", "NAME:HEX")):
            appliance.write_config(**{**afar.settings, "listen_admin__persons": persons})
            done = appliance.run_skmsd()
            assert done.returncode == 3 and says in done.stderr, (persons, done.stderr)
        appliance.write_config(**{**afar.settings, "listen_admin__port": 0})
        assert "administrators must know it" in appliance.run_skmsd().stderr
        for without in ("client_ca", "certificate", "private_key"):
            appliance.write_config(**{key: value for key, value in afar.settings.items() if key != f"listen_admin__{without}"})
            done = appliance.run_skmsd()
            assert done.returncode == 3 and without in done.stderr
        appliance.write_config(**afar.settings, listen_admin__ocsp_response="x")
        assert "staples none" in appliance.run_skmsd().stderr
        # Whoever holds certificate and key is that user, and no more: here he is no administrator at all.
        appliance.write_config(**afar.settings)
        appliance.start()
        code, status, body = afar.curl(person="admin")
        assert (code, status) == (0, 403) and json.loads(body)["cause"] == "not-an-administrator"
