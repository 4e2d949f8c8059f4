"""SEAL-X1 as a group management server uses it, and what members then get over KM-S."""

import json
import pathlib
import sqlite3
import tempfile
import threading

import pytest

from appliance import BIN, running
from openapi import ROOT, check

X1 = ROOT / "api/openapi/skms_seal_x1.yaml"


class GroupServer:
    """A group management server with its certificate and tokens."""

    def __init__(self, appliance, name="gms-1"):
        self.appliance = appliance
        self.name = name

    def ask(self, method, path, body=None, headers=(), **options):
        a = self.appliance
        arguments = ["--request", method]
        headers = list(headers)
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            (a.directory / "body").write_text(text)
            arguments += ["--data-binary", f"@{a.directory / 'body'}"]
            if not any(h.lower().startswith("content-type") for h in headers):
                headers.append("Content-Type: application/json")
        options.setdefault("token", a.issuer.token(client_id=self.name, scope="seal-x1"))
        return a.curl("/seal-x1/v1/groups/" + path, *arguments, who=options.pop("who", self.name), headers=headers, **options)

    def put(self, group, members, services=("s",), tag=None, **options):
        headers = [f"If-Match: {tag}"] if tag else []
        return self.ask("PUT", group, {"valServiceIds": list(services), "members": members}, headers, **options)


def users(*names):
    return [{"valUserId": name} for name in names]


@pytest.fixture(scope="module")
def appliance():
    with tempfile.TemporaryDirectory(prefix="skms-e2e-") as directory, running(pathlib.Path(directory)) as a:
        for name in ("gms-1", "gms-2"):
            a.ca.issue(name)
            a.ctl("principal", "add", name, "--certificate", a.directory / f"{name}.pem", "--role", "group-server")
        a.ctl("service", "set", "s", "--scope", "service,user,ue,group", "--add-group-server", "gms-1")
        a.ctl("service", "set", "t", "--scope", "service,group", "--add-group-server", "gms-2")
        yield a


@pytest.fixture
def gms(appliance):
    return GroupServer(appliance)


def group_keys(appliance, user, kind="valUserId"):
    answer = appliance.get(f"val-service-id=s&{kind}={user}")
    assert answer.status == 200, answer.body
    return [key for key in json.loads(answer.json["keyInfo"])["keys"] if key["scope"] == "group"]


def test_a_group_is_made_read_changed_and_deleted(gms):
    made = gms.put("platoon-7", users("alice", "bob") + [{"valUeId": "drone-1"}])
    assert made.status == 201, made.body
    check(X1, "/components/schemas/GroupChange", made.json)
    assert made.headers["location"] == f"{gms.appliance.url}/seal-x1/v1/groups/platoon-7"
    assert made.headers["etag"] == '"1"' and made.json["memberCount"] == 3 and not made.json["rekeyed"]

    read = gms.ask("GET", "platoon-7")
    assert read.status == 200 and read.headers["etag"] == '"1"'
    check(X1, "/components/schemas/Group", read.json)
    assert read.json["members"] == users("alice", "bob") + [{"valUeId": "drone-1"}]
    assert gms.ask("GET", "platoon-7", headers=['If-None-Match: "1"']).status == 304

    changed = gms.put("platoon-7", users("alice"), tag='"1"')
    assert changed.status == 200 and changed.json["rekeyed"] and changed.headers["etag"] == '"2"'
    assert gms.put("platoon-7", users("alice"), tag='"2"').headers["etag"] == '"2"', "the same again changes nothing"

    assert gms.ask("DELETE", "platoon-7").status == 428
    gone = gms.ask("DELETE", "platoon-7", headers=['If-Match: "2"'])
    assert (gone.status, gone.body) == (204, "")
    assert gms.ask("GET", "platoon-7").status == 404


def test_members_get_the_group_key_over_km_s_and_the_removed_one_gets_nothing_newer(gms):
    a = gms.appliance
    gms.put("g-secret", users("carol", "mallory"))
    (carols,) = group_keys(a, "carol")
    (mallorys,) = group_keys(a, "mallory")
    assert carols["kid"] == mallorys["kid"] and carols["target"] == "g-secret"
    opened = a.skmc("--service", "s", "--user", "carol", "--format", "hex")
    assert opened.returncode == 0, opened.stderr
    of_group = a.skmc("--service", "s", "--user", "carol", "--group", "g-secret", "--format", "hex")
    assert of_group.returncode == 0 and len(of_group.stdout) == 65 and of_group.stdout != opened.stdout
    assert a.skmc("--service", "s", "--user", "carol", "--group", "other").returncode == 5
    assert a.skmc("--service", "s", "--group", "g-secret").returncode == 2
    changed = gms.put("g-secret", users("carol"), tag='"1"')
    new = changed.json["keys"][0]["kid"]
    assert group_keys(a, "mallory") == []
    assert [(k["kid"], k["state"]) for k in group_keys(a, "carol")] == [(new, "active"), (carols["kid"], "deactivated")]
    assert a.ctl_json("key", "show", carols["kid"])["reason"] == "a member was removed"


