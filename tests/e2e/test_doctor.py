"""skmsctl doctor: a healthy server is all ok; each fault that is made on purpose is found, and its cure is a command."""

import contextlib
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import time

import pytest

from appliance import BIN, DEADLINE, Appliance, running
from edge import Edge, ending
from people import open_directory
from pki import DAY, NOW
from test_edge_reload import write_crl, write_ocsp
from test_locked import locked
from token_load import MODULE as SOFTHSM

# What depends on the machine that the tests run on; its judgement is tried in tests/unit/provisioning/doctor_test.cpp.
HOST = {"clock", "swap", "memory", "randomness", "skmsd.service", "skmsd-admin.socket", "skms-edge.service"}


def doctor(appliance, *arguments):
    """(exit code, findings but those of the host)"""
    done = appliance.try_ctl("doctor", "--output", "json", *arguments)
    told = json.loads(done.stdout)
    findings = told["findings"]
    assert all(bool(one.get("cure")) == (one["verdict"] != "ok") for one in findings), findings
    worst = max(("ok", "warn", "fail").index(one["verdict"]) for one in findings)
    assert told["verdict"] == ("ok", "warn", "fail")[worst] and (done.returncode == 0) == (worst == 0)
    return done.returncode, [one for one in findings if one["check"] not in HOST]


def wrong(appliance, *arguments):
    code, findings = doctor(appliance, *arguments)
    return code, [(one["check"], one["verdict"], one["seen"], one["cure"]) for one in findings if one["verdict"] != "ok"]


def only(appliance, check, verdict, seen, cure, code):
    """One finding of doctor's is not ok, and it is this one."""
    got, findings = wrong(appliance)
    assert len(findings) == 1, findings
    [(found_check, found_verdict, found_seen, found_cure)] = findings
    assert (found_check, found_verdict) == (check, verdict), findings
    assert seen in found_seen and cure in found_cure, findings
    assert got == code, findings


def lasting(appliance):
    """A server's certificate that does not end within a fortnight."""
    appliance.ca.issue("server", server=True, ends=NOW + 25 * DAY)
    return appliance


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("doctor")
    appliance = lasting(Appliance(directory, listen__crl="crl.pem").prepare())
    directory.chmod(0o700)
    (directory / "tokens").chmod(0o700)
    write_crl(appliance, [], until=3 * DAY)
    with ending_well(appliance):
        yield appliance.start().provision()


@contextlib.contextmanager
def ending_well(appliance):
    try:
        yield
        assert appliance.stop() in (0, None), appliance.log.read_text()[-4000:]
    finally:
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait()


@contextlib.contextmanager
def mode(path, bits):
    former = path.stat().st_mode & 0o7777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(former)


@contextlib.contextmanager
def contents(path, octets):
    former, bits = path.read_bytes(), path.stat().st_mode & 0o7777
    path.chmod(0o600)
    path.write_bytes(octets)
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(0o600)
        path.write_bytes(former)
        path.chmod(bits)


def test_a_healthy_server_is_all_ok(healthy):
    code, findings = doctor(healthy)
    assert [one for one in findings if one["verdict"] != "ok"] == []
    assert {one["check"] for one in findings} >= {
        "configuration", "state directory", "database file", "PIN of skms", "token directory", "token files", "admin socket", "daemon", "token skms",
        "token profile", "database", "schema", "clock and database", "audit chain", "disk", "listen.certificate", "listen.private_key",
        "listen.client_ca", "listen.crl", "listen_ue.certificate"}
    if code == 0:
        table = healthy.ctl("doctor")
        assert table.startswith("VERDICT") and "cure:" not in table


@pytest.mark.parametrize(("file", "bits", "check", "cure"), [
    ("skms.db", 0o644, "database file", "chmod 0600 "), ("pin", 0o440, "PIN of skms", "chmod 0400 "),
    ("admin.sock", 0o666, "admin socket", "chmod 0600 "), (".", 0o770, "state directory", "chmod 0700 "),
    ("tokens", 0o777, "token directory", "chmod go-w ")])
def test_what_others_may_read_or_write_is_found(healthy, file, bits, check, cure):
    path = healthy.directory / file
    with mode(path, bits):
        only(healthy, check, "fail", f"has mode 0{bits:o}", cure, 3)
    assert wrong(healthy)[1] == []


