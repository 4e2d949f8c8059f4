"""Backups of what was damaged or killed, on disks that fill, by daemons that stop: nothing is lost, hidden or left."""

import contextlib
import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from appliance import BIN, DEADLINE, running, wait_for
from several_tokens import ended, join, opened
from test_audit_export import exported, exporting, settled
from test_backup import emptied, entries, scratch_of
from test_strict_recipients import make_kek, strict_service, trust


def tampered(appliance, *statements):
    """By somebody who has the file, while nobody serves."""
    appliance.stop()
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db")) as database, database:
        for statement, *values in statements:
            assert database.execute(statement, values).rowcount >= 1, statement
    return appliance.start()


def drilled(appliance, file, *arguments):
    done = appliance.try_ctl("backup", "drill", "--file", file, "--output", "json", *arguments)
    return done, json.loads(done.stdout)


def record(appliance, statement):
    """The status and the body of the daemon's answer."""
    done = subprocess.run(["curl", "--silent", "--unix-socket", appliance.directory / "admin.sock", "--write-out", "\n%{http_code}", "--data",
                           json.dumps({"statement": statement}), "-H", "Content-Type: application/json", "http://localhost/admin/v1/backups/checks"],
                          capture_output=True, text=True, check=True, timeout=DEADLINE)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def test_a_restore_leaves_the_log_of_a_killed_daemon_alone(tmp_path):
    with running(tmp_path) as appliance:
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        kid = appliance.key("val-service-id=s&valUserId=late")["kid"]  # acknowledged after the backup
        appliance.process.kill()
        appliance.process.wait(DEADLINE)
        log = tmp_path / "skms.db-wal"
        octets = log.read_bytes()
        assert octets
        (tmp_path / "skms.db").rename(tmp_path / "aside")
        for there in ("nothing", "an empty file"):
            if there == "an empty file":
                (tmp_path / "skms.db").touch()
            refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
            assert refused.returncode == 7, (there, refused.stderr)
            assert "skms.db-wal holds" in refused.stderr and "aside together" in refused.stderr
            assert log.read_bytes() == octets, there
        (tmp_path / "aside").rename(tmp_path / "skms.db")
        appliance.start()
        assert appliance.key("val-service-id=s&valUserId=late")["kid"] == kid


def test_a_stale_journal_is_not_taken_for_the_restored_databases(tmp_path):
    with running(tmp_path) as appliance:
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        emptied(appliance)
        (tmp_path / "skms.db-journal").write_bytes(b"of another database")
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 7 and "skms.db-journal holds" in refused.stderr
        (tmp_path / "skms.db-journal").rename(tmp_path / "aside")
        appliance.ctl("backup", "restore", "--file", tmp_path / "b")


def test_a_chain_that_was_changed_is_told_by_create_and_can_be_backed_up_as_what_it_is(tmp_path):
    with running(tmp_path) as appliance:
        keys = opened(appliance, users=2)
        appliance.ctl("audit", "export", "--file", tmp_path / "audit.jsonl")  # signs it
        tampered(appliance, ("UPDATE audit SET actor = 'nobody' WHERE seq = 3",))
        refused = appliance.try_ctl("backup", "create", "--file", tmp_path / "b")
        assert refused.returncode == 3 and "entry 3 was changed" in refused.stderr and "--with-damage" in refused.stderr
        assert not (tmp_path / "b").exists() and list((tmp_path / "skms.db.backups").iterdir()) == []
        made = appliance.ctl_json("backup", "create", "--file", tmp_path / "b", "--with-damage")
        assert len(made["damage"]) == 1 and "entry 3 was changed" in made["damage"][0]
        assert "entry 3 was changed" in entries(appliance, "backup.create")[-1]["reason"]
        # The drill reports it: signed, printed, recorded.
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 3 and "entry 3 was changed" in done.stderr
        assert report["result"] == "failed" and report["chain"] == "entry 3 was changed" and report["damaged"] == 0
        assert report["report"].count(".") == 2 and report["opened"] == report["couldOpen"] == len(keys)
        recorded = entries(appliance, "backup.drill")[-1]["reason"]
        assert recorded.startswith("failed at=") and "chain=changed" in recorded
        # And a restore says it, and does it when it is told to.
        emptied(appliance)
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 3 and "entry 3 was changed" in refused.stderr and "--with-damage" in refused.stderr
        assert not (tmp_path / "skms.db").exists()
        restored = appliance.ctl_json("backup", "restore", "--file", tmp_path / "b", "--with-damage")
        assert restored["chain"] == "entry 3 was changed" and restored["damaged"] == 0
        appliance.start()
        assert opened(appliance, users=2) == keys
        assert "chain=changed: entry 3 was changed" in entries(appliance, "backup.restore")[-1]["reason"]
        assert appliance.try_ctl("audit", "verify").returncode == 3