def test_the_group_server_gets_the_keys_and_opens_them(gms):
    gms.put("g-keys", users("dave"))
    answer = gms.ask("GET", "g-keys/key-records")
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    check(X1, "/components/schemas/GroupKeyRecords", answer.json)
    (record,) = answer.json["keyRecords"]
    key_info = json.loads(record["keyInfo"])
    check(ROOT / "api/openapi/skms_km_s.yaml", "/components/schemas/KeyInfo", key_info)
    assert key_info["keys"][0]["kid"] == group_keys(gms.appliance, "dave")[0]["kid"]
    assert key_info["keys"][0]["wrapped"]["encryptedKey"] != group_keys(gms.appliance, "dave")[0]["wrapped"]["encryptedKey"]


def test_rekey_makes_a_new_version_and_says_why_in_the_audit(gms):
    gms.put("g-rekey", users("erin"))
    before = group_keys(gms.appliance, "erin")[0]["kid"]
    done = gms.ask("POST", "g-rekey/rekey", {"reason": "radio lost"})
    assert done.status == 200 and done.json["rekeyed"]
    assert group_keys(gms.appliance, "erin")[0]["kid"] != before
    assert gms.ask("POST", "g-rekey/rekey", "", headers=["Content-Type: application/json"]).status == 200
    assert gms.ask("POST", "g-rekey/rekey", headers=["Content-Length: 0"]).status in (200, 411)
    with sqlite3.connect(f"file:{gms.appliance.directory / 'skms.db'}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM audit WHERE action = 'group.rekey' AND reason LIKE '%radio lost'").fetchone()[0] == 1


def test_a_change_needs_the_entity_tag_of_what_it_changes(gms):
    gms.put("g-tag", users("a"))
    for tag, status in [(None, 428), ('"9"', 412), ('W/"1"', 412), ('"x"', 412), ("*", 400), ("1", 400), ('"1", "2"', 400)]:
        answer = gms.put("g-tag", users("b"), tag=tag)
        assert answer.status == status, (tag, answer.body)
        assert answer.problem["title"]
    assert gms.ask("PUT", "g-tag", {"valServiceIds": ["s"], "members": users("b")}, ["If-None-Match: *"]).status == 412
    assert gms.put("g-none", users("a"), tag='"1"').status == 412
    assert gms.ask("GET", "g-tag").json["members"] == users("a")


@pytest.mark.parametrize(
    "body,param",
    [
        ({"members": users("a")}, "/valServiceIds"),
        ({"valServiceIds": ["s"]}, "/members"),
        ({"valServiceIds": [], "members": users("a")}, "/valServiceIds"),
        ({"valServiceIds": ["s"], "members": []}, "/members"),
        ({"valServiceIds": ["s", "s"], "members": users("a")}, "/valServiceIds/1"),
        ({"valServiceIds": ["nosuch"], "members": users("a")}, "/valServiceIds"),
        ({"valServiceIds": ["t"], "members": users("a")}, "/valServiceIds"),
        ({"valServiceIds": ["s"], "members": users("a", "b", "a")}, "/members/2"),
        ({"valServiceIds": ["s"], "members": [{"valUserId": "a", "valUeId": "b"}]}, "/members/0"),
        ({"valServiceIds": ["s"], "members": [{"valClientId": "a"}]}, "/members/0"),
        ({"valServiceIds": ["s"], "members": ["a"]}, "/members/0"),
        ({"valServiceIds": ["s"], "members": [{"valUserId": 7}]}, "/members/0"),
        ({"valServiceIds": ["s"], "members": [{"valUserId": "x" * 256}]}, "/members/0"),
        ({"valServiceIds": ["s"], "members": users("a"), "valGroupId": "other"}, "/valGroupId"),
        ({"valServiceIds": ["s"], "members": users(*(f"u{n}" for n in range(10001)))}, "/members"),
    ],
)
def test_what_is_no_group_is_refused_by_the_member_that_is_wrong(gms, body, param):
    answer = gms.ask("PUT", "g-bad", body)
    assert answer.status == 400, answer.body
    assert answer.problem["invalidParams"][0]["param"] == param
    assert gms.ask("GET", "g-bad").status == 404


def test_bodies_that_are_no_json_or_too_large_are_refused(gms):
    assert gms.ask("PUT", "g-bad", "{").status == 400
    assert gms.ask("PUT", "g-bad", "[]").status == 400
    assert gms.ask("PUT", "g-bad", "{}", ["Content-Type: text/plain"]).status == 415
    assert gms.ask("PUT", "g-bad", " " * (3 * 2**20 + 1)).status == 413
    assert gms.ask("POST", "g-bad/rekey", " " * 70000).status == 413, "other resources keep the general limit"
    assert gms.ask("PATCH", "g-bad", "{}").headers["allow"] == "PUT, GET, HEAD, DELETE, OPTIONS"