def test_a_key_that_others_may_read_is_found_where_it_is_used(healthy):
    with mode(healthy.directory / "server.key", 0o644):
        code, findings = wrong(healthy)
    assert code == 3 and [one[0] for one in findings] == ["listen.private_key", "listen_ue.private_key"]
    assert all(cure == f"chmod 0600 {healthy.directory}/server.key" for _, _, _, cure in findings)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_of_another_user_is_found(healthy):
    path = healthy.directory / "pin"
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        only(healthy, "PIN of skms", "fail", "is nobody's", "chown -h root ", 3)
    finally:
        os.chown(path, os.geteuid(), -1)


def test_a_pin_file_that_is_not_there_is_found(healthy):
    (healthy.directory / "pin").rename(healthy.directory / "kept")
    try:
        only(healthy, "PIN of skms", "fail", "No such file", "install -m 0400 -o root /dev/stdin ", 3)
    finally:
        (healthy.directory / "kept").rename(healthy.directory / "pin")


@pytest.mark.parametrize(("ends", "verdict", "seen", "code"), [(NOW + 5 * DAY, "warn", "is good until", 1), (NOW - DAY / 2, "fail", "ended at", 3)])
def test_a_certificate_that_ends_is_found(healthy, ends, verdict, seen, code):
    with contents(healthy.directory / "server.pem", b""), contents(healthy.directory / "server.key", b""):
        healthy.ca.issue("server", server=True, ends=ends)
        got, findings = wrong(healthy)
    assert got == code and [(one[0], one[1]) for one in findings] == [("listen.certificate", verdict), ("listen_ue.certificate", verdict)]
    assert all(seen in one[2] and "systemctl restart skmsd" in one[3] for one in findings)


def test_a_key_of_another_certificate_is_found(healthy):
    with contents(healthy.directory / "server.key", (healthy.directory / "val-1.key").read_bytes()):
        code, findings = wrong(healthy)
    assert code == 3 and {one[0] for one in findings} == {"listen.private_key", "listen_ue.private_key"}
    assert all("is not the key of the certificate" in one[2] for one in findings)


def test_a_chain_in_the_wrong_order_is_found(healthy):
    pem = healthy.directory / "server.pem"
    with contents(pem, pem.read_bytes() + (healthy.directory / "val-1.pem").read_bytes().replace(b"\r", b"")):
        code, findings = wrong(healthy)
    assert code == 3 and any("is not issued by the next one" in one[2] and "leaf first" in one[3] for one in findings)


def test_a_crl_that_ends_or_has_ended_is_found(healthy):
    crl = healthy.directory / "crl.pem"
    with contents(crl, b""):
        write_crl(healthy, [], until=DAY / 2)
        only(healthy, "listen.crl", "warn", "is good until", "fetch the CRLs anew into ", 1)
    with contents(crl, b"none"):
        only(healthy, "listen.crl", "fail", "holds no PEM CRL", "fetch the CRLs anew into ", 3)


def test_a_configuration_that_is_wrong_is_found_and_the_host_is_looked_at_all_the_same(healthy):
    with contents(healthy.config, b"skms: {idd: x}\n"):
        done = healthy.try_ctl("doctor", "--output", "json")
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == 3 and found[0]["check"] == "configuration" and "unknown key 'idd'" in found[0]["seen"]
    assert found[0]["cure"] == f"skmsd --config {healthy.config} --check-config" and {one["check"] for one in found} & HOST


def test_the_cure_that_is_printed_mends_it(healthy):
    """The cures for modes are typed as they stand."""
    path = healthy.directory / "skms.db"
    with mode(path, 0o640):
        [[_, _, _, cure]] = wrong(healthy)[1]
        assert os.system(cure) == 0
        assert wrong(healthy)[1] == []


