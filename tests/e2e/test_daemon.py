"""The daemon's life: what it refuses to start with, how it stops, and what it keeps to itself."""

import grp
import json
import os
import pathlib
import resource
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading

import pytest

from appliance import BIN, PIN, wait_for


def last_line(done):
    return (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]


def test_a_typo_in_the_configuration_is_named_with_line_and_column(fresh):
    fresh.config.write_text(fresh.config.read_text() + "log:\n  levle: info\n")
    lines = fresh.config.read_text().splitlines()
    for arguments in ((), ("--check-config",)):
        done = fresh.run_skmsd(*arguments)
        assert done.returncode == 3
        assert f"skms.yaml:{len(lines)}:3: unknown key 'levle' in 'log'; did you mean 'level'?" in last_line(done)
    assert fresh.try_ctl("status").returncode == 3


def test_missing_files_are_named(fresh):
    (fresh.directory / "server.pem").unlink()
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "server.pem" in last_line(done)
    fresh.config.unlink()
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "skms.yaml: No such file" in last_line(done)


def test_a_private_key_or_pin_that_others_can_read_is_refused(fresh):
    (fresh.directory / "server.key").chmod(0o644)
    assert "chmod 0400" in last_line(fresh.run_skmsd())
    (fresh.directory / "server.key").chmod(0o600)
    (fresh.directory / "pin").chmod(0o644)
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "chmod 0400" in last_line(done)


def test_a_wrong_pin_is_tried_once_and_the_daemon_stops(fresh):
    fresh.write_pin("111111")
    done = fresh.run_skmsd()
    assert done.returncode == 6
    assert "CKR_PIN_INCORRECT" in done.stderr and "tried once" in done.stderr
    assert done.stderr.count("C_Login") == 1
    assert "111111" not in done.stderr
    assert fresh.try_ctl("token", "probe").returncode == 5


def test_an_absent_blank_or_doubled_token_is_refused_by_name(fresh):
    fresh.write_config(token__label="other")
    done = fresh.run_skmsd()
    assert done.returncode == 5 and "no token 'other'" in done.stderr and "'skms'" in done.stderr
    fresh.write_config()
    fresh.make_token("skms")
    done = fresh.run_skmsd()
    assert done.returncode == 5 and "more than one token 'skms'" in done.stderr
    fresh.make_token("empty")
    fresh.write_config(token__label="empty")
    done = fresh.run_skmsd()
    assert done.returncode == 5 and "skmsctl init" in done.stderr


def test_a_database_from_a_newer_version_is_refused(fresh):
    with sqlite3.connect(fresh.directory / "skms.db") as database:
        database.execute("UPDATE meta SET value = '99'")
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "upgrade skms" in done.stderr
    assert fresh.try_ctl("init").returncode == 3


def test_no_database_names_the_command_that_makes_it(fresh):
    (fresh.directory / "skms.db").unlink()
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "skmsctl init" in done.stderr


def test_rows_swapped_by_hand_are_refused_and_reported(fresh):
    fresh.start().provision()
    for user in ("a", "b"):
        assert fresh.get(f"val-service-id=s&valUserId={user}").status == 200
    with sqlite3.connect(fresh.directory / "skms.db") as database:
        database.execute("UPDATE key_versions SET wrapped = (SELECT wrapped FROM key_versions WHERE target = 'b') WHERE target = 'a'")
    answer = fresh.get("val-service-id=s&valUserId=a")
    assert answer.status == 500 and answer.problem["errorCode"] == "01"
    assert "keyInfo" not in answer.body
    assert "the MAC of key" in fresh.log.read_text()
    assert fresh.get("val-service-id=s&valUserId=b").status == 200
    assert fresh.try_ctl("key", "list").returncode != 0


def test_a_policy_changed_by_hand_stops_the_next_start(fresh):
    fresh.start().provision()
    assert fresh.stop() == 0
    with sqlite3.connect(fresh.directory / "skms.db") as database:
        database.execute("UPDATE services SET readers = 'val-1,val-2' WHERE id = 's'")
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "service 's'" in done.stderr


def test_a_full_disk_stops_delivery_and_loses_nothing(fresh):
    """The daemon may write no file past a limit (RLIMIT_FSIZE), as on a full disk; then it may again."""
    fresh.start().provision()
    assert fresh.get().status == 200
    size = (fresh.directory / "skms.db-wal").stat().st_size
    pid = fresh.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    answer = fresh.get("val-service-id=s&valUserId=new")
    assert answer.status == 500 and answer.problem["cause"] == "INSUFFICIENT_RESOURCES"
    assert "keyInfo" not in answer.body
    assert fresh.get("val-service-id=t").status == 500, "a refusal that cannot be recorded is no answer either"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert fresh.get("val-service-id=s&valUserId=new").status == 200
    assert "is whole" in fresh.ctl("audit", "verify")
    assert fresh.stop() == 0