@pytest.mark.parametrize("column, value", [("state", "bogus"), ("profile", "nonsense"), ("not_before", "soon")])
def test_a_row_that_cannot_be_read_is_named_by_the_drill_and_restored_as_damage(tmp_path, column, value):
    with running(tmp_path) as appliance:
        opened(appliance, users=4)
        kid = appliance.key("val-service-id=s&valUserId=u2")["kid"]
        tampered(appliance, (f"UPDATE key_versions SET {column} = ? WHERE kid = ?", value, kid))
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 3 and kid in done.stderr
        assert report["result"] == "failed" and report["damaged"] == 1 and report["failed"] == 0 and report["chain"] == "whole"
        assert any(kid in one for one in report["trouble"]) and report["opened"] >= 3
        assert entries(appliance, "backup.drill")[-1]["reason"].startswith("failed")
        emptied(appliance)
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 3 and kid in refused.stderr and "--with-damage" in refused.stderr
        shown = appliance.ctl("backup", "restore", "--file", tmp_path / "b", "--with-damage")
        assert "warning: 1 of " in shown and kid in shown
        appliance.start()
        assert appliance.get("val-service-id=s&valUserId=u1").status == 200
        assert appliance.get("val-service-id=s&valUserId=u2").status == 500
        assert kid in entries(appliance, "backup.restore")[-1]["reason"]
        assert appliance.ctl_json("audit", "verify")["whole"]


def test_without_its_directory_nothing_is_backed_up_unnoticed(tmp_path):
    with running(tmp_path) as appliance:
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db", timeout=30)) as database, database:  # behind the daemon's back
            database.execute("UPDATE principals SET client_id = 'other' WHERE id = 'val-1'")
        refused = appliance.try_ctl("backup", "create", "--file", tmp_path / "b")
        assert refused.returncode == 3 and "principal 'val-1'" in refused.stderr
        appliance.ctl("backup", "create", "--file", tmp_path / "b", "--with-damage")
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 3 and report["damaged"] == 1 and "principal 'val-1'" in report["trouble"][0]
        emptied(appliance)
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b", "--with-damage")
        assert refused.returncode == 3 and "no daemon would start with it" in refused.stderr
        assert not (tmp_path / "skms.db").exists() and scratch_of(tmp_path) == []


def test_an_exported_file_goes_on_after_a_restore_once_the_old_one_is_moved_away(tmp_path):
    file = tmp_path / "audit.jsonl"
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        appliance.key()
        settled(appliance)
        emptied(appliance)
        appliance.ctl("backup", "restore", "--file", tmp_path / "b")
        before = file.read_text()
        appliance.start()
        wait_for(lambda: "trouble" in exported(appliance), "the trouble")
        assert file.read_text() == before
        appliance.stop()
        file.rename(tmp_path / "audit.before.jsonl")
        appliance.start()
        wait_for(lambda: file.exists() and '"backup.restore"' in file.read_text(), "the export of the restored chain")
        assert "trouble" not in exported(appliance)