def test_ten_thousand_members_come_and_go_in_one_request_each(gms):
    everybody = [f"user-{n:05}" for n in range(10000)]
    assert gms.put("g-large", users(*everybody)).status == 201
    assert len(group_keys(gms.appliance, "user-09999")) == 1
    changed = gms.put("g-large", users(*everybody[:-1]), tag='"1"')
    assert changed.status == 200 and len(changed.json["keys"]) == 1
    assert group_keys(gms.appliance, "user-09999") == []
    assert len(group_keys(gms.appliance, "user-00000")) == 2


def test_who_may_not_sees_nothing(gms, appliance):
    gms.put("g-mine", users("a"))
    other = GroupServer(appliance, "gms-2")
    for method, path, body in [("GET", "g-mine", None), ("GET", "g-mine/key-records", None), ("DELETE", "g-mine", None)]:
        assert other.ask(method, path, body, headers=['If-Match: "1"']).status == 404, (method, path)
    assert other.put("g-mine", users("m"), services=["t"], tag='"1"').status == 404
    # A VAL server is no group server, whatever its token says.
    answer = gms.ask("GET", "g-mine", who="val-1", token=appliance.issuer.token(client_id="val-1", scope="seal-x1"))
    assert answer.status == 403 and "group management server" in answer.problem["detail"]
    # A group server's token for another API, or none, or a stolen one.
    assert gms.ask("GET", "g-mine", token=appliance.issuer.token(client_id="gms-1", scope="ss-kir")).status == 403
    assert gms.ask("GET", "g-mine", token=None).status == 401
    assert gms.ask("GET", "g-mine", token=appliance.issuer.token(client_id="gms-2", scope="seal-x1")).status == 403
    assert gms.ask("GET", "g-mine?x=1").status == 400
    assert gms.ask("GET", "g-mine").json["members"] == users("a")


def test_two_concurrent_changes_end_with_one_412_and_no_lost_removal(gms, appliance):
    gms.put("g-race", users("a", "b", "c"))
    clients = [GroupServer(appliance), GroupServer(appliance)]
    bodies = [users("a", "b"), users("b", "c")]
    answers = [None, None]

    def change(n):
        import subprocess
        body = appliance.directory / f"race-{n}"
        body.write_text(json.dumps({"valServiceIds": ["s"], "members": bodies[n]}))
        headers = appliance.directory / f"race-headers-{n}"
        headers.write_text(f"Authorization: Bearer {appliance.issuer.token(client_id='gms-1', scope='seal-x1')}\n"
                           'If-Match: "1"\nContent-Type: application/json\n')
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", appliance.directory / "ca.pem",
             "--cert", appliance.directory / "gms-1.pem", "--key", appliance.directory / "gms-1.key", "-X", "PUT",
             "--data-binary", f"@{body}", "-H", f"@{headers}", f"{appliance.url}/seal-x1/v1/groups/g-race"],
            capture_output=True, text=True, check=True)
        answers[n] = int(done.stdout)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 412], answers
    winner = answers.index(200)
    assert gms.ask("GET", "g-race").json["members"] == bodies[winner]


def test_an_administrator_sees_groups_and_can_rekey_and_remove_them(gms, appliance):
    gms.put("g-admin", users("zoe"))
    assert "g-admin" in appliance.ctl("group", "list")
    shown = appliance.ctl("group", "show", "g-admin", "--members")
    assert "zoe" in shown and "revision  1" in shown
    before = group_keys(appliance, "zoe")[0]["kid"]
    assert "nothing is changed" in appliance.ctl("group", "rekey", "g-admin", "--reason", "drill", "--dry-run")
    assert group_keys(appliance, "zoe")[0]["kid"] == before
    appliance.ctl("group", "rekey", "g-admin", "--reason", "drill")
    assert group_keys(appliance, "zoe")[0]["kid"] != before
    assert "nothing is changed" in appliance.ctl("group", "remove", "g-admin", "--dry-run")
    appliance.ctl("group", "remove", "g-admin")
    assert group_keys(appliance, "zoe") == []
    assert appliance.try_ctl("group", "show", "g-admin").returncode == 6
    admin = ROOT / "api/openapi/skms_admin.yaml"
    for schema, answer in [("Status", appliance.ctl_json("status")), ("Service", appliance.ctl_json("service", "show", "s")),
                           ("Group", appliance.ctl_json("group", "list")["groups"][0]),
                           ("KeyVersion", appliance.ctl_json("key", "list", "--limit", "1")["keys"][0])]:
        check(admin, f"/components/schemas/{schema}", answer)
    page = appliance.ctl_json("group", "list", "--limit", "1")["groups"]
    assert len(page) == 1
    assert appliance.ctl_json("group", "list", "--after", page[0]["id"], "--limit", "1")["groups"][0]["id"] > page[0]["id"]


def test_group_ids_may_hold_any_text(gms):
    made = gms.put("a%20group%2Fwith%20%C3%BC", users("ute"))
    assert made.status == 201 and made.json["valGroupId"] == "a group/with ü"
    assert made.headers["location"].endswith("/groups/a%20group%2Fwith%20%C3%BC")
    assert gms.put("bad%00id", users("u")).status in (400, 404)
