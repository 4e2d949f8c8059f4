"""Receipts: what the token signs of a delivery, as its receiver checks it, and as an auditor finds it in the chain."""

import base64
import hashlib
import json
import subprocess

import pytest

from appliance import BIN, DEADLINE
from edge import ask_ue
from test_groups import GroupServer, users

PREFER = "Prefer: skms-receipt"


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(answer):
    """Of the receipt that came with an answer; it speaks of that answer."""
    assert answer.headers["preference-applied"] == "skms-receipt"
    header, payload, _ = answer.headers["skms-receipt"].split(".")
    assert json.loads(b64(header))["typ"] == "skms-receipt"
    said = json.loads(b64(payload))
    assert b64(said["digest"]) == hashlib.sha256(answer.body.encode()).digest()
    return said


def with_receipt(appliance, query="val-service-id=s", **options):
    return appliance.get(query, headers=[PREFER], **options)


@pytest.fixture
def public_key(shared):
    path = shared.directory / "audit.pem"
    path.write_text(shared.ctl("audit", "key"))
    return path


def receipt(*arguments):
    done = subprocess.run([BIN / "skmc", "receipt", *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)
    return done.returncode, done.stdout + done.stderr


def test_a_receipt_names_answer_keys_requester_and_audit_entry(shared):
    answer = with_receipt(shared)
    said = claims(answer)
    kids = [key["kid"] for key in json.loads(answer.json["keyInfo"])["keys"]]
    assert (said["iss"], said["sub"], said["service"], said["kids"].split()) == (shared.url, "val-1", "s", kids)
    entry = [e for e in shared.ctl_json("audit", "query", "--kid", kids[-1])["entries"] if e["requestId"] == said["jti"]][-1]
    assert (entry["seq"], entry["hash"], entry["action"], entry["outcome"]) == (said["seq"], said["hash"], "deliver", "granted")


@pytest.mark.parametrize("prefer", ["Prefer: respond-async, Skms-Receipt ,wait=5", "prefer: skms-receipt"])
def test_it_is_asked_for_as_rfc_7240_says(shared, prefer):
    claims(shared.get(headers=[prefer]))


@pytest.mark.parametrize("headers", [[], ["Prefer: return=minimal"], ["Prefer: skms-receipts"], ["Prefer: x=skms-receipt"]])
def test_none_comes_unasked(shared, headers):
    answer = shared.get(headers=headers)
    assert answer.status == 200 and "skms-receipt" not in answer.headers and "preference-applied" not in answer.headers


def test_what_delivers_nothing_has_none(shared):
    tag = shared.get().headers["etag"]
    unchanged = shared.get(headers=[PREFER, f"If-None-Match: {tag}"])
    refused = with_receipt(shared, "val-service-id=nowhere")
    for answer, status in ((unchanged, 304), (refused, 404)):
        assert answer.status == status and "skms-receipt" not in answer.headers


def test_a_ue_gets_one_that_does_not_name_its_user(shared):
    shared.ctl("service", "add", "p", "--scope", "user", "--delivery", "tls", "--ue-issuer", "sim-s")
    answer = ask_ue(shared, headers=[PREFER])
    assert answer.status == 200, answer.body
    said = claims(answer)
    assert said["sub"].startswith("ue:") and "alice" not in json.dumps(said)


def test_a_group_server_gets_one_over_all_services(shared):
    shared.ca.issue("gms-1")
    shared.ctl("principal", "add", "gms-1", "--certificate", shared.directory / "gms-1.pem", "--role", "group-server")
    for service in ("rg1", "rg2"):
        shared.ctl("service", "add", service, "--scope", "user,group", "--group-server", "gms-1")
    group_server = GroupServer(shared)
    assert group_server.put("g", users("alice"), services=("rg1", "rg2")).status == 201
    answer = group_server.ask("GET", "g/key-records", headers=[PREFER])
    said = claims(answer)
    kids = [key["kid"] for record in answer.json["keyRecords"] for key in json.loads(record["keyInfo"])["keys"]]
    assert said["service"] == "rg1 rg2" and said["kids"].split() == kids and len(kids) == 2


def test_skmc_checks_and_keeps_it_and_an_auditor_finds_its_entry(shared, public_key):
    early, late, kept = (shared.directory / name for name in ("early.jsonl", "late.jsonl", "kept.receipt"))
    shared.ctl("audit", "export", "--file", early)
    opened = shared.skmc("--service", "s", "--receipt", kept)
    assert opened.returncode == 0 and len(opened.stdout.strip()) == 64, opened.stderr
    assert oct(kept.stat().st_mode & 0o777) == "0o600"
    code, said = receipt(kept, "--public-key", public_key)
    assert code == 0, said
    for part in (shared.url, "val-1", "audit entry", shared.key()["kid"]):
        assert part in said
    shared.ctl("audit", "export", "--file", late)

    def verify(chain, named):
        command = [BIN / "skmsctl", "audit", "verify", "--file", chain, "--public-key", public_key, "--receipt", named]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        return done.returncode, done.stderr

    assert verify(late, kept)[0] == 0
    code, said = verify(early, kept)
    assert code == 3 and "the tail was cut: the receipt of request" in said
    code, said = verify(late, public_key)
    assert code == 1 and "audit.pem: is no" in said


def test_names_that_are_no_plain_ascii_stand_in_it_as_words(shared):
    shared.ctl("service", "add", "ü b", "--scope", "service", "--reader", "val-1")
    assert claims(with_receipt(shared, "val-service-id=%C3%BC%20b"))["service"] == "%C3%BC%20b"


def test_the_servers_name_may_be_written_otherwise(shared):
    done = subprocess.run([BIN / "skmc", "get", "--url", shared.url.replace("localhost", "LOCALHOST"), "--ca", shared.directory / "ca.pem",
                           "--cert", shared.directory / "val-1.pem", "--key", shared.directory / "val-1.key", "--token-file", shared.directory / "token",
                           "--service", "s", "--receipt", shared.directory / "upper.receipt"], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr


def test_skmc_gives_no_key_where_the_receipt_is_not_kept(shared):
    done = shared.skmc("--service", "s", "--receipt", "/nowhere/receipt")
    assert done.returncode == 3 and not done.stdout and b"/nowhere/receipt" in done.stderr


def test_a_receipt_that_was_changed_or_is_of_another_is_refused(shared, public_key):
    answer = with_receipt(shared)
    jws = answer.headers["skms-receipt"]
    head, payload, signature = jws.split(".")
    said = json.loads(b64(payload))
    other = base64.urlsafe_b64encode(json.dumps({**said, "sub": "val-2"}, separators=(",", ":")).encode()).rstrip(b"=").decode()
    exported = shared.directory / "with-checkpoint.jsonl"
    shared.ctl("audit", "export", "--file", exported)
    of_the_chain = json.loads(exported.read_text().splitlines()[-1])["checkpoint"]
    for name, text, why in [
        ("changed", f"{head}.{other}.{signature}", "is signed by none of the keys that are given"),
        ("cut", f"{head}.{payload}", "is no JWS"),
        ("short", jws[:-18], "is signed by none of the keys that are given"),
        ("other", f"{head}.{payload}.{'A' * len(signature)}", "is signed by none of the keys that are given"),
        ("checkpoint", of_the_chain, "is no receipt of a delivery"),
        ("empty", "", "is no JWS"),
    ]:
        file = shared.directory / f"{name}.receipt"
        file.write_text(text)
        code, told = receipt(file, "--public-key", public_key)
        assert code == 5 and why in told, (name, code, told)
    good = shared.directory / "good.receipt"
    good.write_text(jws)
    assert receipt(good, "--public-key", public_key)[0] == 0
    assert receipt(good, "--public-key", shared.directory / "val-1.key")[0] == 3
    assert receipt(good)[0] == 2
