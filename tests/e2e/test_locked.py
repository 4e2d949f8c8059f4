"""A server that starts without a PIN: locked until an administrator types it, and what it says and refuses meanwhile."""

import contextlib
import fcntl
import json
import os
import pty
import select
import sqlite3
import subprocess
import termios
import time

from appliance import BIN, DEADLINE, PIN, Appliance, wait_for
from edge import Edge
from service_manager import ServiceManager
from several_tokens import FAULT, ended, softhsm
from token_load import MODULE, order


@contextlib.contextmanager
def locked(directory, **settings):
    """Started, with nobody there to give it a PIN; `ctl init` has asked for it already."""
    appliance = Appliance(directory, **settings).prepare()
    appliance.write_config(token__attended="true", **settings)
    text = appliance.config.read_text()
    assert text.count("  pin_file: pin\n") == 1
    appliance.config.write_text(text.replace("  pin_file: pin\n", ""))
    appliance.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(directory / "fault.sock"),
                                  "SKMS_FAULT_COUNTERS": str(directory / "counters")})
    with ended(appliance.start()):
        yield appliance


def unlock(appliance, pin=PIN, *arguments):
    path = appliance.directory / "typed"
    path.unlink(missing_ok=True)
    path.write_text(pin + "\n")
    path.chmod(0o400)
    return appliance.try_ctl("unlock", "--pin-file", path, *arguments)


def curl_admin(appliance, path):
    command = ["curl", "--silent", "--show-error", "--unix-socket", appliance.directory / "admin.sock", "--write-out", "\n%{http_code}"]
    body, _, status = subprocess.run([*command, "http://localhost" + path], capture_output=True, text=True, check=True,
                                     timeout=DEADLINE).stdout.rpartition("\n")
    return int(status), json.loads(body)


