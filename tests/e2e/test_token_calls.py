"""What a request costs the token, counted by a PKCS#11 module that stands in front of SoftHSM."""

import os
import pathlib

from appliance import BIN

SHIM = pathlib.Path(os.environ.get("SKMS_SHIM", BIN.parent / "lib/skms_counting_shim.so"))
MODULE = "/usr/lib/softhsm/libsofthsm2.so"


def calls_of(appliance, requests):
    """Calls a run of the daemon makes, from C_Initialize to C_Finalize, with `requests` between."""
    counters = appliance.directory / "counters"
    counters.unlink(missing_ok=True)
    appliance.environment.update({"SKMS_SHIM_MODULE": MODULE, "SKMS_SHIM_COUNTERS": str(counters)})
    appliance.write_config(token__module=SHIM)
    appliance.start()
    requests()
    assert appliance.stop() == 0
    return {name: int(count) for name, count in (line.split("=") for line in counters.read_text().split())}


def test_no_request_opens_a_session_logs_in_or_searches(fresh):
    fresh.start().provision()
    fresh.key()  # the service's key is there before counting
    assert fresh.stop() == 0

    def deliver_and_create():
        for n in range(10):
            fresh.key()
            fresh.key(f"val-service-id=s&valUserId=new-{n}")

    idle = calls_of(fresh, lambda: None)
    loaded = calls_of(fresh, deliver_and_create)
    extra = {name: loaded[name] - idle[name] for name in loaded}
    assert extra["C_GenerateKey"] == 10, extra
    assert extra["C_UnwrapKey"] == 20, extra
    # SENSITIVE and EXTRACTABLE, read back of every key that was unwrapped.
    assert extra["C_GetAttributeValue"] == 2 * extra["C_UnwrapKey"], extra
    for name in ("C_FindObjectsInit", "C_FindObjects", "C_OpenSession", "C_Login"):
        assert extra[name] == 0, (name, extra)
    assert idle["C_Login"] == loaded["C_Login"] == 1


def test_a_wrong_pin_costs_the_token_one_try(fresh):
    counters = fresh.directory / "counters"
    fresh.environment.update({"SKMS_SHIM_MODULE": MODULE, "SKMS_SHIM_COUNTERS": str(counters)})
    fresh.write_config(token__module=SHIM)
    fresh.write_pin("111111")
    assert fresh.run_skmsd().returncode == 6
    assert "C_Login=1" in counters.read_text().split()


def test_a_token_that_forgets_sensitive_at_unwrap_is_told_again(fresh):
    fresh.environment["SKMS_SHIM_UNWRAP"] = "forgetful"
    started = []

    def requests():
        fresh.provision()
        assert fresh.get().status == 200
        started.append(True)

    counted = calls_of(fresh, requests)
    assert started and counted["C_SetAttributeValue"] >= 1, counted


def test_a_token_that_keeps_no_unwrapped_key_sensitive_is_refused(fresh):
    fresh.environment.update({"SKMS_SHIM_MODULE": MODULE, "SKMS_SHIM_UNWRAP": "deaf"})
    fresh.write_config(token__module=SHIM)
    done = fresh.run_skmsd()
    assert done.returncode == 5, done.stderr
    assert "SENSITIVE" in done.stderr or "sensitive" in done.stderr