def test_keys_and_policy_survive_a_restart(fresh):
    fresh.start().provision()
    before = fresh.key()
    assert fresh.stop() == 0
    fresh.start()
    assert fresh.key()["kid"] == before["kid"]


def test_keys_and_policy_survive_a_kill(fresh):
    fresh.start().provision()
    before = fresh.key()
    fresh.process.kill()
    fresh.process.wait()
    fresh.start()
    assert fresh.key()["kid"] == before["kid"]


def test_a_request_in_flight_at_sigterm_is_answered_and_the_exit_is_clean(fresh):
    fresh.start().provision()
    fresh.ctl("service", "add", "pairs", "--profile", "ec-p256", "--scope", "user", "--reader", "val-1")
    context = ssl.create_default_context(cafile=fresh.directory / "ca.pem")
    context.load_cert_chain(fresh.directory / "val-1.pem", fresh.directory / "val-1.key")
    answers = []
    started = threading.Barrier(9)

    def client(number):
        head = (
            f"GET /ss-kir/v1/key-records?val-service-id=pairs&valUserId=u{number} HTTP/1.1\r\n"
            f"Host: localhost:{fresh.port}\r\nAuthorization: Bearer {fresh.issuer.token()}\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", fresh.port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(head)
                started.wait()
                received = b""
                while chunk := tls.recv(65536):
                    received += chunk
                answers.append(received)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    assert fresh.stop() == 0
    for thread in threads:
        thread.join()
    # Every request that was sent before the signal is answered, read by then or not.
    assert len(answers) == 8
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200") and answer.rstrip().endswith(b"}"), answer


def test_a_second_daemon_is_kept_out(fresh):
    fresh.start()
    done = fresh.run_skmsd()
    assert done.returncode != 0
    assert fresh.answers()


def test_no_secret_shows_in_arguments_environment_or_log_and_no_core_can_be_made(fresh):
    fresh.start().provision()
    assert fresh.get().status == 200
    token = fresh.issuer.token()
    assert fresh.get(token=token).status == 200
    proc = pathlib.Path("/proc") / str(fresh.process.pid)
    for name in ("cmdline", "environ"):
        assert PIN.encode() not in (proc / name).read_bytes()
    log = fresh.log.read_text()
    assert PIN not in log and token not in log and token.split(".")[2] not in log
    assert resource.prlimit(fresh.process.pid, resource.RLIMIT_CORE) == (0, 0)
    for path in fresh.directory.glob("skms.db*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (fresh.directory / "admin.sock").stat().st_mode & 0o777 == 0o600


def test_the_admin_socket_refuses_another_user(fresh):
    fresh.start()
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become another user")
    for path in (fresh.directory, fresh.directory / "admin.sock", fresh.config):
        path.chmod(0o777)
    done = subprocess.run(
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BIN / "skmsctl", "--socket",
         fresh.directory / "admin.sock", "service", "add", "evil"],
        capture_output=True, text=True,
    )
    assert done.returncode == 1 and "root" in done.stderr
    assert fresh.ctl_json("service", "list") == {"services": []}


def test_the_admin_socket_serves_the_members_of_its_group_and_no_others(fresh):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become another user")
    group = grp.getgrnam("games")
    fresh.write_config(admin__group=group.gr_name)
    fresh.start()
    path = fresh.directory / "admin.sock"
    assert (path.stat().st_mode & 0o777, path.stat().st_gid) == (0o660, group.gr_gid)
    fresh.directory.chmod(0o755)

    def status_as(gid):
        return subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", str(gid), "--clear-groups", BIN / "skmsctl", "--socket", path, "status"],
            capture_output=True, text=True,
        )

    member = status_as(group.gr_gid)
    assert member.returncode == 0, member.stderr
    assert status_as(65534).returncode != 0
    fresh.stop()
    fresh.write_config(admin__group="no-such-group")
    done = fresh.run_skmsd()
    assert done.returncode == 3 and "no group 'no-such-group'" in done.stderr


def test_429_and_503_say_when_to_come_back(fresh):
    fresh.write_config(limits__requests_per_second=0.5, limits__burst=3)
    fresh.start().provision()
    statuses = [fresh.get() for _ in range(5)]
    limited = [a for a in statuses if a.status == 429]
    assert [a.status for a in statuses[:3]] == [200, 200, 200] and limited
    assert int(limited[0].headers["retry-after"]) >= 1
    assert limited[0].problem["cause"] == "NF_CONGESTION_RISK"
    assert fresh.get("val-service-id=t", who="val-2").status == 200, "another principal has a rate of its own"


