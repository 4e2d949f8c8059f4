"""The audit chain on its way elsewhere: to a file, a syslog collector, journald; what happens when they take nothing."""

import contextlib
import json
import pathlib
import re
import socket
import sqlite3
import subprocess
import threading

import pytest

from appliance import BIN, DEADLINE, Appliance, wait_for
from several_tokens import ended

HEADER = re.compile(r"<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S+) skmsd (\d+) (audit|checkpoint) - (\{.*\})")


class Collector:
    """A syslog collector on TCP that reads octet-counted frames."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.messages = []
        self.connections = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self.read, args=(connection,), daemon=True).start()

    def read(self, connection):
        with contextlib.suppress(OSError), connection.makefile("rb") as stream:
            while True:
                count = b""
                while (octet := stream.read(1)) not in (b" ", b""):
                    count += octet
                if not octet:
                    return
                self.messages.append(stream.read(int(count)).decode())

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def lines(self):
        return [json.loads(HEADER.fullmatch(message).group(6)) for message in list(self.messages)]


def exporting(directory, **settings):
    return Appliance(directory, audit__checkpoint_s="1", **{f"audit__{key}": value for key, value in settings.items()}).prepare()


def exported(appliance):
    return appliance.ctl_json("status")["audit"]["export"]


def settled(appliance):
    """Once nothing waits."""
    wait_for(lambda: exported(appliance)["behind"] == 0 and exported(appliance)["upTo"] > 0, "the export")
    return exported(appliance)["upTo"]


def whole(lines):
    entries = [line["seq"] for line in lines if "checkpoint" not in line]
    return entries == list(range(1, len(entries) + 1))


def verify(appliance, *files, options=()):
    key = appliance.directory / "audit.pem"
    if not key.exists():
        key.write_text(appliance.ctl("audit", "key"))
    named = [one for file in files for one in ("--file", file)]
    done = subprocess.run([BIN / "skmsctl", "audit", "verify", *named, "--public-key", key, *options], capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_has_the_signed_chain_through_a_restart_a_cut_line_and_logrotate(tmp_path):
    file = tmp_path / "audit.jsonl"
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        appliance.key()
        last = settled(appliance)
        assert verify(appliance, file)
        assert oct(file.stat().st_mode & 0o777) == "0o600"
        assert f"up to entry {last}, 0 to go" in appliance.ctl("status")
        appliance.key()
        appliance.stop()
        # All of it, without waiting for the next look.
        assert verify(appliance, file)
        lines = file.read_text().splitlines()
        assert whole(map(json.loads, lines)) and json.loads(lines[-1])["seq"] > last
        with file.open("a") as stream:
            stream.write(lines[-1][:40])  # as a crash may leave it
        appliance.start()
        appliance.key()
        settled(appliance)
        assert verify(appliance, file) and file.read_text().splitlines()[: len(lines)] == lines
        former = tmp_path / "audit.jsonl.1"
        file.rename(former)
        appliance.key()
        wait_for(file.exists, "the new file")
        settled(appliance)
        assert verify(appliance, former, file)
        # By itself, too: it begins with what the token said of the entry before.
        assert "checkpoint" in json.loads(file.read_text().splitlines()[0]) and verify(appliance, file, options=["--part"])


def test_a_checkpoint_that_a_crash_cut_off_is_written_again(tmp_path):
    file = tmp_path / "audit.jsonl"
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        settled(appliance)
        appliance.stop()
        whole_file = file.read_text()
        assert "checkpoint" in json.loads(whole_file.splitlines()[-1])
        file.write_text(whole_file[:-40])
        appliance.start()
        wait_for(lambda: file.read_text() == whole_file, "the checkpoint")


@pytest.mark.parametrize("contents", ['{"a": 1}', "first line\nno line", '{"seq": "x"}\n{"action":"', "\x00" * 5000])
def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path, contents):
    file = tmp_path / "theirs"
    file.write_text(contents)
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        wait_for(lambda: "trouble" in exported(appliance), "the trouble")
        assert "does not end with lines of an audit chain" in exported(appliance)["trouble"]
        assert file.read_text() == contents


def test_how_far_it_is_said_to_be_by_somebody_else_does_not_count(tmp_path):
    collector = Collector()
    appliance = exporting(tmp_path, export="syslog", export_address=f"tcp://127.0.0.1:{collector.port}")
    with ended(appliance.start().provision()):
        settled(appliance)
        appliance.stop()
        collector.messages.clear()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            [said] = database.execute("SELECT value FROM meta WHERE name = 'audit_exported'").fetchone()
            database.execute("UPDATE meta SET value = ? WHERE name = 'audit_exported'", ("1000000 1 " + said.split()[2],))
        appliance.start()
        appliance.key()
        settled(appliance)
        assert whole(collector.lines()), "it is sent anew"
        assert "not of this server" in appliance.log.read_text()
        collector.close()


def test_a_collector_that_hangs_is_told_and_stops_every_decision(tmp_path):
    """Its socket is there, and nobody reads: what fits into the socket's queue goes."""
    path = tmp_path / "log.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        appliance = exporting(tmp_path, export="syslog", export_address=path, export_most_behind="300", checkpoint_entries="50")
        with ended(appliance.start().provision()):
            asked = 0
            while appliance.get("val-service-id=nowhere").status == 404:
                asked += 1
                assert asked < 3000
            assert appliance.get().status == 500
            status = appliance.ctl_json("status")
            assert status["state"] == "degraded" and any("every request is refused" in reason for reason in status["reasons"])
            assert status["audit"]["export"]["behind"] >= 300


