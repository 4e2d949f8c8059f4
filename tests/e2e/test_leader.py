"""What one of several servers does for all: gone on with by another one when it is killed; and one that hangs."""

import signal
import time

import pytest

from appliance import wait_for
from callback import Callback
from databases import NEEDS_SERVER, database, name_in, server  # noqa: F401: two are fixtures
from several_tokens import opened
from shared_store import kids, leads, servers
from test_audit_export import Collector
from test_edge_kills import Askers
from test_notifications import subscribe

pytestmark = NEEDS_SERVER
HELD_AT_MOST = 20  # seconds: PostgreSQL ends a transaction that is idle for ten


def of(user):
    return f"val-service-id=s&valUserId={user}"


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def test_another_of_three_goes_on_with_all_of_the_leaders_work(server, database, tmp_path, collector):
    settings = {"rewrap__rows_per_second": 4, "audit__checkpoint_s": 1, "audit__export": "syslog",
                "audit__export_address": f"tcp://127.0.0.1:{collector.port}", "notify__first_retry_ms": 50, "notify__last_retry_ms": 200}
    with servers(database, tmp_path, "abc", **settings) as (a, b, c):
        a.ca.issue("callback", server=True)
        callback = Callback(a.directory)
        subscribe(a, callback.url)
        keys = opened(a, users=30)
        a.ctl("kek", "rotate")
        wait_for(lambda: 4 <= a.ctl_json("kek", "status")["done"] < 20, "some rows")
        callback.behave = 503
        rotated = a.ctl_json("key", "rotate", "--service", "s", "--user", "u0")["kid"]
        wait_for(lambda: callback.requests > 1, "what cannot be told")
        a.process.send_signal(signal.SIGKILL)
        a.process.wait()
        callback.behave = 200
        wait_for(lambda: leads(b) != leads(c), "another leader")
        leader = b if leads(b) else c
        wait_for(lambda: rotated in [event["kid"] for event in callback.events()], "what was not told")
        wait_for(lambda: leader.ctl_json("kek", "status")["phase"] == "done", "every row")
        assert int(server.sql("SELECT count(*) FROM key_versions WHERE kek_generation <> 2 OR mac_generation <> 2", name_in(database))) == 0
        for one in (b, c):
            found = opened(one, users=30)
            assert {kid: found[kid] for kid in keys if kid in found} == {kid: key for kid, key in keys.items() if kid in found}
            assert len(found.keys() & keys.keys()) >= 29
        a.start()
        assert not leads(a) and opened(a, users=30) == found
        last = int(server.sql("SELECT max(seq) FROM audit", name_in(database)))
        wait_for(lambda: last in [line.get("seq") for line in collector.lines()], "the export")
        told = dict.fromkeys(line["seq"] for line in collector.lines() if "checkpoint" not in line)
        assert list(told)[: last] == list(range(1, last + 1))
        assert leader.ctl_json("audit", "verify")["whole"]
        callback.close()


def test_one_that_is_stopped_in_the_middle_holds_the_others_for_seconds_and_wakes_with_nothing_stale(database, tmp_path):
    with servers(database, tmp_path, "ab", store__answer_cache_bytes=1 << 24) as (a, b), Askers(a) as load:
        kid = kids(a.get(of("alice")))[0]
        for turn in range(4):
            assert kids(a.get(of("alice"))) == [kid]
            time.sleep(0.03 * turn)
            a.process.send_signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                wait_for(lambda turn=turn: b.get(of(f"new-{turn}")).status == 200, "the other one")
                assert time.monotonic() - began < HELD_AT_MOST
                b.ctl("key", "suspend", kid, "--reason", "test")
            finally:
                a.process.send_signal(signal.SIGCONT)
            answers = [a.get(of("alice")).status for _ in range(5)]
            assert set(answers) <= {404, 503}, answers
            wait_for(lambda: a.get(of("alice")).status == 404, "what is so")
            b.ctl("key", "resume", kid, "--reason", "test")
            wait_for(lambda: a.get(of("alice")).status == 200, "what is so again")
            assert leads(a) != leads(b)
    assert load.wrong == []
