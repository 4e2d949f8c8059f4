"""Several tokens hold the same keys: how one comes to, and what clients see when another goes."""

import sqlite3
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

from appliance import BIN, DEADLINE, wait_for
from several_tokens import ended, faulted, held, join, nss, opened, prepared, softhsm, states
from test_token_loss import AGAIN
from token_load import ANSWER_MS, Load, counters, order


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two tokens, of which the second has joined; eight users' keys are older than that."""
    directory = tmp_path_factory.mktemp("pair")
    one = prepared(directory, [faulted(), softhsm(directory, "b")])
    one.make_token("b")
    with ended(one.start().provision()):
        one.before = opened(one)
        join(one, "b")
        yield one


def test_a_token_that_joined_opens_every_key_from_before(pair):
    assert states(pair) == {"skms": "serving", "b": "serving"}
    assert held(pair)["skms"]["kek"] == [1, 2] and held(pair)["b"] == {"kek": [2], "mac": [2], "sign": [2], "transfer": [2]}
    with Load(pair) as load:
        order(pair, "fail * CKR_DEVICE_REMOVED")
        wait_for(lambda: states(pair)["skms"] == "lost", "the loss")
        assert opened(pair) == pair.before
        order(pair, "clear")
        wait_for(lambda: states(pair)["skms"] == "serving", "its return")
    assert load.wrong == [] and {status for *_, status in load.answers} == {200}


LOSSES = {
    "sessions dropped": ["drop-sessions"],
    "logged out": ["logout"],
    "library forgot": ["forget"],
    "device error": ["fail * CKR_DEVICE_ERROR"],
    "device removed": ["fail * CKR_DEVICE_REMOVED"],
    "not present": ["fail * CKR_TOKEN_NOT_PRESENT"],
    "away under another slot number": ["away 3 slot +5"],
}


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_of_one_is_invisible_to_clients(pair, kind):
    with Load(pair) as load:
        wait_for(lambda: load.count(200) > 100, "the load")
        order(pair, *LOSSES[kind])
        before = load.count(200)
        wait_for(lambda: load.count(200) > before + 300, "keys while it is lost")
        order(pair, "clear")
        wait_for(lambda: states(pair)["skms"] == "serving", "its return")
    print(f"\n{kind}: {load.count(200)} keys, slowest {slowest(load):.2f} s")
    assert load.wrong == [] and {status for *_, status in load.answers} == {200}
    assert counters(pair)["finalize-under-call"] == 0


def test_a_token_whose_calls_all_hang_is_passed_over(pair):
    with Load(pair) as load:
        wait_for(lambda: load.count(200) > 100, "the load")
        order(pair, "hang * 60")
        begun = time.monotonic()
        wait_for(lambda: AGAIN in pair.log.read_text(), "the requests that hang in it to be run again")
        settled, served = time.monotonic(), load.count(200)
        wait_for(lambda: load.count(200) > served + 300, "the other")
        order(pair, "clear")
    print(f"\nall calls of one hang: {load.count(200)} keys, slowest {slowest(load):.2f} s; {settled - begun:.2f} s until the first of them")
    assert load.wrong == [] and {status for *_, status in load.answers} == {200}
    assert slowest(load) < ANSWER_MS / 1000


def slowest(load):
    with load.lock:
        return max(took for _, took, _ in load.answers)


def test_status_names_each_token(pair):
    shown = pair.ctl("status")
    assert "skms: serving" in shown and "b: serving" in shown
    lose(pair)
    shown = pair.ctl("status")
    ready = pair.ask_admin("/readyz")
    order(pair, "clear")
    assert "skms: lost, " in shown and "b: serving" in shown, shown
    assert "token 'skms' is lost: " in shown and ready == {"status": "ready", "state": "degraded"}
    wait_for(lambda: states(pair)["skms"] == "serving", "its return")


def lose(appliance):
    order(appliance, "fail * CKR_DEVICE_REMOVED")
    opened(appliance)  # somebody has to meet it
    wait_for(lambda: states(appliance)["skms"] == "lost", "the loss")


def test_new_keys_and_what_is_made_while_one_is_away_open_in_each(pair):
    lose(pair)
    made = opened(pair, users=12)
    order(pair, "clear")
    wait_for(lambda: states(pair)["skms"] == "serving", "its return")
    for _ in range(4):  # both get their turns
        assert opened(pair, users=12) == made


