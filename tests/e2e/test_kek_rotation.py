"""Token keys change while clients ask: every key stays what it was, whoever falls over whenever."""

import base64
import json
import sqlite3
import subprocess
import time

import pytest

from appliance import BIN, wait_for
from several_tokens import ended, faulted, opened, prepared
from test_token_loss import AGAIN
from token_load import FaultSocket, Load, order


@pytest.fixture
def one(tmp_path):
    appliance = prepared(tmp_path, [faulted()])
    with ended(appliance.start().provision()):
        yield appliance


def rows(appliance, sql):
    with sqlite3.connect(f"file:{appliance.directory / 'skms.db'}?mode=ro", uri=True) as database:
        return database.execute(sql).fetchall()


def generations(appliance):
    return set(rows(appliance, "SELECT DISTINCT kek_generation, mac_generation FROM key_versions"))


def kek(appliance):
    return appliance.ask_admin("/admin/v1/token-keys")


def test_under_load_no_request_fails_and_every_key_stays(one):
    one.ctl("service", "add", "e", "--profile", "ec-p256", "--reader", "val-1")
    one.ctl("service", "add", "h", "--profile", "hmac-sha256", "--reader", "val-1", "--delivery", "tls")
    pem, plain = one.skmc("--service", "e").stdout, one.key("val-service-id=h")["k"]
    keys = opened(one, users=40)
    assert generations(one) == {(1, 1)}
    with Load(one) as load:
        wait_for(lambda: load.count(200) > 100, "the load")
        for generation in (2, 3):
            one.ctl("kek", "rotate", "--wait")
            assert generations(one) == {(generation, generation)}
            wait_for(lambda: one.try_ctl("kek", "retire", "--yes").returncode == 0, "the end of the former keys")
            assert kek(one)["keks"] == [generation]
    assert load.wrong == [] and {status for *_, status in load.answers} == {200}
    assert opened(one, users=40) == keys
    assert one.skmc("--service", "e").stdout == pem and one.key("val-service-id=h")["k"] == plain
    assert one.stop() == 0
    one.start()
    assert opened(one, users=40) == keys
    shown = one.ctl("kek", "status")
    assert "kek 3, mac 3, sign 1, transfer 1" in shown and "rows are under the keys in use" in shown
    assert one.ctl_json("audit", "verify")["whole"]


def test_payloads_transport_keys_and_pseudonyms_come_along(one):
    (one.directory / "transport").write_bytes(bytes(range(32)))
    (one.directory / "transport").chmod(0o400)
    one.ctl("service", "set", "s", "--add-provisioner", "val-1")
    provision(one, b"before")
    one.ctl("recipient", "add", "val-1-transport", "--principal", "val-1", "--transport-key", one.directory / "transport")
    before = one.skmc("--service", "s", "--transport-key", one.directory / "transport", "--format", "hex").stdout
    payload = one.skmc("--service", "s", "--transport-key", one.directory / "transport", "--payload", "p").stdout
    assert len(before) > 60 and payload == b"before"
    one.key("val-service-id=s&valUserId=alice")
    alice = rows(one, "SELECT target_pseudonym FROM audit ORDER BY seq DESC LIMIT 1")
    one.ctl("kek", "rotate", "--wait")
    one.ctl("kek", "retire", "--yes")
    assert one.stop() == 0
    one.start()
    assert one.skmc("--service", "s", "--transport-key", one.directory / "transport", "--format", "hex").stdout == before
    assert one.skmc("--service", "s", "--transport-key", one.directory / "transport", "--payload", "p").stdout == payload
    one.key("val-service-id=s&valUserId=alice")
    assert rows(one, "SELECT target_pseudonym FROM audit ORDER BY seq DESC LIMIT 1") == alice and alice != [("",)]
    provision(one, b"after")
    assert one.skmc("--service", "s", "--transport-key", one.directory / "transport", "--payload", "p").stdout == b"after"
    one.ctl("recipient", "remove", "val-1-transport")
    for table in ("services", "principals", "issuers", "payloads", "key_versions"):
        assert rows(one, f"SELECT DISTINCT mac_generation FROM {table}") == [(2,)], table