@contextlib.contextmanager
def refusing_daemon(path):
    """Answers 503 to everybody, as one does that is too busy."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        if connection.recv(65536):
                            body = b'{"status":503,"cause":"resource-exhausted","detail":"too busy"}'
                            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
                                               b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


def test_a_report_that_cannot_be_recorded_is_printed_all_the_same(tmp_path):
    with running(tmp_path) as appliance:
        appliance.key()
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        appliance.stop()
        path = tmp_path / "admin.sock"
        path.unlink(missing_ok=True)
        with refusing_daemon(path):
            done, report = drilled(appliance, tmp_path / "b")
            assert done.returncode == 4 and "too busy" in done.stderr and "not in the audit chain" in done.stderr
            assert report["result"] == "passed" and report["report"]
        # No daemon is no failure, and is told: neither a socket nor one that nobody listens on.
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 0 and "no daemon runs here" in done.stderr and report["result"] == "passed"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 0 and "no daemon runs here" in done.stderr
        path.unlink()


def test_a_report_is_recorded_once_and_a_statement_as_shown(tmp_path):
    with running(tmp_path) as appliance:
        made = appliance.ctl_json("backup", "create", "--file", tmp_path / "b")
        _, report = drilled(appliance, tmp_path / "b")
        count = len(entries(appliance, "backup.drill"))
        assert count == 1 and f"at={report['time']} made={made['time']} " in entries(appliance, "backup.drill")[-1]["reason"]
        status, body = record(appliance, report["report"])
        assert status == 409 and "recorded already" in body
        assert len(entries(appliance, "backup.drill")) == count
        appliance.ctl("backup", "verify", "--file", tmp_path / "b")
        assert entries(appliance, "backup.verify") == []
        assert entries(appliance, "backup.shown")[-1]["reason"] == f"made={made['time']} sha256={made['sha256']}"


def test_a_daemon_that_is_stopped_ends_its_backup_and_leaves_nothing(tmp_path):
    with running(tmp_path) as appliance:
        appliance.key()
        appliance.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            for n in range(8):
                database.execute("INSERT INTO meta (name, value) VALUES (?, hex(randomblob(20000000)))", (f"padding{n}",))
        appliance.start()
        scratch, made = tmp_path / "skms.db.backups", 0
        for wanted in ("snapshot.db", "snapshot.db-wal"):  # while it copies, and while it looks at the copy or encrypts it
            command = None
            while command is None or command.poll() is not None:  # it may have come to its end unseen
                (tmp_path / "b").unlink(missing_ok=True)
                command = subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, "backup", "create", "--file", tmp_path / "b"],
                                           env=appliance.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                wait_for(lambda running=command, file=scratch / wanted: file.exists() or running.poll() is not None, wanted)
                made += command.poll() is not None
            appliance.process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            assert appliance.process.wait(DEADLINE) == 0
            print(f"{wanted}: ended after {time.monotonic() - begun:.2f} s")
            error = command.communicate(timeout=DEADLINE)[1]
            assert command.returncode == 4 and "is being stopped; no backup was made" in error, error
            assert not scratch.exists() and not (tmp_path / "b").exists()
            appliance.start()
        assert len(entries(appliance, "backup.create")) == made


def test_what_nobody_fetched_goes_when_the_daemon_stops_and_before_the_next(tmp_path):
    with running(tmp_path) as appliance:
        post = ["curl", "--silent", "--fail", "--unix-socket", tmp_path / "admin.sock", "--data", "", "-H", "Content-Type: application/json",
                "http://localhost/admin/v1/backups"]
        for _ in range(4):
            subprocess.run(post, check=True, capture_output=True, timeout=DEADLINE)
            assert len(list((tmp_path / "skms.db.backups").iterdir())) == 1
        appliance.stop()
        assert not (tmp_path / "skms.db.backups").exists()


def test_nothing_is_begun_without_room_for_it(tmp_path):
    with running(tmp_path) as appliance:
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        appliance.stop()
        appliance.write_config(audit__warn_free_mib=1000000000)
        appliance.start()
        for command in ("create", "drill"):
            refused = appliance.try_ctl("backup", command, "--file", tmp_path / ("b" if command == "drill" else "c"))
            assert refused.returncode == 3 and "audit.warn_free_mib" in refused.stderr, (command, refused.stderr)
        emptied(appliance)
        refused = appliance.try_ctl("backup", "restore", "--file", tmp_path / "b")
        assert refused.returncode == 3 and "MiB of free space" in refused.stderr
        assert scratch_of(tmp_path) == [] and not (tmp_path / "skms.db").exists()


def test_a_drill_that_opened_nothing_did_not_pass_and_says_which_kek_is_missing(tmp_path):
    with running(tmp_path) as appliance:
        make_kek(appliance)
        trust(appliance, "val-1")
        strict_service(appliance)
        appliance.key("val-service-id=v")
        appliance.ctl("backup", "create", "--file", tmp_path / "b")
        done, report = drilled(appliance, tmp_path / "b")
        assert done.returncode == 3 and "none of 1 was opened" in done.stderr
        assert report["result"] == "unproven" and report["missing"] == "" and report["strictNotOpened"] == report["couldOpen"] == 1
        assert entries(appliance, "backup.drill")[-1]["reason"].startswith("unproven")
        # With a key that opens it passes; on a token without the strict KEK it says so.
        appliance.key()
        appliance.stop()
        appliance.make_token("b")
        tokens = [{"label": label, "pin_file": "pin"} for label in ("skms", "b")]
        appliance.write_config(tokens=tokens)
        appliance.start()
        join(appliance, "b")
        appliance.ctl("backup", "create", "--file", tmp_path / "c")
        report = drilled(appliance, tmp_path / "c")[1]
        assert report["result"] == "passed" and report["missing"] == "" and report["opened"] == 1
        appliance.stop()
        appliance.write_config(tokens=tokens[1:])
        done, report = drilled(appliance, tmp_path / "c")
        assert done.returncode == 0 and report["missing"] == "skms-strict-kek-1"
        assert "no token of the configuration has skms-strict-kek-1" in appliance.ctl("backup", "drill", "--file", tmp_path / "c")
