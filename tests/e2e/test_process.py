"""What the running programs leave of their memory to others: no core, no look from outside, nothing in swap space."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess

import pytest

from appliance import BIN, DEADLINE, wait_for
from test_hardening import symbols

# A user's process: root without what lifts limits and opens other processes.
PRIVILEGES = "-sys_resource,-ipc_lock,-sys_ptrace,-sys_admin,-perfmon"
AS_USER = ["setpriv", f"--bounding-set={PRIVILEGES}", f"--inh-caps={PRIVILEGES}"]
LITTLE_MEMLOCK = ["prlimit", "--memlock=1048576:1048576"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take its privileges off")


@pytest.fixture
def unsanitized():
    if {"__asan_init", "__tsan_init"} & symbols("skmsd"):
        pytest.skip("a sanitizer makes mlockall do nothing, and looks for leaks with ptrace")


def status(pid, field):
    return re.search(rf"^{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def started(appliance, *wrapper):
    """As `start`, within other programs that become skmsd."""
    command = [*wrapper, BIN / "skmsd", "--config", appliance.config]
    with open(appliance.log, "ab") as log:
        appliance.process = subprocess.Popen(command, env=appliance.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for(lambda: appliance.process.poll() is not None or appliance.answers(), "skmsd")
    return appliance


def refused_start(appliance, *wrapper):
    command = [*wrapper, BIN / "skmsd", "--config", appliance.config]
    return subprocess.run(command, env=appliance.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)


@needs_root
def test_memory_is_locked_and_only_what_is_used_of_it(fresh, unsanitized):
    fresh.start()
    pid = fresh.process.pid
    assert int(status(pid, "VmLck")) > int(status(pid, "VmRSS")) // 2
    # Every thread has a stack of megabytes, of which it uses little: locked as it is touched, not all at once.
    assert int(status(pid, "Threads")) > 10
    assert int(status(pid, "VmRSS")) < 128 * 1024 < int(status(pid, "VmSize"))
    ranges = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    flags = [line for line in ranges.splitlines() if line.startswith("VmFlags:")]
    assert sum(" lo" in line for line in flags) > len(flags) - 8, "all but the kernel's own ranges are locked"
    assert "memory is not locked" not in fresh.log.read_text()


@needs_root
def test_under_a_low_limit_the_daemon_says_that_it_locks_nothing_and_serves(fresh, unsanitized):
    started(fresh, *LITTLE_MEMLOCK, *AS_USER)
    assert fresh.process.poll() is None, fresh.log.read_text()
    assert status(fresh.process.pid, "VmLck") == "0"
    assert "memory is not locked" in fresh.log.read_text() and "1024 KiB" in fresh.log.read_text()
    assert fresh.stop() == 0


@needs_root
def test_where_locking_is_required_the_daemon_does_not_start_without(fresh, unsanitized):
    fresh.write_config(memory__lock="required")
    done = refused_start(fresh, *LITTLE_MEMLOCK, *AS_USER)
    assert done.returncode == 3
    assert "LimitMEMLOCK=infinity" in done.stderr


@needs_root
def test_where_locking_is_off_nothing_is_locked_or_said(fresh):
    fresh.write_config(memory__lock="off")
    fresh.start()
    assert status(fresh.process.pid, "VmLck") == "0"
    assert "memory is not locked" not in fresh.log.read_text()


@needs_root
def test_nobody_without_privileges_looks_into_the_daemon(fresh):
    started(fresh, *AS_USER)
    limits = pathlib.Path(f"/proc/{fresh.process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    # The kernel asks for no more than the other's privileges, and for its consent.
    other = subprocess.Popen([*AS_USER, "sleep", "60"])
    try:
        wait_for(lambda: os.readlink(f"/proc/{other.pid}/exe").endswith("sleep"), "sleep")
        look = [*AS_USER, "head", "-c", "1"]
        assert subprocess.run([*look, f"/proc/{other.pid}/environ"], capture_output=True, check=False).returncode == 0
        seen = subprocess.run([*look, f"/proc/{fresh.process.pid}/environ"], capture_output=True, check=False)
        assert seen.returncode != 0 and seen.stdout == b""
    finally:
        other.kill()
        other.wait()


def dumps_core(command, directory, ready, environment=None):
    """Whether a crash of `command` makes a core, where each that may makes one. As the kernel says, and as the directory shows."""
    def without_limit():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, preexec_fn=without_limit)
    wait_for(lambda: ready(process), "a process to crash")
    process.send_signal(signal.SIGSEGV)
    _, ended = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGSEGV
    return os.WCOREDUMP(ended) or list(directory.glob("core*")) != []


@pytest.fixture
def crash_site(tmp_path):
    """A directory in which any other process leaves a core when it crashes."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY and os.geteuid() != 0:
        pytest.skip("the hard limit of cores is low here, and not ours to lift")
    (tmp_path / "other").mkdir()
    if not dumps_core(["sleep", "60"], tmp_path / "other", lambda process: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep")):
        pytest.skip("nothing leaves a core on this host")
    (tmp_path / "ours").mkdir()
    return tmp_path / "ours"


def test_a_daemon_that_crashes_leaves_no_core(fresh, crash_site, unsanitized):
    command = [BIN / "skmsd", "--config", fresh.config]
    assert not dumps_core(command, crash_site, lambda process: fresh.answers(), fresh.environment)


@pytest.mark.parametrize("program", ["skmsctl", "skmc"])
def test_a_tool_that_crashes_leaves_no_core(fresh, crash_site, unsanitized, program):
    with socket.create_server(("localhost", 0)) as silent, socket.socket(socket.AF_UNIX) as admin:
        admin.bind(str(fresh.directory / "admin.sock"))
        admin.listen()
        token = fresh.directory / "token"
        token.write_text("x")
        token.chmod(0o600)
        waits = {
            "skmsctl": [BIN / "skmsctl", "--config", fresh.config, "status"],
            "skmc": [BIN / "skmc", "get", "--url", f"https://localhost:{silent.getsockname()[1]}", "--service", "s",
                     "--ca", fresh.directory / "ca.pem",
                     "--cert", fresh.directory / "val-1.pem", "--key", fresh.directory / "val-1.key", "--token-file", token],
        }
        listener = {"skmsctl": admin, "skmc": silent}[program]
        listener.settimeout(0)

        def connected(_):
            try:
                listener.accept()
            except BlockingIOError:
                return False
            return True

        assert not dumps_core(waits[program], crash_site, connected)