def test_what_was_written_and_not_noted_does_not_stand_twice(tmp_path):
    file = tmp_path / "audit.jsonl"
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        settled(appliance)
        appliance.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            [former] = database.execute("SELECT value FROM meta WHERE name = 'audit_exported'").fetchone()
        appliance.start()
        appliance.key()
        settled(appliance)
        appliance.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db")) as database, database:
            database.execute("UPDATE meta SET value = ? WHERE name = 'audit_exported'", (former,))
        appliance.start()
        appliance.key()
        settled(appliance)
        assert verify(appliance, file)


def test_a_file_of_another_chain_is_not_added_to(tmp_path):
    file = tmp_path / "audit.jsonl"
    appliance = exporting(tmp_path, export="file", export_path=file)
    with ended(appliance.start().provision()):
        settled(appliance)
        appliance.stop()
        lines = file.read_text().splitlines()
        entry = {**json.loads(lines[-2]), "hash": "0" * 64}
        file.write_text("\n".join([*lines[:-2], json.dumps(entry, separators=(",", ":"))]) + "\n")
        before = file.read_text()
        appliance.start()
        wait_for(lambda: "trouble" in exported(appliance), "the trouble")
        assert "which is not in this chain" in exported(appliance)["trouble"]
        wait_for(lambda: appliance.ctl_json("status")["state"] == "degraded", "the state")
        appliance.key()
        assert file.read_text() == before
        file.write_text("no chain\n")
        appliance.stop()
        appliance.start()
        wait_for(lambda: "trouble" in exported(appliance), "the trouble")
        assert "does not end with lines of an audit chain" in exported(appliance)["trouble"]
        assert file.read_text() == "no chain\n"


def test_a_collector_gets_rfc_5424_and_all_of_it_after_it_was_away(tmp_path):
    collector = Collector()
    appliance = exporting(tmp_path, export="syslog", export_address=f"tcp://127.0.0.1:{collector.port}")
    with ended(appliance.start().provision()):
        appliance.get("val-service-id=nowhere")
        last = settled(appliance)
        wait_for(lambda: collector.lines()[-1]["seq"] == last, "the frames")
        assert whole(collector.lines())
        by_outcome = {json.loads(m.group(6)).get("outcome", "checkpoint"): m for m in map(HEADER.fullmatch, collector.messages)}
        assert {outcome: int(m.group(1)) for outcome, m in by_outcome.items()} == {"granted": 110, "refused": 108, "checkpoint": 110}
        assert by_outcome["checkpoint"].group(5) == "checkpoint" and by_outcome["granted"].group(4) == str(appliance.process.pid)
        collector.close()
        for _ in range(3):
            appliance.key()
        wait_for(lambda: "trouble" in exported(appliance), "the loss")
        assert "tcp://127.0.0.1" in exported(appliance)["trouble"]
        back = Collector(collector.port)
        last = settled(appliance)
        wait_for(lambda: back.lines() and back.lines()[-1]["seq"] == last, "the rest")
        seen = {line["seq"] for line in collector.lines() + back.lines() if "checkpoint" not in line}
        assert seen >= set(range(1, last + 1))
        back.close()


def test_a_collector_on_a_unix_socket_gets_datagrams(tmp_path):
    path = tmp_path / "log.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        log.settimeout(DEADLINE)
        appliance = exporting(tmp_path, export="syslog", export_address=path)
        with ended(appliance.start().provision()):
            matched = HEADER.fullmatch(log.recv(65536).decode())
            assert matched and json.loads(matched.group(6))["seq"] == 1