def provision(appliance, payload):
    message = {"skmcUri": "https://val-1.test", "valServiceId": "s", "payloadId": "p", "payload": base64.b64encode(payload).decode()}
    (appliance.directory / "order").write_text(json.dumps(message))
    answer = appliance.curl("/ss-kpp/v1/request", "--data-binary", f"@{appliance.directory / 'order'}",
                            headers=["Content-Type: application/json"], token=appliance.issuer.token(scope="ss-kpp", SKeyProv=True))
    assert answer.status == 200, answer.body


# Where the token hangs while skmsd is killed, in a rotation and in the end of the former keys.
STEPS = [
    ("rotate", "hang C_GenerateKey 60 times 1"),
    ("rotate", "hang C_FindObjectsInit 60 times 1"),
    ("rotate", "hang C_Sign 60 times 1"),
    ("rewrap", "hang C_UnwrapKey 60 times 1"),
    ("rewrap", "hang C_WrapKey 60 times 1"),
    ("rewrap", "hang C_Sign 60 times 1"),
    ("retire", "hang C_DestroyObject 60 times 1"),
    ("retire", "hang C_FindObjectsInit 60 times 1"),
]


def rules(appliance):
    """What was ordered and not met yet."""
    with FaultSocket(appliance.directory / "fault.sock") as fault:
        return [line for line in fault.run("rules") if line.strip()]


def kill(appliance):
    appliance.process.kill()
    appliance.process.wait()
    appliance.process = None


@pytest.mark.parametrize(("step", "fault"), STEPS)
def test_a_kill_at_any_step_loses_nothing_and_is_gone_on_from(one, step, fault):
    keys = opened(one, users=20)
    if step == "retire":
        one.ctl("kek", "rotate", "--wait")
    if step == "rewrap":
        # The walk is met in the middle: some rows are done, some not.
        assert one.stop() == 0
        one.write_config(tokens=[faulted()], rewrap__rows_per_second=20)
        one.start()
        one.ctl("kek", "rotate")
    order(one, fault)
    command = [] if step == "rewrap" else [BIN / "skmsctl", "--config", one.config, "kek", step, *(["--yes"] if step == "retire" else [])]
    asked = subprocess.Popen(command, env=one.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) if command else None
    wait_for(lambda: not rules(one), "the call that hangs")
    kill(one)
    if asked is not None:
        assert asked.wait(60) != 0, asked.communicate()
    one.start()
    assert opened(one, users=20) == keys
    one.ctl("kek", "status", "--wait")
    assert opened(one, users=20) == keys
    if kek(one)["use"]["kek"] == 1:
        one.ctl("kek", "rotate", "--wait")
    if len(kek(one)["keks"]) > 1:
        one.ctl("kek", "retire", "--yes")
    use = kek(one)["use"]["kek"]
    assert generations(one) == {(use, use)} and kek(one)["keks"] == [use]
    assert one.stop() == 0
    one.start()
    assert opened(one, users=20) == keys


def test_what_a_ceremony_that_was_cut_off_left_is_used_by_nobody(one):
    """In a database from before it said which token keys are in use, too."""
    keys = opened(one)
    assert one.stop() == 0
    with sqlite3.connect(one.directory / "skms.db") as database:
        database.execute("DELETE FROM meta WHERE name IN ('token_keys', 'lasting_key')")
    one.start()
    order(one, "fail C_FindObjectsInit CKR_FUNCTION_FAILED times 1")  # the keys are made, and not found
    assert one.try_ctl("kek", "rotate").returncode != 0
    assert one.stop() == 0
    one.start()
    assert kek(one)["use"]["kek"] == 1 and opened(one) == keys
    assert "never changed" in one.try_ctl("kek", "retire", "--yes").stderr
    actions = rows(one, "SELECT outcome, reason FROM audit WHERE action = 'token-keys.rotate' ORDER BY seq")
    assert actions[0] == ("granted", "begins") and actions[-1][0] == "refused" and "failed: " in actions[-1][1]
    one.ctl("kek", "rotate", "--wait")
    assert kek(one)["use"]["kek"] == 3
    one.ctl("kek", "retire", "--yes")
    assert one.stop() == 0
    one.start()
    assert opened(one) == keys