def test_503_when_too_much_runs_at_once(fresh):
    fresh.write_config(limits__concurrent_requests=1, limits__waiting_requests=0, limits__max_wait_ms=0)
    fresh.start().provision()
    fresh.ctl("service", "add", "pairs", "--scope", "user", "--reader", "val-1")
    answers = []
    stop = threading.Event()

    def hammer(number):
        count = 0
        while not stop.is_set() and count < 200:
            answers.append(fresh_get(fresh, f"val-service-id=pairs&valUserId=u{number}-{count}"))
            count += 1

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: any(a.startswith(b"HTTP/1.1 503") for a in answers) or not any(t.is_alive() for t in threads), "a 503")
    stop.set()
    for thread in threads:
        thread.join()
    busy = [a for a in answers if a.startswith(b"HTTP/1.1 503")]
    assert busy and b"Retry-After: 1" in busy[0] and b"NF_CONGESTION" in busy[0]
    assert fresh.get().status == 200


def fresh_get(appliance, query):
    context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
    context.load_cert_chain(appliance.directory / "val-1.pem", appliance.directory / "val-1.key")
    head = (
        f"GET /ss-kir/v1/key-records?{query} HTTP/1.1\r\nHost: localhost:{appliance.port}\r\n"
        f"Connection: close\r\nAuthorization: Bearer {appliance.issuer.token()}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(head)
            received = b""
            while chunk := tls.recv(65536):
                received += chunk
            return received


def test_init_is_repeatable_and_help_names_every_command(fresh):
    again = fresh.ctl("init")
    assert "skms-kek-1" in again and "was there" in again
    overview = subprocess.run([BIN / "skmsctl", "--help"], capture_output=True, text=True).stdout
    for command in ("init", "service add", "principal add", "recipient add", "issuer add", "key rotate", "status", "token probe"):
        assert command in overview
        words = command.split()
        shown = subprocess.run([BIN / "skmsctl", *words, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0 and "Example:" in shown.stdout


def test_the_probe_prints_a_table_and_json(fresh):
    table = fresh.ctl("token", "probe")
    assert "CAPABILITY" in table and "verdict: this token can be used" in table
    report = fresh.ctl_json("token", "probe")
    assert report["usable"] and any(row["capability"].startswith("wrap RFC 5649") for row in report["capabilities"])
    assert {verdict["profile"]: verdict["passes"] for verdict in report["profiles"]} == {"lab": True, "standard": True, "strict": False}
    assert any(quirk["capability"] == "wrap RFC 5649 (KWP)" for quirk in report["quirks"])


def test_a_token_below_the_profile_is_refused_with_the_line_that_failed(fresh):
    fresh.write_config(token__profile="strict")
    done = fresh.run_skmsd()
    assert done.returncode == 5
    assert "below token.profile strict" in last_line(done)
    assert "RSA-OAEP with SHA-256: C_WrapKey: CKR_ARGUMENTS_BAD" in last_line(done)
    probe = fresh.try_ctl("token", "probe")
    assert probe.returncode == 5
    assert "profile standard: met" in probe.stdout and "profile strict: NOT met: " in probe.stdout
    assert "the daemon does NOT start on this token, for token.profile is strict" in probe.stdout
    fresh.write_config(token__profile="standard")
    assert fresh.start().ctl_json("token", "probe")["usable"]
    shown = fresh.ask_admin("/admin/v1/token")
    assert [verdict["passes"] for verdict in shown["profiles"]] == [True, True, False]


def test_empty_lists_say_what_to_do_and_json_is_stable(fresh):
    fresh.start()
    for group, key in (("service", "services"), ("principal", "principals"), ("issuer", "issuers"), ("recipient", "recipients"), ("key", "keys")):
        assert "no " in fresh.ctl(group, "list")
        assert fresh.ctl_json(group, "list") == {key: []}


def test_bash_completes_commands_and_options(fresh):
    script = subprocess.run([BIN / "skmsctl", "completion", "bash"], capture_output=True, text=True, check=True).stdout
    (fresh.directory / "completion").write_text(script)
    probe = (
        f"source {fresh.directory}/completion; COMP_WORDS=(skmsctl service add --prof); COMP_CWORD=3; _skmsctl; "
        'echo "${COMPREPLY[@]}"; COMP_WORDS=(skmsctl serv); COMP_CWORD=1; _skmsctl; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--profile", "service"]


def test_the_json_of_status_tells_what_an_operator_watches(fresh):
    fresh.start().provision()
    status = json.loads(fresh.ctl("status", "--output", "json"))
    assert status["healthy"] is True and status["token"]["label"] == "skms" and status["sessions"]["inUse"] == 0
