"""Several servers on one database: one truth, one leader, and the loss of one is nobody else's."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance import Appliance, wait_for
from databases import NEEDS_SERVER, cluster, database, name_in, server  # noqa: F401: two are fixtures
from edge_load import Askers
from shared_store import kids, leads, member, pair
from several_tokens import opened
from test_edge_kills import Askers as MakingAskers

pytestmark = NEEDS_SERVER
CACHE = {"store__answer_cache_bytes": 1 << 24}


def of(user):
    return f"val-service-id=s&valUserId={user}"


def test_both_hand_out_the_same_keys_and_no_first_key_is_made_twice(server, database, tmp_path):
    with pair(database, tmp_path) as (a, b):
        users = [f"user-{number}" for number in range(24)]
        with ThreadPoolExecutor(16) as pool:
            asked = [(user, [pool.submit(one.get, of(user)) for one in (a, b, a, b)]) for user in users]
            for user, answers in asked:
                assert len({tuple(kids(each.result())) for each in answers}) == 1, user
        assert int(server.sql("SELECT count(*) FROM key_versions", name_in(database))) == len(users)
        assert opened(a, users=5) == opened(b, users=5)
        for one in (a, b):
            assert one.ctl_json("audit", "verify")["whole"]


def readers_of(appliance, service="s"):
    return next(each for each in appliance.ctl_json("service", "list")["services"] if each["id"] == service)["readers"]


def test_a_policy_set_here_does_not_bring_back_what_was_taken_away_there(database, tmp_path):
    # A policy is read and written as a whole: what was read must be of now, though this server has served nothing since.
    with pair(database, tmp_path) as (a, b):
        a.ctl("service", "set", "s", "--add-reader", "val-2")
        for turn in range(6):
            here, there = (a, b) if turn % 2 else (b, a)
            there.ctl("service", "set", "s", "--remove-reader", "val-1")
            here.ctl("service", "set", "s", "--remove-reader", "val-2")
            assert readers_of(there) == readers_of(here) == []
            there.ctl("service", "set", "s", "--add-reader", "val-1")
            here.ctl("service", "set", "s", "--add-reader", "val-2")
            assert sorted(readers_of(there)) == sorted(readers_of(here)) == ["val-1", "val-2"]


def test_groups_changed_at_one_count_at_the_other(database, tmp_path):
    with pair(database, tmp_path, **CACHE) as (a, b):
        a.ca.issue("gms")
        b.ca.issue("gms")
        for file in ("gms.pem", "gms.key"):
            (b.directory / file).write_bytes((a.directory / file).read_bytes())
        a.ctl("principal", "add", "gms", "--certificate", a.directory / "gms.pem", "--role", "group-server")
        a.ctl("service", "set", "s", "--scope", "service,group", "--add-group-server", "gms")
        token = a.issuer.token(client_id="gms", scope="seal-x1")

        def put(one, name, members, revision=None):
            body = one.directory / "group.json"
            body.write_text(json.dumps({"valServiceIds": ["s"], "members": [{"valUserId": member} for member in members]}))
            match = [f'If-Match: "{revision}"'] if revision else []
            answer = one.curl(f"/seal-x1/v1/groups/{name}", "--request", "PUT", "--data-binary", f"@{body}", who="gms", token=token,
                              headers=["Content-Type: application/json", *match])
            assert answer.status in (200, 201), answer.body
            return answer.headers["etag"].strip('"')

        first = put(a, "g1", ["alice"])
        of_g1 = kids(b.get(of("alice")))
        assert kids(b.get(of("alice"))) == of_g1 and len(of_g1) == 1
        second = put(a, "g2", ["bob"])
        second = put(a, "g2", ["bob", "alice"], second)
        assert len(kids(b.get(of("alice")))) == 2
        put(b, "g1", ["carol"], first)
        assert set(of_g1).isdisjoint(kids(a.get(of("alice")))) and len(kids(a.get(of("alice")))) == 1
        # What only reads writes no entry, and hears of a change all the same.
        assert b.curl("/seal-x1/v1/groups/g2", who="gms", token=token).status == 200
        a.ctl("service", "set", "s", "--remove-group-server", "gms")
        assert b.curl("/seal-x1/v1/groups/g2", who="gms", token=token).status == 404
        assert b.curl("/seal-x1/v1/groups/g2", who="gms", token=token).status == 404


@pytest.mark.parametrize("cache", [CACHE, {}], ids=["cached", "uncached"])
def test_what_one_has_acknowledged_counts_on_the_other_at_once(database, tmp_path, cache):
    with pair(database, tmp_path, **cache) as (a, b):
        kid = kids(b.get(of("alice")))[0]
        for turn in range(6):
            changing, asked = (a, b) if turn % 2 else (b, a)
            assert kids(asked.get(of("alice"))) == [kid] == kids(asked.get(of("alice")))
            changing.ctl("key", "suspend", kid, "--reason", "test")
            assert asked.get(of("alice")).status == 404
            changing.ctl("key", "resume", kid, "--reason", "test")
            assert kids(asked.get(of("alice"))) == [kid]
            # What stands in the directory, which each keeps in memory.
            changing.ctl("service", "set", "s", "--remove-reader", "val-1")
            assert asked.get(of("alice")).status == 404
            changing.ctl("principal", "remove", "val-1")
            assert asked.get(of("alice")).status == 403
            changing.ctl("principal", "add", "val-1", "--certificate", a.directory / "val-1.pem")
            assert asked.get(of("alice")).status == 404
            changing.ctl("service", "set", "s", "--add-reader", "val-1")
            assert kids(asked.get(of("alice"))) == [kid]


def test_changes_of_both_at_once_are_all_carried_out_or_told(server, database, tmp_path):
    with pair(database, tmp_path) as (a, b):
        def add(one, number):
            return one.try_ctl("service", "add", f"{one.directory.name}-{number}", "--reader", "val-1")

        with ThreadPoolExecutor(2) as pool:
            outcomes = {}
            for number in range(20):
                for one, done in [(one, pool.submit(add, one, number)) for one in (a, b)]:
                    outcomes[f"{one.directory.name}-{number}"] = done
            outcomes = {name: done.result() for name, done in outcomes.items()}
        carried_out = {name for name, done in outcomes.items() if done.returncode == 0}
        assert all(done.returncode in (0, 4) for done in outcomes.values()), {done.stderr for done in outcomes.values()}
        assert len(carried_out) >= 20, {done.stderr for done in outcomes.values()}
        there = set(server.sql("SELECT id FROM services", name_in(database)).split()) - {"s", "t"}
        assert there == carried_out
        for one in (a, b):
            wait_for(lambda one=one: {each["id"] for each in one.ctl_json("service", "list")["services"]} == there | {"s", "t"}, "the list")


def test_one_leads_and_another_takes_over_when_it_ends_or_is_killed(server, database, tmp_path):
    with pair(database, tmp_path) as (a, b):
        assert not leads(b) and b.ctl_json("status")["store"]["leader"] == "a"
        assert "led by a" in b.ctl("status")
        refused = b.try_ctl("kek", "rotate")
        assert refused.returncode != 0 and "ask 'a'" in refused.stderr, refused
        a.process.send_signal(signal.SIGKILL)
        a.process.wait()
        wait_for(lambda: leads(b), "b to lead")
        a.start()
        assert not leads(a)
        assert b.stop() == 0
        wait_for(lambda: leads(a), "a to lead again")
        b.start()
        assert not leads(b) and a.ctl_json("audit", "verify")["whole"]
        led = server.sql("SELECT reason FROM audit WHERE action = 'server.lead' ORDER BY seq", name_in(database)).split()
        assert led == ["server=a", "server=b", "server=a"]


def test_rotation_is_done_by_one_and_counts_on_both(server, database, tmp_path):
    with pair(database, tmp_path, **CACHE) as (a, b):
        a.ctl("service", "set", "s", "--crypto-period", "2s", "--overlap", "1s")
        first = kids(b.get(of("alice")))
        wait_for(lambda: kids(b.get(of("alice"))) != first and kids(a.get(of("alice"))) != first, "the next version")
        wait_for(lambda: int(server.sql("SELECT max(version) FROM key_versions", name_in(database))) >= 4, "four versions")
        made = [one.ctl_json("status")["rotation"]["made"] for one in (a, b)]
        assert made[0] >= 3 and made[1] == 0


def test_a_database_server_that_is_killed_is_found_again_by_both_and_nothing_is_lost(server, database, tmp_path):
    with pair(database, tmp_path, **CACHE) as (a, b):
        keys = opened(a)
        for _ in range(2):
            server.kill()
            assert a.get(of("u0")).status == 503 == b.get(of("u0")).status
            server.start()
            wait_for(lambda: a.get(of("u0")).status == 200 == b.get(of("u0")).status, "both to serve")
            assert opened(b) == keys == opened(a)
            wait_for(lambda: leads(a) != leads(b), "one to lead")
        for one in (a, b):
            assert one.ctl_json("audit", "verify")["whole"]


def test_a_replica_takes_over_under_load_on_both_and_they_go_on_with_one_truth(tmp_path):
    with cluster.running() as primary:
        replica = primary.standby(primary.port + 1)
        try:
            url = f"postgresql://skms@/skms?host={primary.directory},{primary.directory}&port={primary.port},{replica.port}"
            with pair(url, tmp_path, **CACHE) as (a, b):
                # Both are asked for the same users.
                with MakingAskers(a) as of_a, MakingAskers(b) as of_b:
                    wait_for(lambda: len(of_a.kids) > 100 and len(of_b.kids) > 100, "keys")
                    primary.kill()
                    wait_for(lambda: a.get(of("x")).status == 503 == b.get(of("x")).status, "both to refuse")
                    replica.promote()
                    counts = len(of_a.kids), len(of_b.kids)
                    wait_for(lambda: len(of_a.kids) > counts[0] + 20 and len(of_b.kids) > counts[1] + 20, "keys again")
                assert of_a.wrong == [] == of_b.wrong
                both = of_a.kids.keys() & of_b.kids.keys()
                assert len(both) > 100 and all(of_a.kids[user] == of_b.kids[user] for user in both)
                for load in (of_a, of_b):
                    assert all(kids(b.get(of(user)))[0] == kid for user, kid in list(load.kids.items())[-50:])
                wait_for(lambda: leads(a) != leads(b), "one to lead")
                assert a.ctl_json("audit", "verify")["whole"]
        finally:
            replica.stop()


def test_the_loss_of_one_server_under_load_is_nobody_elses(database, tmp_path):
    with pair(database, tmp_path) as (a, b), Askers(b, clients=6) as of_b:
        for _ in range(3):
            before = of_b.served
            a.process.send_signal(signal.SIGKILL)
            a.process.wait()
            wait_for(lambda before=before: of_b.served > before + 200, "answers")
            a.start()
            assert opened(a, users=3) == opened(b, users=3)
        assert not of_b.failed, of_b.failed[:5]


def test_token_keys_changed_by_one_are_used_by_the_other_under_load(database, tmp_path):
    with pair(database, tmp_path) as (a, b), Askers(b, clients=4) as of_b:
        keys = opened(b, users=6)
        for _ in range(2):
            a.ctl("kek", "rotate")
            wait_for(lambda: a.ctl_json("kek", "status")["phase"] == "done", "every row")
            new = kids(b.get(of("after-rotation")))
            assert new == kids(a.get(of("after-rotation")))
            assert opened(b, users=6) == keys
        too_soon = a.try_ctl("kek", "retire", "--yes")
        assert too_soon.returncode != 0 and "try again in two minutes" in too_soon.stderr, too_soon
        assert not of_b.failed, of_b.failed[:5]


def test_one_that_has_the_database_for_himself_and_those_who_share_it_keep_each_other_out(database, tmp_path):
    a = member(tmp_path / "a", database, "a")
    a.start()
    try:
        (tmp_path / "alone").mkdir()
        alone = Appliance(tmp_path / "alone", store__url=database).prepare()
        done = alone.run_skmsd()
        assert done.returncode == 1 and "is in use by another skmsd or skmsctl" in done.stderr
        assert a.stop() == 0
        a.write_config(store__shared="false", store__server="''")
        a.start()
        b = member(tmp_path / "b", database, "b", a)
        done = b.run_skmsd()
        assert done.returncode == 1 and "is in use by another skmsd or skmsctl" in done.stderr
    finally:
        a.stop()


def test_a_file_cannot_be_shared(tmp_path):
    appliance = Appliance(tmp_path, store__shared="true").prepare()
    done = appliance.run_skmsd("--check-config")
    assert done.returncode == 3 and "'store.shared' and 'store.server' go with 'store.url'" in done.stderr
