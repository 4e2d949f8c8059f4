"""Faults of all kinds at random, one after another, under load: `tests/soak.sh MINUTES`, shorter among the other tests."""

import os
import random
import time

from appliance import wait_for
from token_load import CLIENTS, LATE_S, RETURN_S, Health, Load, behind_faults, counters, order, try_order

SECONDS = float(os.environ.get("SKMS_SOAK_MINUTES", "0.5")) * 60
SEED = int(os.environ.get("SKMS_SOAK_SEED", time.time_ns() % 1_000_000))
FUNCTIONS = ["*", "C_WrapKey", "C_UnwrapKey", "C_GenerateKey", "C_Sign", "C_SignInit", "C_OpenSession", "C_CloseSession", "C_Login",
             "C_DestroyObject", "C_GetAttributeValue"]
CODES = ["CKR_DEVICE_ERROR", "CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT", "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED", "CKR_HOST_MEMORY",
         "CKR_SESSION_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN", "CKR_CRYPTOKI_NOT_INITIALIZED", "CKR_KEY_HANDLE_INVALID",
         "CKR_SESSION_COUNT", "0x80001234"]


def fault(random_):
    """One fault as a command."""
    kind = random_.randrange(8)
    if kind == 0:
        return random_.choice(["drop-sessions", "logout", "forget"])
    if kind == 1:
        return f"away {random_.randint(1, 4)} slot +{random_.randint(0, 9)}"
    if kind == 2:
        return f"slots {random_.randint(2, 6)}"
    if kind == 3:
        return f"delay {random_.choice(FUNCTIONS)} {random_.randint(1, 50)} times {random_.randint(1, 200)}"
    if kind == 4:
        return f"hang {random_.choice(FUNCTIONS)} {random_.randint(1, 20)} times {random_.randint(1, 4)}"
    return f"fail {random_.choice(FUNCTIONS)} {random_.choice(CODES)} after {random_.randint(0, 50)} times {random_.randint(1, 200)}"


def test_soak(tmp_path):
    print(f"seed {SEED}, {SECONDS:.0f} s")
    # A quarter of a million answers take longer to judge than to make; those of the short run are of the same kinds.
    with behind_faults(tmp_path, recorded=SECONDS <= 60) as appliance:
        soak(appliance, random.Random(SEED))


def soak(appliance, random_):
    begun = time.monotonic()
    worst = 0
    faults = []
    with Health(appliance) as health, Load(appliance) as load:
        while time.monotonic() - begun < SECONDS:
            # Some at once, some while the token comes back from the former ones.
            for _ in range(random_.randint(1, 4)):
                one = fault(random_)
                if try_order(appliance, one):
                    faults.append(one)
                time.sleep(random_.uniform(0, 0.5))
            time.sleep(random_.uniform(0, 2))
            order(appliance, "clear")
            ended = time.monotonic()
            wait_for(lambda: load.served_after(ended) is not None, f"a key after {faults[-4:]}")
            worst = max(worst, load.served_after(ended))
            assert load.wrong == [], (faults[-8:], load.wrong)
    print(f"{len(faults)} faults: {load.count(200)} keys opened, {load.count(503)} × 503, slowest answer "
          f"{max(took for _, took, _ in load.answers):.1f} s, slowest return {worst:.2f} s, {health}; "
          f"recoveries {appliance.ctl_json('status')['tokenHealth']['recoveries']}")
    assert worst <= RETURN_S
    assert [answer for answer in load.answers if answer[2] not in (200, 503)] == []
    assert [took for _, took, _ in load.answers if took > LATE_S] == []
    assert health.seen["failed"] == 0 and counters(appliance)["finalize-under-call"] == 0
    assert load.count(200) > CLIENTS
    assert "is whole" in appliance.ctl("audit", "verify")