def test_token_keys_are_not_changed_while_a_token_is_away(pair):
    lose(pair)
    for command in (("kek", "rotate"), ("kek", "retire", "--yes")):
        pair.ctl("kek", "status", "--wait")  # a refused change has the rows counted anew
        refused = pair.try_ctl(*command)
        assert refused.returncode != 0 and "'skms' is away" in refused.stderr, refused
    order(pair, "clear")
    wait_for(lambda: states(pair)["skms"] == "serving", "its return")
    assert held(pair)["b"]["kek"] == [2]


def test_the_daemon_starts_while_a_token_is_dead_and_takes_it_in_when_it_is_back(pair):
    keys = opened(pair)
    assert pair.stop() == 0
    pair.environment["SKMS_FAULT_MODULE"] = "/nowhere.so"
    pair.start()
    assert states(pair) == {"skms": "lost", "b": "serving"}
    assert opened(pair) == keys
    shown = pair.ctl("token", "list")
    assert "lost" in shown and "nowhere" in pair.ctl("status", "--output", "json") + shown + pair.log.read_text()
    assert pair.stop() == 0
    pair.environment["SKMS_FAULT_MODULE"] = "/usr/lib/softhsm/libsofthsm2.so"
    pair.start()
    assert states(pair) == {"skms": "serving", "b": "serving"}


def test_the_daemon_starts_while_a_token_hangs_and_takes_it_in_when_it_answers(pair):
    keys = opened(pair)
    assert pair.stop() == 0
    script = pair.directory / "script"
    script.write_text("hang C_Login 600\n")
    pair.environment["SKMS_FAULT_SCRIPT"] = str(script)
    pair.start()
    del pair.environment["SKMS_FAULT_SCRIPT"]
    assert states(pair) == {"skms": "lost", "b": "serving"}
    assert opened(pair) == keys
    assert "'skms' does not answer" in pair.log.read_text()
    order(pair, "clear")
    wait_for(lambda: states(pair)["skms"] == "serving", "the token that hung")
    assert opened(pair) == keys


