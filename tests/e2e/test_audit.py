"""The audit chain as an auditor meets it: exported, verified without the daemon, searched, archived; and what an attacker leaves behind."""

import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess
import time

import pytest

from appliance import BIN, DEADLINE, Appliance, running, wait_for
from several_tokens import ended


def lines_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def write(path, lines):
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return path


class Exported:
    """An appliance's chain in a file, and its public key beside it."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.directory = appliance.directory
        self.file = self.directory / "audit.jsonl"
        self.key = self.directory / "audit.pem"
        self.key.write_text(appliance.ctl("audit", "key"))

    def export(self):
        return self.appliance.ctl_json("audit", "export", "--file", self.file)

    def verify(self, *arguments, files=None):
        named = [one for file in files or [self.file] for one in ("--file", file)]
        command = [BIN / "skmsctl", "audit", "verify", *named, "--public-key", self.key, "--output", "json", *arguments]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=DEADLINE)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    with running(tmp_path_factory.mktemp("audit"), audit__checkpoint_entries="5") as appliance:
        exported = Exported(appliance)
        for _ in range(7):
            appliance.key()
        exported.export()
        for _ in range(3):
            appliance.get("val-service-id=nowhere")
        exported.export()
        yield exported


def test_an_export_is_verified_without_the_daemon(exported):
    verdict = exported.verify()
    lines = lines_of(exported.file)
    entries = [line for line in lines if "checkpoint" not in line]
    assert (verdict["first"], verdict["entries"], verdict["signedUpTo"]) == (1, len(entries), len(entries))
    assert [line["seq"] for line in entries] == list(range(1, len(entries) + 1))
    assert "checkpoint" in lines[-1] and verdict["checkpoints"] >= 2
    assert oct(exported.file.stat().st_mode & 0o777) == "0o600"
    assert exported.export()["written"] == 0  # nothing twice
    assert lines_of(exported.file) == lines
    online = exported.appliance.ctl_json("audit", "verify")
    assert online["whole"] and online["first"] == 1 and online["signedUpTo"] == len(entries)


def test_what_was_changed_dropped_put_in_moved_or_cut_is_named(exported):
    lines = lines_of(exported.file)
    at = next(i for i, line in enumerate(lines) if line.get("seq") == 4 and "checkpoint" not in line)
    changed = [dict(line) for line in lines]
    changed[at]["outcome"] = "refused"
    cut = next(i for i in range(len(lines) - 2, 0, -1) if "checkpoint" not in lines[i])
    for name, forged, why in [
        ("changed", changed, "entry 4 was changed"),
        ("dropped", lines[:at] + lines[at + 1:], "belongs: entries were dropped or moved"),
        ("put-in", lines[:at + 1] + lines[at:], "entry 4 stands after entry 4: it was put in or moved"),
        ("moved", lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:], "belongs: entries were dropped or moved"),
        ("cut", lines[:cut] + lines[cut + 1:], "the tail was cut"),
        ("twice", lines[:at] + [{**lines[at], "more": 1}] + lines[at + 1:], "is no line of an audit chain"),
        ("garbage", lines[:3] + [{"x": 1}] + lines[3:], "is no line of an audit chain"),
    ]:
        said = exported.verify(files=[write(exported.directory / f"{name}.jsonl", forged)])
        assert isinstance(said, str) and why in said, (name, said)
        assert f"{name}.jsonl" in said
    # What nobody signed is anybody's.
    invented = write(exported.directory / "unsigned.jsonl", [line for line in lines if "checkpoint" not in line])
    assert "nothing is signed after entry 0" in exported.verify(files=[invented])
    assert isinstance(exported.verify("--unsigned-tail", files=[invented]), dict)
    assert "there is no entry" in exported.verify(files=[write(exported.directory / "empty.jsonl", [])])
    # A line that was being written.
    broken = exported.directory / "broken.jsonl"
    broken.write_text(exported.file.read_text()[:-10])
    assert "the line is cut" in exported.verify(files=[broken])
    refused = exported.appliance.try_ctl("audit", "export", "--file", broken)
    assert refused.returncode == 3 and "export to another file" in refused.stderr


def test_a_tail_cut_with_its_checkpoints_shows_by_a_kept_one_or_by_the_time(exported):
    lines = lines_of(exported.file)
    kept = write(exported.directory / "kept", lines[-1:])
    checkpoints = [i for i, line in enumerate(lines) if "checkpoint" in line]
    cut = write(exported.directory / "early.jsonl", lines[:checkpoints[0] + 1])
    assert isinstance(exported.verify(files=[cut]), dict)
    assert "the tail was cut: the kept checkpoint speaks of entry" in exported.verify("--checkpoint", kept, files=[cut])
    assert isinstance(exported.verify("--checkpoint", kept), dict)
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert "the tail may be cut" in exported.verify("--as-of", later)
    assert isinstance(exported.verify("--as-of", "2026-01-01T00:00:00Z"), dict)


def test_another_key_does_not_verify_it(exported):
    exported.key, own = exported.directory / "val-1-public.pem", exported.key
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        certificate = x509.load_pem_x509_certificate((exported.directory / "val-1.pem").read_bytes())
        exported.key.write_bytes(certificate.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        assert "which no key that is given vouches for" in exported.verify()
    finally:
        exported.key = own


def test_it_is_searched(exported):
    ctl = exported.appliance.ctl_json
    refused = ctl("audit", "query", "--outcome", "refused", "--service", "nowhere")["entries"]
    assert len(refused) == 3 and {entry["actor"] for entry in refused} == {"val-1"}
    exported.appliance.key("val-service-id=s&val-tgt-ue=%7B%22valUserId%22%3A%22alice%22%7D")
    of_alice = ctl("audit", "query", "--user", "alice")["entries"]
    assert of_alice and all(entry["targetKind"] == "user" for entry in of_alice) and "alice" not in json.dumps(of_alice)
    assert ctl("audit", "query", "--target", of_alice[0]["target"])["entries"] == of_alice
    assert ctl("audit", "query", "--since", "2100-01-01T00:00:00Z")["entries"] == []
    table = exported.appliance.ctl("audit", "query", "--kid", of_alice[0]["kid"], "--limit", "1")
    assert table.splitlines()[0].split()[:4] == ["ENTRY", "TIME", "ACTOR", "ACTION"] and len(table.splitlines()) == 2
    wrong = exported.appliance.try_ctl("audit", "query", "--outcome", "perhaps")
    assert wrong.returncode == 1 and "granted" in wrong.stderr


def test_the_end_is_signed_and_the_log_tells_each_checkpoint(tmp_path):
    with running(tmp_path) as appliance:
        appliance.key()
        appliance.stop()
        last = [line.split("audit checkpoint ")[1] for line in appliance.log.read_text().splitlines() if "audit checkpoint " in line][-1]
        appliance.start()
        exported = Exported(appliance)
        exported.export()
        (tmp_path / "kept").write_text(last + "\n")
        verdict = exported.verify("--checkpoint", tmp_path / "kept")
        assert verdict["signedUpTo"] == verdict["entries"]
        assert last in exported.file.read_text()


def test_an_archive_takes_the_older_part_and_the_rest_follows_it(tmp_path):
    with running(tmp_path, audit__checkpoint_entries="3", audit__checkpoint_s="1") as appliance:
        exported = Exported(appliance)
        for _ in range(6):
            appliance.key()
        (tmp_path / "archive").mkdir()
        assert appliance.ctl_json("audit", "archive", "--directory", tmp_path / "archive", "--older-than", "1d")["result"] == "unchanged"
        name = pathlib.Path(appliance.ctl_json("audit", "archive", "--directory", tmp_path / "archive", "--older-than", "0")["archive"])
        last = int(name.stem.split("-")[2])
        assert name.parent == tmp_path / "archive" and name.name == f"audit-1-{last}.jsonl" and os.listdir(name.parent) == [name.name]
        assert [entry["reason"].split()[0] for entry in appliance.ctl_json("audit", "query", "--action", "audit.")["entries"]] == [f"entries=1-{last}"]
        wait_for(lambda: not any(entry["seq"] <= last for entry in appliance.ctl_json("audit", "query")["entries"]), "the deletion")
        assert appliance.ctl_json("audit", "verify")["first"] == last + 1
        assert f"entries 1 to {last} are in archives" in appliance.ctl("audit", "verify")
        appliance.key()
        exported.export()
        assert exported.verify()["first"] == last + 1
        assert exported.verify("--part", files=[name])["entries"] == last
        both = exported.verify(files=[name, exported.file])
        assert both["first"] == 1 and both["entries"] > last + 1
        assert "stands where entry" in exported.verify(files=[exported.file, name]) or "stands after" in exported.verify(files=[exported.file, name])
        appliance.stop()
        appliance.start()
        assert appliance.ctl_json("audit", "verify")["first"] == last + 1


def test_the_key_that_was_first_is_enough_after_the_tokens_keys_changed(tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.make_token("b")
    appliance.write_config(tokens=[{"label": label, "pin_file": "pin"} for label in ("skms", "b")])
    with ended(appliance.start()):
        exported = Exported(appliance)
        assert exported.export()["written"] == 0  # nothing happened yet
        appliance.provision()
        appliance.ctl("token", "prepare", "b")
        appliance.ctl("token", "join", "b", "--fingerprint", appliance.ctl_json("token", "join", "b")["fingerprint"])
        exported.export()
        kids = [line["kid"] for line in lines_of(exported.file) if "checkpoint" in line]
        assert kids[-1] == "skms-sign-2" and kids[0] == "skms-sign-1", kids
        verdict = exported.verify()
        assert verdict["signedUpTo"] == verdict["entries"]
        assert appliance.ctl_json("audit", "verify")["whole"]
        # Without the former key's word for it, the first one's holder does not believe the new one.
        lines = [line for line in lines_of(exported.file) if line.get("kid") != "skms-sign-1" or "checkpoint" not in line]
        assert "which no key that is given vouches for" in exported.verify(files=[write(tmp_path / "anew.jsonl", lines)])


def test_a_disk_that_fills_is_told_before_it_is_full(tmp_path):
    with running(tmp_path, audit__warn_free_mib="1000000000") as appliance:
        status = appliance.ctl_json("status")
        assert status["state"] == "degraded" and any("MiB left" in reason for reason in status["reasons"]), status
        assert "MiB left" in appliance.log.read_text()
        appliance.key()  # served all the same


def test_what_was_archived_stays_provable_when_the_key_that_signed_it_is_gone(tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.make_token("b")
    appliance.write_config(tokens=[{"label": label, "pin_file": "pin"} for label in ("skms", "b")])
    with ended(appliance.start()):
        appliance.provision()
        first = Exported(appliance)
        archive = appliance.ctl_json("audit", "archive", "--directory", tmp_path, "--older-than", "0")["archive"]
        appliance.ctl("token", "prepare", "b")
        appliance.ctl("token", "join", "b", "--fingerprint", appliance.ctl_json("token", "join", "b")["fingerprint"])
        appliance.ctl("kek", "status", "--wait")
        appliance.ctl("kek", "retire", "--yes")
        assert [key["kid"] for key in appliance.ctl_json("audit", "key")["keys"]] == ["skms-sign-2"]
        assert appliance.ctl_json("audit", "verify")["whole"]
        first.export()
        assert first.verify(files=[archive, first.file])["first"] == 1  # by the key of the first day
        first.key.write_text(appliance.ctl("audit", "key"))
        assert first.verify()["signedUpTo"] == first.verify()["entries"]
        # The next archive closes with what the present key signed.
        second = appliance.ctl_json("audit", "archive", "--directory", tmp_path, "--older-than", "0")["archive"]
        assert first.verify(files=[second])["entries"] > 0


def test_what_changes_behind_the_daemons_back_is_not_signed_and_told(tmp_path):
    with running(tmp_path, audit__checkpoint_s="1") as appliance:
        wait_for(lambda: appliance.ctl_json("status")["audit"]["signedUpTo"] > 0, "the first checkpoint")
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            database.execute("DELETE FROM audit_checkpoints")
        wait_for(lambda: appliance.ctl_json("status")["state"] == "degraded", "the discovery")
        [reason] = appliance.ctl_json("status")["reasons"]
        assert "the audit checkpoint of entry" in reason and "is gone from the database" in reason
        assert "critical the audit chain is not signed: " in appliance.log.read_text()
        refused = appliance.try_ctl("audit", "export", "--file", tmp_path / "audit.jsonl")
        assert refused.returncode == 3 and "is gone from the database" in refused.stderr
