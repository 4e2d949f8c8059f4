"""skmsd as a service: sockets that outlive it, what it tells the service manager, and its replacement under load."""

import contextlib
import socket
import time

from appliance import BIN, DEADLINE, wait_for
from edge import Edge, ending
from edge_load import UNLIMITED, Askers
from service_manager import ServiceManager
from token_load import MODULE, order


@contextlib.contextmanager
def managed(directory, watchdog_seconds=None, environment=None, **settings):
    """An appliance behind the edge whose sockets a service manager holds."""
    appliance = Edge(directory, **settings).prepare()
    appliance.environment.update(environment or {})
    paths = [directory / name for name in ("admin.sock", "edge.sock", "edge-ue.sock")]
    manager = ServiceManager(appliance, paths, watchdog_seconds)
    try:
        with ending(appliance):
            yield appliance.start().provision().start_edge(), manager
    finally:
        manager.close()


def test_the_daemon_is_replaced_under_load_and_no_request_fails(tmp_path):
    with managed(tmp_path, **UNLIMITED) as (appliance, manager):
        with Askers(appliance) as load:
            for _ in range(10):
                served = load.served
                assert appliance.stop() == 0
                appliance.start()
                wait_for(lambda: load.served > served + 100, "requests after the replacement")
        print(f"\n10 replacements, {load.served} requests")
        assert load.failed == []
        assert (tmp_path / "edge.sock").exists()
        manager.wait_for_message("READY=1")
        manager.wait_for_message("STOPPING=1")


def test_a_socket_that_the_configuration_has_no_use_for_is_refused(fresh):
    appliance = Edge(fresh.directory)
    appliance.write_config()
    manager = ServiceManager(appliance, [fresh.directory / "edge.sock", fresh.directory / "stray.sock"])
    try:
        with open(appliance.log, "ab") as log:
            assert appliance.spawn(log).wait(DEADLINE) == 3
        assert f"the service manager listens on {fresh.directory}/stray.sock for skmsd" in appliance.log.read_text()
    finally:
        manager.close()


PATIENCE_S = 1.5


def test_the_watchdog_is_fed_only_while_token_and_store_answer(tmp_path):
    faults = {"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(tmp_path / "fault.sock")}
    with managed(tmp_path, PATIENCE_S, faults, token__module=BIN.parent / "lib/libskms_fault.so") as (appliance, manager):

        def fed(seconds):
            before = len(manager.heard)
            time.sleep(seconds)
            return manager.heard[before:].count("WATCHDOG=1")

        manager.wait_for_message("WATCHDOG=1")
        assert fed(2 * PATIENCE_S) >= 4
        order(appliance, "hang C_GenerateRandom 600")
        time.sleep(PATIENCE_S)  # a look that had begun before
        assert fed(2 * PATIENCE_S) == 0
        order(appliance, "clear")
        manager.wait_for_message("WATCHDOG=1", after=len(manager.heard))
        # One that is known to be lost is being opened again: a new process could do no more.
        order(appliance, "away 600")
        assert appliance.get().status == 503
        assert fed(2 * PATIENCE_S) >= 4
        order(appliance, "clear")
        wait_for(lambda: appliance.get().status == 200, "the return")


def test_a_refused_pin_is_not_sent_again_because_somebody_connects(tmp_path):
    faults = {"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_COUNTERS": str(tmp_path / "counters")}
    appliance = Edge(tmp_path, token__module=BIN.parent / "lib/libskms_fault.so").prepare()
    appliance.environment.update(faults)
    appliance.write_pin("00000000")
    manager = ServiceManager(appliance, [tmp_path / "admin.sock"], PATIENCE_S)
    try:
        with open(appliance.log, "ab") as log:
            appliance.process = appliance.spawn(log)
        manager.wait_for_message("STATUS=locked: waiting for skmsctl unlock")
        assert any("READY=1" in one for one in manager.heard)  # else it would be ended after a while, and started again
        # It would be started again for this connection, had it ended.
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "admin.sock"))
            manager.wait_for_message("WATCHDOG=1", after=len(manager.heard))
        assert appliance.process.poll() is None
        assert appliance.stop() == 0
        assert "the token refused the PIN that the daemon read" in appliance.log.read_text()
        logins = [line.split()[1] for line in (tmp_path / "counters").read_text().splitlines() if line.startswith("C_Login ")]
        assert logins == ["1"]
    finally:
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait(DEADLINE)
        manager.close()


def test_the_state_says_what_is_wrong_and_goes_back(tmp_path):
    faults = {"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(tmp_path / "fault.sock")}
    with managed(tmp_path, None, faults, token__module=BIN.parent / "lib/libskms_fault.so") as (appliance, _):
        status = appliance.ctl_json("status")
        assert (status["state"], status["reasons"]) == ("operational", [])
        assert appliance.ctl("status").startswith("state           operational\n")
        assert appliance.ask_admin("/readyz") == {"status": "ready", "state": "operational"}
        order(appliance, "away 600")
        assert appliance.get().status == 503  # somebody has to meet it
        wait_for(lambda: appliance.ctl_json("status")["state"] == "degraded", "the loss")
        [reason] = appliance.ctl_json("status")["reasons"]
        assert reason.startswith("token 'skms' is lost: ")
        first, second, *_ = appliance.ctl("status").splitlines()
        assert first.split() == ["state", "degraded"] and second.strip() == reason
        order(appliance, "clear")
        wait_for(lambda: appliance.ctl_json("status")["state"] == "operational", "the return")
