"""What a request costs the token, counted by the fault module, which stands in front of SoftHSM and forwards."""

import pytest

from appliance import BIN
from token_load import MODULE, counters, order


@pytest.fixture
def counted(fresh):
    """An appliance, not yet started, whose calls into the token are counted."""
    fresh.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(fresh.directory / "fault.sock"),
                              "SKMS_FAULT_COUNTERS": str(fresh.directory / "counters")})
    fresh.write_config(token__module=BIN.parent / "lib/libskms_fault.so")
    return fresh


def calls_of(appliance, requests):
    """Calls of each function that `requests` make."""
    before = counters(appliance)
    requests()
    after = counters(appliance)
    return {name: after[name].calls - before[name].calls for name in after if name.startswith("C_")}


# As docs/performance.md tells them. SENSITIVE and EXTRACTABLE are read back of every key that was unwrapped.
DELIVER = {"C_UnwrapKey": 1, "C_GetAttributeValue": 1, "C_WrapKey": 1, "C_DestroyObject": 1, "C_SignInit": 1, "C_Sign": 1}
# Under the KEK and to the recipient while it is there: it need not be unwrapped.
CREATE = {"C_GenerateKey": 1, "C_GenerateRandom": 1, "C_WrapKey": 2, "C_DestroyObject": 1, "C_SignInit": 1, "C_Sign": 1}


def test_no_request_opens_a_session_logs_in_or_searches(counted):
    counted.start().provision()
    counted.key()  # the service's key is there before counting, and so is the recipient's

    def times(calls, number):
        return {name: calls_each * number for name, calls_each in calls.items()}

    def made(requests):
        return {name: calls for name, calls in calls_of(counted, requests).items() if calls}

    assert made(lambda: [counted.key() for _ in range(10)]) == times(DELIVER, 10)
    # A kid that would begin with '-' is drawn again.
    created = made(lambda: [counted.key(f"val-service-id=s&valUserId=new-{n}") for n in range(10)])
    assert 10 <= created.pop("C_GenerateRandom") < 20
    assert created == {name: calls for name, calls in times(CREATE, 10).items() if name != "C_GenerateRandom"}
    # Nothing stays but the recipient's public key, which was there.
    assert counters(counted)["C_Login"].calls == 1


def test_the_daemon_tells_what_sessions_cost(counted):
    counted.start().provision()
    counted.key()
    before = counted.ctl_json("status")["sessions"]
    order(counted, "delay C_WrapKey 20")
    calls = calls_of(counted, lambda: [counted.key() for _ in range(5)])
    after = counted.ctl_json("status")["sessions"]
    assert after["calls"] - before["calls"] == sum(calls.values())
    assert after["leases"] - before["leases"] == 10  # the row's MAC, and the delivery
    inside, held = (after[name] - before[name] for name in ("callSeconds", "heldSeconds"))
    assert held >= inside >= 5 * 0.02
    assert after["waitSeconds"] == before["waitSeconds"]  # one request at a time
    assert "in the module" in counted.ctl("status")


def test_a_wrong_pin_costs_the_token_one_try(counted):
    counted.write_pin("111111")
    assert counted.run_skmsd().returncode == 6
    assert ["C_Login", "1"] in [line.split()[:2] for line in (counted.directory / "counters").read_text().splitlines()]


def test_a_token_that_forgets_sensitive_at_unwrap_is_told_again(counted):
    counted.start().provision()
    counted.key()
    order(counted, "careless unwrap")
    calls = calls_of(counted, counted.key)
    assert calls["C_SetAttributeValue"] == calls["C_UnwrapKey"] == 1, calls
    assert calls["C_GetAttributeValue"] == 2, calls


def test_a_token_that_keeps_no_unwrapped_key_sensitive_is_refused(counted):
    script = counted.directory / "faults"
    script.write_text("careless always\n")
    counted.environment["SKMS_FAULT_SCRIPT"] = str(script)
    done = counted.run_skmsd()
    assert done.returncode == 5, done.stderr
    assert "SENSITIVE" in done.stderr or "sensitive" in done.stderr
