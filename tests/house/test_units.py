"""The systemd units: how much of the host they leave to their processes, and that they mean the sockets the daemon means."""

import configparser
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"


def settings(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str
    parser.read(UNITS / name)
    return parser


@pytest.mark.parametrize(("unit", "most"), [("skmsd.service", 1.5), ("skms-edge.service", 1.5), ("skms-metrics.service", 1.5)])
def test_the_exposure_is_low(unit, most):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / unit], capture_output=True, text=True, check=True)
    [score] = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(score) <= most, done.stdout


def test_the_service_managers_sockets_are_those_of_the_configuration():
    header = (ROOT / "appliance/config/configuration.h").read_text()
    defaults = set(re.findall(r'"(/run/skms/[a-z-]+\.sock)"', header))
    units = {settings(path.name)["Socket"]["ListenStream"] for path in UNITS.glob("*.socket")}
    assert units == defaults == {"/run/skms/admin.sock", "/run/skms/edge.sock", "/run/skms/edge-ue.sock"}
    assert all(settings(path.name)["Socket"]["Service"] == "skmsd.service" for path in UNITS.glob("*.socket"))


def test_the_edges_sockets_are_for_its_group_and_the_administrators_for_the_daemons_user_alone():
    modes = {path.name: (settings(path.name)["Socket"]["SocketGroup"], settings(path.name)["Socket"]["SocketMode"]) for path in UNITS.glob("*.socket")}
    assert modes == {"skmsd-admin.socket": ("skms", "0600"), "skmsd-edge.socket": ("skms-edge", "0660"),
                     "skmsd-edge-ue.socket": ("skms-edge", "0660")}
    users = (UNITS / "skms.sysusers").read_text()
    assert re.search(r"^u +skms ", users, re.M) and re.search(r"^u +skms-edge ", users, re.M)
    assert settings("skmsd.service")["Service"]["User"] == "skms"
    assert settings("skms-edge.service")["Service"]["User"] == "skms-edge"


def test_units_are_installed():
    installed = (UNITS / "CMakeLists.txt").read_text()
    assert all(path.name in installed for path in [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.timer")])


def test_the_daemon_is_not_killed_before_it_ends_by_itself():
    service = settings("skmsd.service")["Service"]
    assert int(service["TimeoutStopSec"]) >= 40  # 2 x request_time_ms + answer_time_ms of the defaults, and a margin
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) > 60


def test_the_daemon_may_lock_its_memory_and_leaves_no_core():
    service = settings("skmsd.service")["Service"]
    assert service["LimitMEMLOCK"] == "infinity" and service["LimitCORE"] == "0"
    allowed, *refused = re.findall(r"^SystemCallFilter=(.*)", (UNITS / "skmsd.service").read_text(), re.M)
    assert allowed == "@system-service" and not any("@memlock" in calls for calls in refused)
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", allowed], capture_output=True, text=True, check=True).stdout
    assert "@memlock" in listed


@pytest.mark.parametrize("drop_in", sorted(path.name for path in (UNITS / "hsm").glob("*.conf")))
def test_systemd_understands_each_drop_in_and_little_is_opened_by_it(drop_in, tmp_path):
    text = (UNITS / "hsm" / drop_in).read_text()
    # What is commented out is for an administrator to take in: it must be understood, too.
    taken_in = re.sub(r"^#([A-Z][A-Za-z]+=)", r"\1", text, flags=re.M)
    unit = (UNITS / "skmsd.service").read_text().replace("/usr/sbin/skmsd", "/bin/true")
    for number, added in enumerate((text, taken_in)):
        path = tmp_path / str(number) / "skmsd.service"
        path.parent.mkdir()
        path.write_text(unit + "\n" + added)
        verified = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
        assert str(path) not in verified.stderr and "skmsd.service:" not in verified.stderr, verified.stderr
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", tmp_path / "0/skmsd.service"], capture_output=True, text=True,
                          check=True)
    assert float(re.findall(r"level for \S+: ([0-9.]+)", done.stdout)[0]) <= 2.0, done.stdout
    assert drop_in in (UNITS / "CMakeLists.txt").read_text() and drop_in in (ROOT / "docs/service.md").read_text()