def test_a_daemon_that_is_down_is_found_and_the_token_is_looked_for_without_a_pin(tmp_path):
    with running(tmp_path) as appliance:
        lasting(appliance)
        tmp_path.chmod(0o700)
        (tmp_path / "tokens").chmod(0o700)
        appliance.stop()
        (tmp_path / "pin").unlink()
        appliance.write_pin("000000")  # wrong: it is not tried
        only(appliance, "daemon", "fail", "no daemon is running", "systemctl start skmsd", 4)
        said = appliance.try_ctl("doctor")
        assert "failures: 1, warnings: " in said.stderr and "the first failure: daemon\n  what to do: type the cures above" in said.stderr
        assert "fail     daemon" in said.stdout and "cure: systemctl start skmsd" in said.stdout
        _, findings = doctor(appliance)
        assert any(one["check"] == "token skms" and "not logged in to" in one["seen"] for one in findings)
        appliance.write_config(token__label="other")
        _, found = wrong(appliance)
        assert [one[0] for one in found] == ["daemon", "token other"] and "the module shows 'skms'" in found[1][2]
        appliance.write_config(token__module="/nowhere/module.so")
        _, found = wrong(appliance)
        assert found[1][0] == "token skms" and "ls -l /nowhere/module.so" in found[1][3]
        appliance.write_config()
        appliance.write_pin()
        appliance.start()


def test_a_locked_server_is_found(tmp_path):
    with locked(tmp_path) as appliance:
        code, findings = wrong(lasting(appliance))
        assert code == 5 and ("daemon", "fail", "locked: it waits for a PIN", "skmsctl unlock") in findings


def stopped_database(tmp_path):
    appliance = lasting(Appliance(tmp_path).prepare())
    tmp_path.chmod(0o700)
    (tmp_path / "tokens").chmod(0o700)
    appliance.start().provision()
    assert appliance.stop() == 0
    return appliance


def change(appliance, *statements):
    with contextlib.closing(sqlite3.connect(appliance.directory / "skms.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def found_in_database(appliance):
    return [one for one in wrong(appliance)[1] if one[0] != "daemon"]


def test_faults_of_the_database_are_found(tmp_path):
    appliance = stopped_database(tmp_path)
    assert found_in_database(appliance) == []
    [today] = sqlite3.connect(tmp_path / "skms.db").execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    change(appliance, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict) == ("schema", "fail") and "version 99" in seen and "skms-server" in cure
    change(appliance, "UPDATE meta SET value = '7' WHERE name = 'schema_version'")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict) == ("schema", "warn") and cure == "systemctl restart skmsd"
    change(appliance, f"UPDATE meta SET value = '{today}' WHERE name = 'schema_version'",
           f"UPDATE audit SET time_ms = {int(time.time() + 9000) * 1000} WHERE seq = (SELECT max(seq) FROM audit)")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict, cure) == ("clock and database", "fail", "timedatectl status") and "in the future" in seen
    change(appliance, "UPDATE audit SET time_ms = 1 WHERE seq = (SELECT max(seq) FROM audit)", "DELETE FROM audit_checkpoints")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict) == ("audit chain", "warn") and "signed up to entry 0" in seen and "skmsctl audit verify" in cure


def test_a_damaged_or_missing_database_is_found(tmp_path):
    appliance = stopped_database(tmp_path)
    database = tmp_path / "skms.db"
    octets = bytearray(database.read_bytes())
    for at in range(4096 * 2, len(octets), 4096):
        octets[at:at + 64] = b"\xff" * 64
    database.write_bytes(octets)
    found = found_in_database(appliance)
    assert found and found[0][0] == "database" and "restore the last backup" in found[0][3]
    for path in tmp_path.glob("skms.db*"):
        path.unlink()
    found = found_in_database(appliance)
    assert [one[0] for one in found] == ["database"] and "skmsctl init" in found[0][3] and "backup restore" in found[0][3]


