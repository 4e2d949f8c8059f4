"""Backups: made while the appliance serves, carried, verified without it, restored, tried in a drill; and what an attacker makes of one."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from appliance import BIN, DEADLINE, Appliance, running, wait_for
from several_tokens import ended, join, opened
from test_store_faults import small_disk

MAGIC = b"skms-backup 1\n"


def try_verify(file, key):
    """Without configuration, daemon or token."""
    return subprocess.run([BIN / "skmsctl", "--config", "/nonexistent", "backup", "verify", "--file", file, "--public-key", key],
                          capture_output=True, text=True, timeout=DEADLINE)


def public_key(appliance):
    path = appliance.directory / "audit.pem"
    path.write_text(appliance.ctl("audit", "key"))
    return path


def scratch_of(directory):
    return sorted(path.name for path in pathlib.Path(directory).iterdir()
                  if any(word in path.name for word in ("restoring", "drilling", "backups", "snapshot")))


def entries(appliance, action):
    return appliance.ctl_json("audit", "query", "--action", action)["entries"]


def emptied(appliance, name="before"):
    """Stops it, and sets its database aside."""
    appliance.stop()
    aside = appliance.directory / name
    aside.mkdir()
    for path in appliance.directory.glob("skms.db*"):
        path.rename(aside / path.name)
    return appliance


def parts_of(content):
    """Where the header, each part and the statement of a backup begin and end, read by this test's own lights."""
    at = len(MAGIC)
    size = struct.unpack_from(">I", content, at)[0]
    spans = [(at, at + 4 + size)]
    last = False
    while not last:
        at = spans[-1][1]
        word = struct.unpack_from(">I", content, at)[0]
        last = bool(word >> 31)
        spans.append((at, at + 4 + (word & 0x7FFFFFFF)))
    at = spans[-1][1]
    size = struct.unpack_from(">I", content, at)[0]
    assert at + 4 + size == len(content)
    return spans, at


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An appliance that runs, with a backup of several parts."""
    with running(tmp_path_factory.mktemp("backup")) as appliance:
        keys = opened(appliance)
        file = appliance.directory / "first.backup"
        report = appliance.ctl_json("backup", "create", "--file", file)
        yield appliance, file, report, keys


def test_a_backup_is_the_operators_file_and_tells_what_is_in_it(made):
    appliance, file, report, keys = made
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert report["server"] == "skms-test" and report["signedBy"] == "skms-sign-1" and report["kek"] == [1] and report["mac"] == [1]
    assert report["keyVersions"] == len(keys) and report["services"] == 2
    assert scratch_of(appliance.directory) in ([], ["skms.db.backups"])
    assert list((appliance.directory / "skms.db.backups").iterdir()) == []  # neither the snapshot nor what was fetched
    created = entries(appliance, "backup.create")[-1]
    assert report["sha256"] in created["reason"] and created["actor"] == f"admin:{os.getuid()}"
    # Nobody who carries it reads it.
    content = file.read_bytes()
    for word in (b"val-1", b"sim-s", b"SQLite", b"key_versions", *(kid.encode() for kid in keys)):
        assert word not in content, word


def test_a_backup_never_takes_a_files_place(made):
    appliance, file, _, _ = made
    before = file.read_bytes()
    refused = appliance.try_ctl("backup", "create", "--file", file)
    assert refused.returncode == 7 and "is there already" in refused.stderr
    assert file.read_bytes() == before
    assert appliance.try_ctl("backup", "create", "--file", appliance.directory / "no" / "such").returncode == 3


def test_it_is_verified_by_the_public_key_alone_or_by_the_daemon_which_records_it(made):
    appliance, file, report, _ = made
    key = public_key(appliance)
    done = try_verify(file, key)
    assert done.returncode == 0 and "is whole, and signed" in done.stdout and report["sha256"] in done.stdout, done.stderr
    count = len(entries(appliance, "backup.shown"))
    assert appliance.ctl_json("backup", "verify", "--file", file)["whole"]
    recorded = entries(appliance, "backup.shown")
    assert len(recorded) == count + 1 and report["sha256"] in recorded[-1]["reason"]
    # A key that is not the token's.
    other = appliance.directory / "other.pem"
    subprocess.run(f"openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out {other}", shell=True, check=True, capture_output=True)
    refused = try_verify(file, other)
    assert refused.returncode == 3 and "by none of the keys that were given" in refused.stderr


def test_nothing_is_recorded_that_the_token_did_not_sign(made):
    appliance, file, _, _ = made
    content = file.read_bytes()
    _, at = parts_of(content)
    statement = content[at + 4:].decode()
    forged = statement[:-4] + ("AAAA" if statement[-4:] != "AAAA" else "BBBB")
    for text in (forged, "x", json.loads(appliance.ctl("audit", "export", "--file", "-").splitlines()[-1])["checkpoint"]):
        body = json.dumps({"statement": text})
        done = subprocess.run(["curl", "--silent", "--unix-socket", appliance.directory / "admin.sock", "--write-out", "%{http_code}", "--data", body,
                               "-H", "Content-Type: application/json", "http://localhost/admin/v1/backups/checks"],
                              capture_output=True, text=True, check=True, timeout=DEADLINE)
        assert done.stdout.endswith("400"), done.stdout


def forgeries(content):
    spans, at = parts_of(content)
    flips = {0, 5, len(MAGIC), len(MAGIC) + 6, at, at + 4, at + 30, at + 150, len(content) - 2, len(content) - 1}
    for begin, end in spans:
        flips |= {begin, begin + 3, begin + 4, (begin + end) // 2, end - 1}
    for flip in sorted(flips):
        changed = bytearray(content)
        changed[flip] ^= 0x01
        yield f"octet {flip}", bytes(changed)
    for cut in (0, 1, len(MAGIC), spans[0][1], spans[1][1], at, at + 4, len(content) - 1):
        yield f"cut to {cut}", content[:cut]
    yield "added", content + b"x"
    parts = [content[begin:end] for begin, end in spans]
    yield "dropped", b"".join([content[:len(MAGIC)], parts[0], *parts[2:], content[at:]])
    yield "repeated", b"".join([content[:len(MAGIC)], parts[0], parts[1], parts[1], *parts[2:], content[at:]])
    yield "moved", b"".join([content[:len(MAGIC)], parts[0], parts[2], parts[1], *parts[3:], content[at:]])


@pytest.fixture(scope="module")
def large(made):
    """A backup of more than three parts."""
    appliance, _, _, _ = made
    appliance.stop()
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db")) as database, database:
        database.execute("INSERT INTO meta (name, value) VALUES ('padding', ?)", (os.urandom(500000).hex(),))
    appliance.start()
    file = appliance.directory / "large.backup"
    appliance.ctl("backup", "create", "--file", file)
    assert len(parts_of(file.read_bytes())[0]) >= 5
    return file


def test_whatever_is_changed_cut_or_moved_is_refused_offline_and_by_a_restore(made, large, tmp_path):
    appliance, _, _, _ = made
    key = public_key(appliance)
    content = large.read_bytes()
    fresh = Appliance(tmp_path / "fresh")
    shutil.copytree(appliance.directory, fresh.directory, ignore=shutil.ignore_patterns("skms.db*", "admin.sock", "*.backup", "*.log"))
    fresh.write_token_config()
    fresh.write_config()
    forged = tmp_path / "forged"
    for number, (what, octets) in enumerate(forgeries(content)):
        forged.write_bytes(octets)
        done = try_verify(forged, key)
        assert done.returncode == 3 and "do not rely on this file" in done.stderr, (what, done.stderr)
        if number % 3 == 0 or not what.startswith("octet"):
            done = fresh.try_ctl("backup", "restore", "--file", forged)
            assert done.returncode in (3, 5), (what, done.stderr)
            assert not (fresh.directory / "skms.db").exists() and scratch_of(fresh.directory) == [], what
    forged.write_bytes(content)
    assert try_verify(forged, key).returncode == 0


class Writers:
    """Ask for keys of new users as fast as they can, and remember what was answered and when."""

    def __init__(self, appliance, threads=3):
        self.appliance = appliance
        self.private = serialization.load_pem_private_key((appliance.directory / "val-1.key").read_bytes(), None)
        self.acknowledged = []  # (asked, answered, user, kid, key)
        self.failed = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(threads)]

    def open(self, key):
        used = hashes.SHA256() if key["wrapped"]["alg"] == "RSA-OAEP-256" else hashes.SHA1()
        block = base64.urlsafe_b64decode(key["wrapped"]["encryptedKey"] + "==")
        return self.private.decrypt(block, padding.OAEP(padding.MGF1(used), used, None))

    def write(self, thread):
        for n in range(100000):
            if self.ending.is_set():
                return
            user = f"w{thread}-{n}"
            asked = time.monotonic()
            answer = self.appliance.get(f"val-service-id=s&valUserId={user}")
            if answer.status != 200:
                self.failed.append(answer.body)
                continue
            at = time.monotonic()
            key = json.loads(answer.json["keyInfo"])["keys"][0]
            self.acknowledged.append((asked, at, user, key["kid"], self.open(key)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def test_what_was_acknowledged_before_is_in_the_backup_with_writers_running(tmp_path):
    with running(tmp_path) as appliance:
        backup = tmp_path / "b"
        with Writers(appliance) as writers:
            wait_for(lambda: len(writers.acknowledged) >= 30, "writers")
            begun = time.monotonic()
            appliance.ctl("backup", "create", "--file", backup)
            ended_at = time.monotonic()
            count = len(writers.acknowledged)
            wait_for(lambda: len(writers.acknowledged) >= count + 10, "writers that go on")
        assert not writers.failed, writers.failed[0]
        before = {user: (kid, key) for _, at, user, kid, key in writers.acknowledged if at <= begun}
        during = [user for _, at, user, _, _ in writers.acknowledged if begun < at <= ended_at]
        after = {user for asked, _, user, _, _ in writers.acknowledged if asked > ended_at}
        assert len(before) >= 30 and during and after
        emptied(appliance)
        restored = appliance.ctl_json("backup", "restore", "--file", backup)
        assert oct((tmp_path / "skms.db").stat().st_mode & 0o777) == "0o600" and scratch_of(tmp_path) == []
        kids = {kid for _, _, _, kid, _ in writers.acknowledged}
        appliance.start()
        listed = appliance.ctl_json("key", "list", "--service", "s")["keys"]
        assert restored["keyVersions"] <= len(kids)
        for user, (kid, key) in before.items():
            again = appliance.key(f"val-service-id=s&valUserId={user}")
            assert again["kid"] == kid and writers.open(again) == key, user
        assert {one["kid"] for one in listed} <= kids
        assert not {one["target"] for one in listed} & after
        # The chain goes on, and says what happened.
        entry = entries(appliance, "backup.restore")[-1]
        assert f"entries={restored['entries']} " in entry["reason"] and restored["sha256"] in entry["reason"]
        assert entry["seq"] == restored["entries"] + 1 and entry["actor"] == f"admin:{os.getuid()}"
        assert appliance.ctl_json("audit", "verify")["whole"]


def test_a_checkpoint_that_was_kept_shows_that_a_restore_went_back(tmp_path):
    with running(tmp_path) as appliance:
        key = public_key(appliance)
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        appliance.key()
        appliance.ctl("audit", "export", "--file", tmp_path / "kept.jsonl")
        (tmp_path / "kept").write_text((tmp_path / "kept.jsonl").read_text().splitlines()[-1])
        emptied(appliance)
        appliance.ctl("backup", "restore", "--file", tmp_path / "b")
        appliance.start()
        for _ in range(20):
            appliance.get("val-service-id=nowhere")
        appliance.ctl("audit", "export", "--file", tmp_path / "after.jsonl")
        verify = ("audit", "verify", "--file", tmp_path / "after.jsonl", "--public-key", key)
        assert appliance.try_ctl(*verify).returncode == 0
        assert appliance.try_ctl(*verify, "--checkpoint", tmp_path / "kept").returncode == 3


def test_a_database_with_content_is_not_overwritten_and_an_empty_one_is(tmp_path):
    with running(tmp_path) as appliance:
        kid = appliance.key()["kid"]
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 7 and "in use" in refused.stderr
        appliance.stop()
        before = (tmp_path / "skms.db").read_bytes()
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 7 and "overwrites none; move it away" in refused.stderr
        assert (tmp_path / "skms.db").read_bytes() == before
        emptied(appliance)
        (tmp_path / "skms.db").write_text("something else")
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 3 and "move it away" in refused.stderr
        (tmp_path / "skms.db").unlink()
        appliance.ctl("init")
        appliance.ctl("backup", "restore", "--file", tmp_path / "b")
        appliance.start()
        assert appliance.key()["kid"] == kid


def test_another_token_that_had_joined_opens_it_alone_and_one_that_had_not_is_told_what_is_missing(tmp_path):
    appliance = Appliance(tmp_path).prepare()
    appliance.make_token("b")
    both = [{"label": label, "pin_file": "pin"} for label in ("skms", "b")]
    with ended(appliance.start().provision()):
        keys = opened(appliance, users=3)
        appliance.ctl("backup", "create", "--file", tmp_path / "early")
        appliance.stop()
        appliance.write_config(tokens=both)
        appliance.start()
        join(appliance, "b")
        appliance.ctl("backup", "create", "--file", tmp_path / "joined")
        emptied(appliance)
        # The first token is gone.
        appliance.write_config(tokens=both[1:])
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "early")
        assert refused.returncode == 5, refused.stderr
        assert "skms-kek-1" in refused.stderr and "which no token of the configuration holds" in refused.stderr
        assert "or one that had joined before it" in refused.stderr
        assert not (tmp_path / "skms.db").exists()
        appliance.ctl("backup", "restore", "--file", tmp_path / "joined")
        appliance.start()
        assert opened(appliance, users=3) == keys
        assert appliance.ctl_json("audit", "verify")["whole"]


def test_a_token_with_other_keys_or_none_opens_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    with running(tmp_path / "a") as appliance:
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
    stranger = Appliance(tmp_path / "c")
    stranger.directory.mkdir()
    stranger.make_token()
    stranger.make_pki()
    stranger.write_pin()
    stranger.write_config()
    blank = stranger.try_ctl("backup", "restore", "--file", tmp_path / "b")
    assert blank.returncode == 5 and "do not run skmsctl init on another" in blank.stderr
    stranger.ctl("init")
    refused = stranger.try_ctl("backup", "restore", "--file", tmp_path / "b")
    assert refused.returncode == 3 and "of another token than those of the configuration" in refused.stderr
    assert scratch_of(stranger.directory) == []
    with ended(stranger.start()):
        assert stranger.ctl_json("status")["state"] == "operational"  # its own database is as it was


def test_a_drill_passes_beside_the_daemon_and_its_report_is_signed_and_recorded(made, tmp_path):
    appliance, file, report, keys = made
    drill = appliance.ctl_json("backup", "drill", "--file", file)
    assert drill["result"] == "passed" and drill["opened"] == drill["couldOpen"] == len(keys) and drill["failed"] == drill["damaged"] == 0
    assert drill["sha256"] == report["sha256"] and drill["chain"] == "whole" and drill["entries"] == report["entries"]
    recorded = entries(appliance, "backup.drill")[-1]
    assert recorded["reason"].startswith("passed") and report["sha256"] in recorded["reason"]
    head, payload, signature = drill["report"].split(".")
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert decoded["result"] == "passed" and decoded["sampled"] == len(keys)
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["typ"] == "skms-drill"
    raw = base64.urlsafe_b64decode(signature + "==")
    key = serialization.load_pem_public_key(public_key(appliance).read_bytes())
    key.verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")), f"{head}.{payload}".encode(),
               ec.ECDSA(hashes.SHA256()))
    assert not (appliance.directory / "skms.db.drilling").exists()
    few = appliance.ctl_json("backup", "drill", "--file", file, "--sample", "2")
    assert few["opened"] == 2 and few["couldOpen"] == len(keys)
    assert appliance.try_ctl("backup", "drill", "--file", file, "--sample", "0").returncode == 1


def test_a_drill_finds_a_record_that_was_damaged_and_a_restore_refuses_it(tmp_path):
    with running(tmp_path) as appliance:
        keys = opened(appliance)
        kid = sorted(keys)[0]
        appliance.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            database.execute("UPDATE key_versions SET wrapped = (SELECT wrapped FROM key_versions WHERE kid <> ? LIMIT 1) WHERE kid = ?", (kid, kid))
        appliance.start()
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        done = appliance.try_ctl("backup", "drill", "--file", tmp_path / "b", "--output", "json")
        report = json.loads(done.stdout)
        assert done.returncode == 3 and "the drill failed" in done.stderr and kid in done.stderr
        assert report["result"] == "failed" and report["damaged"] == 1 and kid in report["trouble"][0]
        assert entries(appliance, "backup.drill")[-1]["reason"].startswith("failed")
        emptied(appliance)
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 3 and kid in refused.stderr and not (tmp_path / "skms.db").exists()
        # Without a daemon the drill is told all the same, and says that nobody recorded it.
        alone = appliance.try_ctl("backup", "drill", "--file", tmp_path / "b", "--output", "json")
        assert alone.returncode == 3 and json.loads(alone.stdout)["report"] and "no daemon runs here" in alone.stderr


def killed(appliance, delay, *arguments):
    """kill -9 of skmsctl after a while; true: it was still at work."""
    process = subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, *map(str, arguments)], env=appliance.environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    alive = process.poll() is None
    process.kill()
    process.wait(DEADLINE)
    return alive


def test_a_kill_of_a_restore_at_any_point_leaves_the_whole_or_nothing(made, large, tmp_path):
    appliance, _, _, keys = made
    fresh = Appliance(tmp_path / "fresh")
    shutil.copytree(appliance.directory, fresh.directory, ignore=shutil.ignore_patterns("skms.db*", "admin.sock", "*.backup", "*.log"))
    fresh.write_token_config()
    fresh.write_config()
    restored = 0
    alive = 0
    begun = time.monotonic()
    fresh.ctl("backup", "restore", "--file", large)
    took = time.monotonic() - begun
    database = fresh.directory / "skms.db"
    whole = ("PRAGMA integrity_check", "SELECT count(*) FROM key_versions")
    for step in range(12):
        database.unlink(missing_ok=True)
        # The last one comes to its end, however busy the machine is.
        alive += killed(fresh, took * step / 10 if step < 11 else took * 20, "backup", "restore", "--file", large)
        if not database.exists():
            continue
        restored += 1
        with contextlib.closing(sqlite3.connect(database)) as look:
            assert [look.execute(query).fetchone()[0] for query in whole] == ["ok", len(keys)]
            assert look.execute("SELECT count(*) FROM audit WHERE action = 'backup.restore'").fetchone()[0] == 1
    assert alive >= 3 and restored >= 1
    # What a killed one left does not hinder the next, and goes.
    database.unlink(missing_ok=True)
    fresh.ctl("backup", "restore", "--file", large)
    assert scratch_of(fresh.directory) == []


def test_a_kill_of_the_daemon_or_the_command_during_a_backup_leaves_nothing_half(tmp_path):
    with running(tmp_path) as appliance:
        kid = appliance.key()["kid"]
        appliance.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            database.execute("INSERT INTO meta (name, value) VALUES ('padding', ?)", (os.urandom(20000000).hex(),))
        appliance.start()
        left = 0
        delays = (0.05, 0.2, 0.4)
        for delay in delays:
            file = tmp_path / f"command-{delay}"
            killed(appliance, delay, "backup", "create", "--file", file)
            wait_for(lambda: appliance.try_ctl("backup", "create", "--file", tmp_path / f"next-{delay}").returncode in (0, 7)
                     and (tmp_path / f"next-{delay}").exists(), "the daemon's own backup")
            if file.exists():
                assert appliance.try_ctl("backup", "verify", "--file", file).returncode == 0
        scratch = tmp_path / "skms.db.backups"
        for wanted in ("snapshot.db", "*.skms-backup"):
            file = tmp_path / f"daemon-{wanted[0]}"
            command = subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, "backup", "create", "--file", file], env=appliance.environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while command.poll() is None and not list(scratch.glob(wanted)):
                time.sleep(0.001)
            appliance.process.send_signal(signal.SIGKILL)
            appliance.process.wait(DEADLINE)
            command.wait(DEADLINE)
            left += any(scratch.iterdir())
            appliance.start()
            assert not scratch.exists()
            if file.exists():
                assert command.returncode == 0 and appliance.try_ctl("backup", "verify", "--file", file).returncode == 0
        assert left >= 1  # a kill met it at work
        files = {path.name for path in tmp_path.iterdir() if path.name.startswith(("command-", "daemon-", "next-"))}
        assert files <= {f"{who}-{delay}" for who in ("command", "next") for delay in delays} | {"daemon-s", "daemon-*"}
        assert appliance.key()["kid"] == kid


def test_a_full_disk_ends_a_backup_and_leaves_nothing(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        appliance = Appliance(tmp_path, store__path=disk / "skms.db", audit__warn_free_mib="1").prepare()
        appliance.ctl("init")
        with ended(appliance.start().provision()):
            kid = appliance.key()["kid"]
            ballast = disk / "ballast"
            free = int(subprocess.run(["df", "--output=avail", "-k", disk], capture_output=True, text=True, check=True).stdout.split()[1])
            size = (disk / "skms.db").stat().st_size // 1024
            ballast.write_bytes(bytes((free - size // 2) * 1024))
            for target in (tmp_path / "elsewhere", disk / "here"):
                refused = appliance.try_ctl("backup", "create", "--file", target)
                assert refused.returncode == 3 and not target.exists(), refused.stderr
                assert "free space" in refused.stderr or "No space left" in refused.stderr
            assert list((disk / "skms.db.backups").iterdir()) == []
            ballast.unlink()
            assert appliance.key()["kid"] == kid
            appliance.ctl("backup", "create", "--file", tmp_path / "elsewhere")
            # The operator's own disk may be full, too.
            with small_disk(tmp_path / "usb", 1) as usb:
                (usb / "ballast").write_bytes(bytes(900 * 1024))
                refused = appliance.try_ctl("backup", "create", "--file", usb / "b")
                assert refused.returncode == 3 and "No space left" in refused.stderr, refused.stderr
                assert [path.name for path in usb.iterdir()] == ["ballast"]
            assert list((disk / "skms.db.backups").iterdir()) == []