def test_a_sink_that_is_too_far_behind_stops_every_decision_and_its_return_lets_them_go_on(tmp_path):
    appliance = exporting(tmp_path, export="syslog", export_address="tcp://127.0.0.1:1", export_most_behind="100", checkpoint_entries="10")
    with ended(appliance.start().provision()):
        kid = appliance.key()["kid"]
        wait_for(lambda: appliance.get().status == 500, "the end of the spool")
        refused = appliance.get()
        assert "keyInfo" not in refused.body and refused.json["cause"] == "INSUFFICIENT_RESOURCES"
        status = appliance.ctl_json("status")
        assert status["state"] == "degraded" and any("every request is refused until it has caught up" in r for r in status["reasons"])
        assert appliance.ask_admin("/healthz") == {"status": "ok"}
        denied = appliance.try_ctl("principal", "remove", "val-1")
        assert denied.returncode != 0
        behind = exported(appliance)["behind"]
        assert 100 <= behind < 200, "nothing was recorded any more"
        # So it is from the first request on after a restart, too.
        appliance.stop()
        appliance.start()
        assert appliance.get().status == 500
        appliance.stop()
        collector = Collector()
        appliance.write_config(audit__checkpoint_s="1", audit__export="syslog", audit__export_most_behind="100", audit__checkpoint_entries="10",
                               audit__export_address=f"tcp://127.0.0.1:{collector.port}")
        appliance.start()
        wait_for(lambda: appliance.get().status == 200, "the sink's return")
        assert appliance.key()["kid"] == kid
        settled(appliance)
        assert appliance.ctl_json("status")["state"] == "operational" and whole(collector.lines())
        collector.close()


def test_what_was_not_exported_is_not_archived(tmp_path):
    appliance = exporting(tmp_path, export="syslog", export_address="tcp://127.0.0.1:1")
    with ended(appliance.start().provision()):
        refused = appliance.try_ctl("audit", "archive", "--directory", tmp_path, "--older-than", "0d")
        assert refused.returncode != 0 and "are not exported yet" in refused.stderr, refused.stderr


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"audit__export": "file"}, "export_path"),
        ({"audit__export": "elsewhere"}, "off or file or syslog or journald"),
        ({"audit__export_address": "log"}, "must be the absolute path of a socket, or tcp://host:port"),
        ({"audit__export_address": "tcp://host"}, "must be the absolute path of a socket, or tcp://host:port"),
        ({"audit__export_address": "tcp://:514"}, "must be the absolute path of a socket, or tcp://host:port"),
        ({"audit__export_most_behind": "0"}, "export_most_behind"),
        ({"audit__export": "journald", "audit__export_most_behind": "1999"}, "must be twice 'checkpoint_entries' at least"),
        ({"audit__export": "file", "audit__export_path": "skms.db"}, "is a file that this server uses for something else"),
        ({"audit__export": "file", "audit__export_path": "server.key"}, "is a file that this server uses for something else"),
    ],
)
def test_settings_that_cannot_be_are_told(fresh, settings, complaint):
    fresh.write_config(**settings)
    done = fresh.run_skmsd("--check-config")
    assert done.returncode == 3 and complaint in done.stderr, done.stderr


JOURNAL = pathlib.Path("/run/systemd/journal")


def test_journald_gets_fields_and_its_absence_is_told(tmp_path):
    if (JOURNAL / "socket").exists():
        pytest.skip("journald runs here: the journal would be the host's own")
    appliance = exporting(tmp_path, export="journald")
    with ended(appliance.start().provision()):
        wait_for(lambda: "trouble" in exported(appliance), "the trouble")
        assert "/run/systemd/journal/socket" in exported(appliance)["trouble"]
        made = [directory for directory in (JOURNAL.parent, JOURNAL) if not directory.exists()]
        try:
            JOURNAL.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            pytest.skip(f"a stand-in for journald needs {JOURNAL}: {error}")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.bind(str(JOURNAL / "socket"))
                journal.settimeout(DEADLINE)
                fields = dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines())
                assert json.loads(fields["MESSAGE"])["seq"] == 1
                assert (fields["SKMS_AUDIT_SEQ"], fields["SKMS_AUDIT_KIND"], fields["SYSLOG_IDENTIFIER"]) == ("1", "entry", "skms-audit")
                assert fields["PRIORITY"] == "6" and "CODE_FILE" not in fields
        finally:
            (JOURNAL / "socket").unlink(missing_ok=True)
            for directory in reversed(made):
                directory.rmdir()