def test_a_database_that_is_only_out_of_reach_is_not_to_be_restored(tmp_path):
    appliance = stopped_database(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "skms.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        [[check, verdict, seen, cure]] = found_in_database(appliance)
        assert (check, verdict) == ("database", "fail") and "lock" in seen and "fuser -v " in cure and "restore" not in cure and "init" not in cure
    assert found_in_database(appliance) == []


def test_who_may_not_look_is_told_to_look_as_root():
    with open_directory() as directory:
        appliance = stopped_database(directory)
        for name in ("softhsm2.conf", "server.pem", "ca.pem"):
            (directory / name).chmod(0o644)  # whatever the umask is
        code, found = wrong_as(appliance, "nobody")
    assert code != 0 and found and all(cure == "sudo skmsctl doctor" or check in ("daemon", "token skms") for check, _, _, cure in found), found
    assert not any(word in cure for _, _, _, cure in found for word in ("init", "install", "restore", "chown", "chmod", "put "))


def test_who_may_not_read_what_the_configuration_names_is_told_to_look_as_root():
    with open_directory() as directory:
        appliance = stopped_database(directory)
        for name in ("softhsm2.conf", "server.pem", "ca.pem"):
            (directory / name).chmod(0o600)
        _, found = wrong_as(appliance, "nobody")
    checks = {check for check, _, _, cure in found if cure == "sudo skmsctl doctor"}
    assert checks >= {"token directory", "listen.certificate", "listen.private_key", "listen.client_ca", "database"}, found
    assert {check for check, *_ in found} - checks <= {"daemon", "token skms"}, found


def wrong_as(appliance, user):
    """Doctor's findings for somebody who may see the configuration, and nothing that it names."""
    entry = pwd.getpwnam(user)
    program = shutil.copy(BIN / "skmsctl", appliance.directory)  # BIN may lie where only its owner may look
    os.chmod(program, 0o755)  # whatever the umask is
    with mode(appliance.directory, 0o711), mode(appliance.config, 0o644):
        done = subprocess.run([program, "--config", appliance.config, "doctor", "--output", "json"], capture_output=True, text=True, timeout=DEADLINE,
                              env=appliance.environment, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])
    findings = [one for one in json.loads(done.stdout)["findings"] if one["check"] not in HOST and one["verdict"] != "ok"]
    return done.returncode, [(one["check"], one["verdict"], one["seen"], one["cure"]) for one in findings]


def test_a_link_in_place_of_a_file_is_told_and_not_followed(tmp_path):
    appliance = stopped_database(tmp_path)
    (tmp_path / "elsewhere").write_text("root's")
    (tmp_path / "skms.db-journal").unlink(missing_ok=True)
    (tmp_path / "pin").rename(tmp_path / "kept")
    (tmp_path / "pin").symlink_to(tmp_path / "elsewhere")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict) == ("PIN of skms", "fail") and "is a symbolic link" in seen and cure.startswith("ls -l ") and "chmod" not in cure