def test_a_start_that_fails_says_that_a_pin_was_refused_though_another_token_hangs(tmp_path):
    one = prepared(tmp_path, [faulted(), softhsm(tmp_path, "b")])
    one.make_token("b")
    (tmp_path / "wrong").write_text("000000\n")
    (tmp_path / "wrong").chmod(0o400)
    (tmp_path / "script").write_text("hang C_Login 600\n")
    one.environment["SKMS_FAULT_SCRIPT"] = str(tmp_path / "script")
    one.write_config(tokens=[faulted(), {**softhsm(tmp_path, "b"), "pin_file": "wrong"}])
    done = subprocess.run([BIN / "skmsd", "--config", one.config], env=one.environment, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 6, done.stderr
    assert "'skms' does not answer" in done.stderr


def test_a_request_that_hangs_in_one_is_run_again_in_a_stand_by(tmp_path):
    one = prepared(tmp_path, [faulted(), softhsm(tmp_path, "b", weight=0)])
    one.make_token("b")
    with ended(one.start().provision()):
        keys = opened(one, users=1)
        join(one, "b")
        order(one, "hang C_WrapKey 60")  # and nothing else: it looks alive
        begun = time.monotonic()
        assert opened(one, users=1) == keys
        print(f"\nanswered by the stand-by after {time.monotonic() - begun:.2f} s")
        assert AGAIN in one.log.read_text()
        made = opened(one, users=2)
        assert len(made) == 2  # of which one was made now
        order(one, "clear")
        wait_for(lambda: one.ctl_json("status")["sessions"]["inUse"] == 0, "the calls that hung")
        for _ in range(4):
            assert opened(one, users=2) == made  # and once


def test_a_token_of_weight_0_works_only_while_no_other_is_well(tmp_path):
    one = prepared(tmp_path, [faulted(weight=0), softhsm(tmp_path, "b", weight=5)])
    one.make_token("b")
    with ended(one.start().provision()):
        join(one, "b")
        one.key()
        before = counters(one)["C_UnwrapKey"].calls
        opened(one)
        assert counters(one)["C_UnwrapKey"].calls == before


def test_a_dead_token_is_replaced(tmp_path):
    one = prepared(tmp_path, [faulted(), softhsm(tmp_path, "b")])
    for label in ("b", "c"):
        one.make_token(label)
    with ended(one.start().provision()):
        keys = opened(one)
        join(one, "b")
        assert one.stop() == 0
        one.write_config(tokens=[softhsm(tmp_path, "c"), softhsm(tmp_path, "b")])
        one.start()
        assert states(one) == {"c": "blank", "b": "serving"}
        assert opened(one) == keys
        join(one, "c")
        assert states(one) == {"c": "serving", "b": "serving"}
        one.ctl("kek", "retire", "--yes")
        assert opened(one) == keys
        assert one.stop() == 0
        one.write_config(tokens=[softhsm(tmp_path, "c")])
        one.start()
        assert opened(one) == keys


def test_what_is_wrong_with_a_join_is_said_and_changes_nothing(tmp_path):
    one = prepared(tmp_path, [faulted(), softhsm(tmp_path, "b"), softhsm(tmp_path, "own")])
    for label in ("b", "own"):
        one.make_token(label)
    with ended(one.start().provision()):
        unprepared = one.try_ctl("token", "join", "b")
        assert unprepared.returncode != 0 and "skmsctl token prepare b" in unprepared.stderr
        one.ctl("token", "prepare", "b")
        wrong = one.try_ctl("token", "join", "b", "--fingerprint", "0" * 64)
        assert wrong.returncode != 0 and "fingerprint" in wrong.stderr
        assert "64 hex digits" in one.try_ctl("token", "join", "b", "--fingerprint", "12").stderr
        assert "there is no token 'x'" in one.try_ctl("token", "join", "x", "--fingerprint", "0" * 64).stderr
        again = one.try_ctl("token", "join", "skms", "--fingerprint", "0" * 64)
        assert "it has joined" in again.stderr
        assert "'x'" in one.try_ctl("token", "prepare", "x").stderr
        assert states(one) == {"skms": "serving", "b": "blank", "own": "blank"}
        assert held(one)["skms"]["kek"] == [1]
        # What is seen on both sides is the same, as often as one looks.
        shown = one.ctl("token", "prepare", "b")
        seen = one.ctl("token", "join", "b")
        fingerprint = next(line for line in shown.splitlines() if "fingerprint" in line)
        assert fingerprint in seen
        join(one, "b")
        assert "it has joined" in one.try_ctl("token", "join", "b").stderr
        assert one.try_ctl("token", "prepare", "b").returncode != 0
        with sqlite3.connect(f"file:{tmp_path / 'skms.db'}?mode=ro", uri=True) as database:
            joins = database.execute("SELECT outcome, reason FROM audit WHERE action = 'token.join' ORDER BY seq").fetchall()
        assert joins[-2][1].endswith("begins") and joins[-1][0] == "granted" and "kek=2" in joins[-1][1], joins
        assert ("refused", "token=b join-key-sha256=" + "0" * 64 + " failed: precondition-failed") in joins, joins


def test_a_token_with_keys_of_its_own_is_left_aside(tmp_path):
    one = prepared(tmp_path, [softhsm(tmp_path, "own")])
    one.make_token("own")
    (tmp_path / "skms.db").rename(tmp_path / "kept.db")
    one.ctl("init")
    (tmp_path / "skms.db").unlink()
    (tmp_path / "kept.db").rename(tmp_path / "skms.db")
    one.write_config(tokens=[faulted(), softhsm(tmp_path, "own")])
    with ended(one.start().provision()):
        assert states(one) == {"skms": "serving", "own": "lost"}
        assert "none that the one before, or the other tokens, hold" in one.log.read_text() or "holds another" in one.log.read_text()
        refused = one.try_ctl("token", "join", "own", "--fingerprint", "0" * 64)
        assert refused.returncode != 0 and "keys of its own" in refused.stderr
        opened(one)


def private_value(appliance):
    """Of the service's EC key: each token writes the PKCS#8 about it in its own way."""
    return serialization.load_pem_private_key(appliance.skmc("--service", "e").stdout, None).private_numbers().private_value


def test_keys_go_from_softhsm_to_nss(tmp_path):
    one = prepared(tmp_path, [faulted(weight=0)])
    one.write_config(tokens=[faulted(weight=0), nss(tmp_path)])
    with ended(one.start().provision()):
        one.ctl("service", "add", "e", "--profile", "ec-p256", "--reader", "val-1")
        keys, signing = opened(one), private_value(one)
        join(one, "nss")
        assert states(one) == {"skms": "serving", "nss": "serving"}
        before = counters(one)["C_UnwrapKey"].calls
        assert opened(one) == keys
        assert private_value(one) == signing
        assert counters(one)["C_UnwrapKey"].calls == before, "it was the other token"
        one.ctl("kek", "rotate", "--wait")
        one.ctl("kek", "retire", "--yes")
        assert opened(one) == keys and private_value(one) == signing