def test_kills_at_random_in_a_walk(one):
    keys = opened(one, users=40)
    assert one.stop() == 0
    one.write_config(tokens=[faulted()], rewrap__rows_per_second=60)
    one.start()
    one.ctl("kek", "rotate")
    for _ in range(5):
        wait_for(lambda before=len(generations(one)): kek(one)["done"] > 0 or kek(one)["phase"] == "done", "some rows")
        kill(one)
        one.start()
    one.ctl("kek", "status", "--wait")
    assert generations(one) == {(2, 2)} and opened(one, users=40) == keys


def test_a_row_that_was_changed_is_left_and_the_former_keys_with_it(one):
    opened(one, users=3)
    assert one.stop() == 0
    with sqlite3.connect(one.directory / "skms.db") as database:
        kid, = database.execute("SELECT kid FROM key_versions WHERE target = 'u1'").fetchone()
        database.execute("UPDATE key_versions SET not_before = not_before + 1 WHERE kid = ?", (kid,))
    one.start()
    waited = one.try_ctl("kek", "rotate", "--wait")
    assert waited.returncode != 0 and "1 rows CANNOT" in waited.stdout, waited
    assert kid in one.log.read_text()
    refused = one.try_ctl("kek", "retire", "--yes")
    assert refused.returncode != 0 and "former token keys" in refused.stderr
    again = one.try_ctl("kek", "rotate")
    assert again.returncode != 0 and "1 of" in again.stderr
    assert kek(one)["keks"] == [1, 2] and one.get("val-service-id=s&valUserId=u0").status == 200


def test_it_is_seen_how_far_it_is_and_nothing_is_retired_before_its_time(one):
    opened(one, users=20)
    assert one.stop() == 0
    one.write_config(tokens=[faulted()], rewrap__rows_per_second=5)
    one.start()
    one.ctl("kek", "rotate")
    wait_for(lambda: kek(one)["phase"] == "rewrapping", "the walk")
    shown = one.ctl("kek", "status")
    assert "#" in shown or "[....." in shown
    assert "rows" in shown and "%" in shown
    for command in (("kek", "retire", "--yes"), ("kek", "rotate")):
        refused = one.try_ctl(*command)
        assert refused.returncode != 0 and "former token keys" in refused.stderr, refused
    asked = one.try_ctl("kek", "retire")
    assert asked.returncode != 0 and "backups" in asked.stderr
    assert kek(one)["keks"] == [1, 2]


def test_what_a_request_holds_is_not_taken_from_under_it(one):
    opened(one, users=2)
    order(one, "hang C_WrapKey 60 times 1")  # in the middle of a delivery, under the former KEK
    begun = time.monotonic()
    with Load(one) as load:
        wait_for(lambda: AGAIN in one.log.read_text(), "the answer in place of what hangs")
        one.ctl("kek", "rotate", "--wait")
        refused = one.try_ctl("kek", "retire", "--yes")
        assert refused.returncode != 0 and "still being served" in refused.stderr, (refused, time.monotonic() - begun)
        order(one, "clear")
        wait_for(lambda: one.try_ctl("kek", "retire", "--yes").returncode == 0, "the end of the former keys")
    assert load.wrong == []


def test_a_walk_waits_for_a_token_that_is_lost(one):
    keys = opened(one, users=10)
    assert one.stop() == 0
    one.write_config(tokens=[faulted()], rewrap__rows_per_second=5)
    one.start()
    one.ctl("kek", "rotate")
    order(one, "fail * CKR_DEVICE_REMOVED")
    wait_for(lambda: "trouble" in kek(one), "the trouble to be told")
    assert "it waits" in one.ctl("kek", "status")
    order(one, "clear")
    one.ctl("kek", "status", "--wait")
    assert generations(one) == {(2, 2)} and opened(one, users=10) == keys