def test_a_chain_whose_signed_end_is_gone_is_found(tmp_path):
    appliance = stopped_database(tmp_path)
    change(appliance, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    [[check, verdict, seen, cure]] = found_in_database(appliance)
    assert (check, verdict) == ("audit chain", "fail") and "entries that the token has signed are gone" in seen and "audit verify" in cure


def test_a_configuration_that_others_may_write_is_found(healthy):
    with mode(healthy.config, 0o666):
        only(healthy, "configuration file", "fail", "has mode 0666", "chmod go-w ", 3)


def test_what_somebody_wrote_into_the_counts_blinds_nobody(tmp_path):
    appliance = stopped_database(tmp_path)
    change(appliance, "DROP TABLE state_counts", "CREATE TABLE state_counts (state TEXT PRIMARY KEY, versions BIGINT)",
           "INSERT INTO state_counts VALUES (NULL, 1), ('active', 9223372036854775807), ('destroyed', 9223372036854775807), ('odd', 'x'), ('suspended', -5)")
    appliance.start()
    assert appliance.ctl_json("status")["keyVersions"] >= 0
    assert "skms_key_versions" in appliance.ctl("metrics") and "skms_rotation_due_versions" in appliance.ctl("metrics")
    appliance.stop()


def test_a_disk_with_little_room_is_found(healthy):
    healthy.write_config(audit__warn_free_mib=1000000000)
    try:
        only(healthy, "disk", "fail", "MiB free for ", "skmsctl audit archive", 3)
    finally:
        healthy.write_config()


def test_faults_of_the_edge_are_found(tmp_path):
    appliance = lasting(Edge(tmp_path).prepare())
    tmp_path.chmod(0o700)
    (tmp_path / "tokens").chmod(0o700)
    at = ("--edge-directory", tmp_path / "edge")
    with ending(appliance):
        appliance.start()
        code, findings = wrong(appliance, *at)
        assert code == 3 and [one[0] for one in findings] == ["edge files", "HAProxy"] and f"edge config --directory {tmp_path}/edge" in findings[0][3]
        appliance.configure_edge()
        assert wrong(appliance, *at)[1] == []
        config = tmp_path / "edge/haproxy.cfg"
        former = config.read_text()
        config.write_text(former + "\nnonsense here\n")
        assert [(one[0], one[1]) for one in wrong(appliance, *at)[1]] == [("edge files", "fail"), ("HAProxy", "fail")]
        config.write_text(former)
        [found] = wrong(appliance, *at, "--haproxy", "/nowhere/haproxy")[1]
        assert found[0] == "HAProxy" and found[3] == "apt-get install haproxy"
        (tmp_path / "edge.sock").rename(tmp_path / "kept.sock")
        [found] = wrong(appliance, *at)[1]
        assert found[0] == "edge socket" and "skmsd-edge.socket" in found[3]
        (tmp_path / "kept.sock").rename(tmp_path / "edge.sock")


def test_an_ocsp_response_that_ends_or_is_none_is_found(tmp_path):
    appliance = lasting(Edge(tmp_path, listen__ocsp_response="server.ocsp").prepare())
    tmp_path.chmod(0o700)
    (tmp_path / "tokens").chmod(0o700)
    at = ("--edge-directory", tmp_path / "edge")
    with ending(appliance):
        appliance.start()
        appliance.configure_edge()
        for until, verdict, seen in ((3 * DAY, None, ""), (DAY / 2, "warn", "is good until"), (-DAY, "fail", "ended at")):
            write_ocsp(appliance, until)
            found = [one for one in wrong(appliance, *at)[1] if one[0] == "listen.ocsp_response"]
            assert [(one[1], seen in one[2], "fetch it anew into " in one[3]) for one in found] == ([(verdict, True, True)] if verdict else [])
        (tmp_path / "server.ocsp").write_bytes(b"none")
        [found] = [one for one in wrong(appliance, *at)[1] if one[0] == "listen.ocsp_response"]
        assert found[1] == "fail" and "holds no OCSP response" in found[2]
        (tmp_path / "server.ocsp").unlink()
        [found] = [one for one in wrong(appliance, *at)[1] if one[0] == "listen.ocsp_response"]
        assert found[1] == "warn" and "nothing is stapled" in found[2]


@pytest.mark.parametrize("function", ["C_Initialize", "C_GetSlotList"])
def test_a_module_that_hangs_keeps_no_other_finding_back(tmp_path, function):
    appliance = stopped_database(tmp_path)
    (tmp_path / "script").write_text(f"hang {function} 600\n")
    appliance.environment.update({"SKMS_FAULT_MODULE": SOFTHSM, "SKMS_FAULT_CONTROL": str(tmp_path / "fault.sock"),
                                  "SKMS_FAULT_SCRIPT": str(tmp_path / "script")})
    appliance.write_config(token__module=BIN.parent / "lib/libskms_fault.so")
    begun = time.monotonic()
    found = dict((one[0], one[1:]) for one in wrong(appliance)[1])
    assert 15 < time.monotonic() - begun < 50
    verdict, seen, cure = found["token skms"]
    assert verdict == "fail" and seen == "it does not answer within 20 s" and "systemctl" in cure
    assert not [check for check in found if check not in ("token skms", "daemon")], found
    # People see what is known meanwhile.
    with subprocess.Popen([BIN / "skmsctl", "--config", appliance.config, "doctor"], env=appliance.environment, stdout=subprocess.PIPE, text=True) as doctor_:
        begun = time.monotonic()
        while not doctor_.stdout.readline().startswith("fail     daemon"):
            pass
        assert time.monotonic() - begun < 15
        assert "it does not answer within 20 s" in doctor_.stdout.read()


def test_a_module_that_crashes_takes_no_other_finding_along(tmp_path):
    appliance = stopped_database(tmp_path)
    (tmp_path / "crash.c").write_text("int C_GetFunctionList(void* list) { return *(volatile int*)0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "crash.so", tmp_path / "crash.c"], check=True, timeout=DEADLINE)
    (tmp_path / "crash.so").chmod(0o755)
    appliance.write_config(token__module="crash.so")
    found = dict((one[0], one[1:]) for one in wrong(appliance)[1])
    assert "ended the process that asked it" in found["token skms"][1] and set(found) == {"token skms", "daemon"}