def audited(appliance):
    with contextlib.closing(sqlite3.connect(f"file:{appliance.directory}/skms.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT actor, action, outcome, reason FROM audit WHERE action = 'unlock' ORDER BY seq").fetchall()


def test_it_waits_says_so_and_serves_once_it_is_unlocked(tmp_path):
    with locked(tmp_path) as appliance:
        assert curl_admin(appliance, "/healthz") == (200, {"status": "ok"})
        status, problem = curl_admin(appliance, "/readyz")
        assert (status, problem["cause"]) == (503, "locked") and "skmsctl unlock" in problem["detail"]
        assert curl_admin(appliance, "/admin/v1/keys")[0] == 503
        assert curl_admin(appliance, "/admin/v1/nothing")[0] == 404
        assert appliance.ctl("status").splitlines()[0].split() == ["state", "locked"]
        refused = appliance.try_ctl("service", "list")
        assert refused.returncode == 5 and "skmsctl unlock" in refused.stderr
        assert appliance.get().status == 0  # nobody listens: no port is open before a token is

        wrong = unlock(appliance, "00000000")
        assert wrong.returncode == 5 and "CKR_PIN_INCORRECT" in wrong.stderr, wrong
        assert appliance.ctl_json("status")["state"] == "locked"
        done = unlock(appliance)
        assert done.returncode == 0, done.stderr
        assert appliance.ctl_json("status")["state"] == "operational"
        again = unlock(appliance)
        assert again.returncode == 7 and "is open" in again.stderr, again
        appliance.provision()
        assert appliance.get().status == 200
        me = f"admin:{os.geteuid()}"
        refused, granted, *_ = audited(appliance)
        assert refused[:3] == (me, "unlock", "refused") and refused[3].startswith("pin-incorrect at 20")
        assert granted == (me, "unlock", "granted", "token=skms")
        assert PIN not in appliance.log.read_text()
        assert subprocess.run(["grep", "-c", PIN, f"/proc/{appliance.process.pid}/cmdline", f"/proc/{appliance.process.pid}/environ"],
                              capture_output=True).returncode == 1


def test_the_pin_is_typed_without_echo(tmp_path):
    with locked(tmp_path) as appliance:
        leader, follower = pty.openpty()
        command = [BIN / "skmsctl", "--config", appliance.config, "unlock"]
        process = subprocess.Popen(command, env=appliance.environment, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
                                   preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(follower)
        shown = read_until(leader, b"PIN of token 'skms': ")
        # The terminal is told after the prompt, and nobody types as fast as this.
        wait_for(lambda: not termios.tcgetattr(leader)[3] & termios.ECHO, "the echo's end")
        os.write(leader, PIN.encode() + b"\n")
        shown += read_until(leader, b"unlocked")
        assert process.wait(DEADLINE) == 0
        os.close(leader)
        assert PIN.encode() not in shown, shown
        assert appliance.ctl_json("status")["state"] == "operational"


def read_until(descriptor, text):
    shown, until = b"", time.monotonic() + DEADLINE
    while text not in shown:
        assert select.select([descriptor], [], [], until - time.monotonic())[0], shown
        shown += os.read(descriptor, 4096)
    return shown


def test_init_asks_for_the_pin_of_an_attended_token(tmp_path):
    with locked(tmp_path) as appliance:
        assert appliance.stop() == 0
        (tmp_path / "skms.db").unlink()
        command = [BIN / "skmsctl", "--config", appliance.config, "init"]
        done = subprocess.run(command, env=appliance.environment, input=PIN + "\n", capture_output=True, text=True, timeout=DEADLINE,
                              start_new_session=True)
        assert done.returncode == 0, done.stderr
        assert PIN not in done.stdout + done.stderr
        appliance.start()


def test_a_token_that_waits_beside_one_that_is_open(tmp_path):
    appliance = Appliance(tmp_path).prepare()
    waiting = softhsm(tmp_path, "b", attended=True)
    del waiting["pin_file"]
    appliance.make_token("b")
    appliance.write_config(tokens=[{"label": "skms", "pin_file": "pin"}, waiting])
    with ended(appliance.start()):
        status = appliance.ctl_json("status")
        assert status["state"] == "degraded" and any("'b'" in reason and "skmsctl unlock" in reason for reason in status["reasons"]), status
        assert unlock(appliance, PIN).returncode == 1  # which of the two
        done = unlock(appliance, PIN, "--label", "b")
        # It is blank: it took the PIN, and has to join.
        assert done.returncode == 5 and "skmsctl token prepare b" in done.stderr, done
        prepare = [BIN / "skmsctl", "--config", appliance.config, "token", "prepare", "b"]
        asked = subprocess.run(prepare, env=appliance.environment, input=PIN + "\n", capture_output=True, text=True, timeout=DEADLINE,
                               start_new_session=True)
        assert asked.returncode == 0, asked.stderr
        appliance.ctl("token", "join", "b", "--fingerprint", appliance.ctl_json("token", "join", "b")["fingerprint"])
        assert appliance.ctl_json("status")["state"] == "operational"


def test_a_pin_typed_wrong_or_too_early_costs_nothing_that_was_there(tmp_path):
    with locked(tmp_path, token__module=FAULT) as appliance:
        assert unlock(appliance).returncode == 0
        appliance.provision()
        order(appliance, "away 600")
        assert appliance.get().status == 503
        wait_for(lambda: appliance.ctl_json("status")["state"] == "degraded", "the loss")
        # The network is down, and nobody knows: neither the right one nor a wrong one opens anything.
        assert unlock(appliance).returncode == 5
        assert unlock(appliance, "00000000").returncode == 5
        order(appliance, "clear")
        wait_for(lambda: appliance.get().status == 200, "the return, with the PIN that worked before")


def test_a_refused_pin_is_sent_once_however_often_it_is_typed(tmp_path):
    with locked(tmp_path, token__module=FAULT) as appliance:
        for _ in range(3):
            assert unlock(appliance, "00000000").returncode == 5
        assert unlock(appliance).returncode == 0
        appliance.stop()
        logins = [line.split()[1] for line in (tmp_path / "counters").read_text().splitlines() if line.startswith("C_Login ")]
        assert logins == ["2"]  # the wrong one, and the right one


def test_a_refused_pin_file_is_mended_by_typing_without_a_restart(tmp_path):
    appliance = Edge(tmp_path).prepare()
    appliance.write_pin("00000000")
    manager = ServiceManager(appliance, [tmp_path / "admin.sock"], 30)
    try:
        with ended(appliance.start()):
            manager.wait_for_message("STATUS=locked")
            assert "the token refused the PIN" in appliance.ctl_json("status")["reasons"][0]
            assert unlock(appliance).returncode == 0
            manager.wait_for_message("STATUS=serving")
            wait_for(lambda: appliance.ctl_json("status")["state"] == "operational", "serving")
    finally:
        manager.close()


def test_it_ends_while_it_is_locked_and_leaves_no_socket(tmp_path):
    with locked(tmp_path, token__module=MODULE) as appliance:
        assert appliance.stop() == 0
        assert not (tmp_path / "admin.sock").exists()
