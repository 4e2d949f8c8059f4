"""What befalls the database: a disk that is full, a file that another process holds, a page that is spoilt."""

import contextlib
import sqlite3
import subprocess

import pytest

from appliance import Appliance, running, wait_for
from several_tokens import ended


@contextlib.contextmanager
def small_disk(directory, mebibytes):
    """A disk of its own at `directory`."""
    directory.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}M,mode=0700", "tmpfs", directory], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("mounting a small disk needs root: " + done.stderr.strip())
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def test_a_full_disk_is_told_before_refuses_everything_and_is_got_over(tmp_path):
    with small_disk(tmp_path / "disk", 12) as disk:
        appliance = Appliance(tmp_path, store__path=disk / "skms.db", audit__warn_free_mib="4", audit__checkpoint_s="1").prepare()
        appliance.ctl("init")
        with ended(appliance.start()):
            appliance.provision()
            kid = appliance.key()["kid"]
            assert appliance.ctl_json("status")["state"] == "operational"
            ballast = disk / "ballast"
            free = int(subprocess.run(["df", "--output=avail", "-k", disk], capture_output=True, text=True, check=True).stdout.split()[1])
            ballast.write_bytes(bytes((free - 2048) * 1024))
            wait_for(lambda: appliance.ctl_json("status")["state"] == "degraded", "the warning")
            assert "MiB left" in appliance.ctl_json("status")["reasons"][0]
            assert appliance.get().status == 200  # warned, and served
            with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            wait_for(lambda: appliance.get().status == 500, "the end of the write-ahead log's room")
            refused = appliance.get()
            assert (refused.status, refused.json["cause"]) == (500, "INSUFFICIENT_RESOURCES") and "keyInfo" not in refused.body
            assert appliance.ask_admin("/healthz") == {"status": "ok"}
            assert appliance.ctl_json("status")["state"] == "degraded"
            ballast.unlink()
            wait_for(lambda: appliance.get().status == 200, "room again")
            assert appliance.key()["kid"] == kid
            wait_for(lambda: appliance.ctl_json("status")["state"] == "operational", "the end of the warning")
            assert appliance.ctl_json("audit", "verify")["whole"]


def remount(directory, mode):
    subprocess.run(["mount", "-o", f"remount,{mode}", directory], check=True, capture_output=True)


def test_a_disk_that_is_read_only_is_told_at_the_start(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        appliance = Appliance(tmp_path, store__path=disk / "skms.db").prepare()
        appliance.ctl("init")
        with ended(appliance.start()):
            appliance.provision()
            kid = appliance.key()["kid"]
            appliance.stop()
            remount(disk, "ro")
            try:
                refused = appliance.run_skmsd()
                assert refused.returncode == 3 and "read" in refused.stderr and "skms.db" in refused.stderr, refused.stderr
            finally:
                remount(disk, "rw")
            appliance.start()
            assert appliance.key()["kid"] == kid


def test_a_full_disk_of_the_log_refuses_nobody(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        appliance = Appliance(tmp_path).prepare()
        appliance.log = disk / "log"
        with ended(appliance.start().provision()):
            kid = appliance.key()["kid"]
            with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
            before = appliance.log.stat().st_size
            for _ in range(200):
                assert appliance.key()["kid"] == kid
                assert appliance.get("val-service-id=nowhere").status == 404
            assert appliance.log.stat().st_size - before < 8192, "the disk was not full"
            assert appliance.ask_admin("/readyz")["status"] == "ready"
            (disk / "ballast").unlink()
            size = appliance.log.stat().st_size
            appliance.get("val-service-id=nowhere")
            wait_for(lambda: appliance.log.stat().st_size > size, "the log going on")
            assert appliance.ctl_json("audit", "verify")["whole"]


def test_a_database_that_another_process_holds_is_waited_for_and_told(tmp_path):
    with running(tmp_path) as appliance:
        kid = appliance.key()["kid"]
        with contextlib.closing(sqlite3.connect(tmp_path / "skms.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = appliance.get()
            assert (refused.status, refused.json["cause"]) in [(500, "INSUFFICIENT_RESOURCES"), (503, "NF_CONGESTION")], refused.body
            assert appliance.ask_admin("/healthz") == {"status": "ok"}
            other.execute("ROLLBACK")
        wait_for(lambda: appliance.get().status == 200, "the database")
        assert appliance.key()["kid"] == kid
        assert appliance.ctl_json("audit", "verify")["whole"]


def spoil(path, page_of):
    """Overwrites the page that holds the root of a table."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = database.execute("PRAGMA page_size").fetchone()[0]
        root = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (page_of,)).fetchone()[0]
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("table", ["services", "audit", "meta"])
def test_a_spoilt_page_that_all_rests_on_keeps_the_daemon_from_starting(tmp_path, table):
    with running(tmp_path) as appliance:
        appliance.key()
        appliance.stop()
        spoil(tmp_path / "skms.db", table)
        before = (tmp_path / "skms.db").read_bytes()
        done = appliance.run_skmsd()
        assert done.returncode == 3 and "malformed" in done.stderr.splitlines()[-1], done.stderr
        assert (tmp_path / "skms.db").read_bytes() == before  # nothing is mended in silence


def test_a_spoilt_page_of_keys_is_told_to_those_who_ask_for_them(tmp_path):
    with running(tmp_path) as appliance:
        appliance.key()
        appliance.stop()
        spoil(tmp_path / "skms.db", "key_versions")
        appliance.start()
        refused = appliance.get()
        assert (refused.status, refused.json["cause"]) == (500, "INSUFFICIENT_RESOURCES") and "keyInfo" not in refused.body
        assert "malformed" in appliance.log.read_text()
        assert appliance.get("val-service-id=nowhere").status == 404  # what does not need them goes on
