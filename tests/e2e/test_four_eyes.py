"""Four eyes: roles of administrators, and what others must approve; asked by several users of this host."""

import json
import re
import time

import pytest
import yaml

from appliance import PIN, running, wait_for
from judge import OURS
from people import GROUP, NOBODY, OTHER_USERS, ROLES, People, actor, open_directory
from test_locked import locked

pytestmark = pytest.mark.skipif(not OTHER_USERS, reason="needs root and setpriv to become several users")


@pytest.fixture(scope="module")
def people():
    """A server that was set up before it got roles."""
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        appliance.key()
        appliance.stop()
        appliance.write_config(**ROLES)
        appliance.start()
        yield People(appliance)


def test_what_roles_leave_is_told_by_the_client_and_the_chain(people):
    done = people.ctl("auditor", "service", "add", "x")
    assert done.returncode == 1 and "this needs the role admin or operator; user 'man' has auditor" in done.stderr
    assert "section roles" in done.stderr
    [last] = [one for one in people.chain(action="administer", actor=actor("auditor"))
              if one["reason"].startswith("POST /admin/v1/services: role-missing")][-1:]
    assert last["outcome"] == "refused" and "admin or operator" in last["reason"]
    done = people.ctl(NOBODY, "status")
    assert done.returncode == 1 and "user 'nobody' has no role" in done.stderr


def operations():
    document = yaml.safe_load((OURS / "skms_admin.yaml").read_text())
    return [(method.upper(), path, item[method]["x-roles"]) for path, item in document["paths"].items()
            for method in ("get", "post", "put", "delete") if method in item]


@pytest.mark.parametrize("role", ["admin", "operator", "backup", "auditor", "officer", NOBODY])
def test_each_role_may_do_what_the_openapi_file_says_and_nothing_else(people, role):
    """Wrong in itself wherever it may be asked, so that nothing is changed: what counts is who is refused as what."""
    for method, path, roles in operations():
        if path == "/admin/v1/backups":
            continue  # has no body that could be wrong; below
        target = re.sub(r"\{[^}]*\}", "none", path)
        status, answer = people.ask(role, method, target, "wrong" if method in ("POST", "PUT") else None)
        cause = answer.get("cause")
        if role == NOBODY:
            assert (status, cause) == (403, "not-an-administrator"), (method, path)
        elif role in roles:
            assert cause not in ("role-missing", "not-an-administrator"), (method, path, answer)
        else:
            assert (status, cause) == (403, "role-missing"), (method, path, answer)
            for one in roles:
                assert one in answer["detail"], (answer, roles)


def test_root_has_no_role_of_his_own_but_sees_how_the_server_fares(people):
    appliance = people.appliance
    assert appliance.try_ctl("status").returncode == 0
    done = appliance.try_ctl("service", "list")
    assert done.returncode == 1 and "user 'root' has none" in done.stderr


def test_refusals_do_not_fill_the_chain(people):
    before = len(people.chain(action="administer", actor=actor("backup")))
    for _ in range(60):
        assert people.ask("backup", "GET", "/admin/v1/services")[0] == 403
    assert len(people.chain(action="administer", actor=actor("backup"))) - before <= 40


def test_an_operator_rotates_but_neither_destroys_nor_changes_the_kek(people):
    people.did("operator", "key", "rotate", "--service", "s")
    kid = json.loads(people.did("operator", "key", "list", "--service", "s", "--output", "json"))["keys"][0]["kid"]
    for arguments in (("key", "destroy", kid, "--reason", "x"), ("kek", "rotate")):
        done = people.ctl("operator", *arguments)
        assert done.returncode == 1 and "needs the role" in done.stderr


def former_version(people):
    """A version that may be destroyed."""
    people.did("operator", "key", "rotate", "--service", "s")
    keys = json.loads(people.did("operator", "key", "list", "--service", "s", "--output", "json"))["keys"]
    kid = next(one["kid"] for one in keys if one["state"] in ("active", "deactivated"))
    if people.ask("operator", "GET", f"/admin/v1/keys/{kid}")[1]["state"] == "active":
        people.did("operator", "key", "deactivate", kid, "--reason", "drill")
    return kid


def state_of(people, kid):
    return people.ask("operator", "GET", f"/admin/v1/keys/{kid}")[1]["state"]


def test_a_key_is_destroyed_once_another_person_has_approved_exactly_that(people):
    kid = former_version(people)
    destroy = ("key", "destroy", kid, "--reason", "drill")
    assert people.ctl("admin", *destroy, "--dry-run").returncode == 0
    request = people.asked("admin", *destroy)
    assert request["kind"] == "destroy" and request["state"] == "open" and request["approvalsNeeded"] == 1
    assert request["operation"] == f"POST /admin/v1/keys/{kid}/transitions" and json.loads(request["body"])["reason"] == "drill"
    assert request["requestedBy"] == {"actor": actor("admin"), "name": "daemon"}
    assert state_of(people, kid) == "deactivated"
    # Asked again it is the same; nobody approves his own, nor without saying what, nor something else.
    assert people.asked("admin", *destroy)["id"] == request["id"]
    own = people.ctl("admin", "approval", "approve", request["id"], "--digest", request["digest"])
    assert own.returncode == 1 and "who asks does not decide" in own.stderr
    blind = people.ctl("second", "approval", "approve", request["id"])
    assert blind.returncode == 1 and request["digest"] in blind.stderr and kid in blind.stdout
    other = people.ctl("second", "approval", "approve", request["id"], "--digest", "0" * 64)
    assert other.returncode == 1 and "digest is another" in other.stderr
    officer = people.ctl("officer", "approval", "approve", request["id"], "--digest", request["digest"])
    assert officer.returncode == 1 and "decided by the role admin" in officer.stderr
    assert people.ctl("operator", "approval", "approve", request["id"], "--digest", request["digest"]).returncode == 1
    assert people.asked("admin", *destroy)["id"] == request["id"] and state_of(people, kid) == "deactivated"

    assert "daemon (admin:1) types the same command again" in people.approve("second", request)
    assert people.show("auditor", request["id"])["state"] == "approved"
    # Another reason, another person: not what was approved.
    changed = people.asked("admin", "key", "destroy", kid, "--reason", "other")
    theirs = people.asked("second", *destroy)
    assert len({changed["id"], theirs["id"], request["id"]}) == 3 and state_of(people, kid) == "deactivated"

    people.did("admin", *destroy)
    assert state_of(people, kid) == "destroyed"
    assert people.show("auditor", request["id"])["state"] == "used"
    steps = people.chain(kid=request["id"])
    assert [(one["action"], one["actor"]) for one in steps] == [
        ("approval.request", actor("admin")), ("approval.approve", actor("second")), ("approval.use", actor("admin"))]
    assert all(request["digest"] in one["reason"] for one in steps) and f"approved-by={actor('second')}" in steps[-1]["reason"]
    people.did("admin", "approval", "withdraw", changed["id"])
    people.did("admin", "approval", "refuse", theirs["id"])
    listed = people.did("auditor", "approval", "list")
    assert all(state in listed for state in ("used", "withdrawn", "refused"))
    assert people.ctl("second", *destroy).returncode == 7, "it is destroyed: nobody is asked to approve that"


def test_what_destroys_by_policy_needs_approval_too(people):
    done = people.ctl("operator", "service", "set", "s", "--versions-kept", "1")
    assert done.returncode == 8 and "versions past the newest 1 of each key are destroyed" in done.stderr
    people.did("operator", "service", "set", "t", "--user-uri", "https://x.test/")


def test_the_kek_is_changed_by_an_officer_with_an_admin(people):
    assert people.ctl("admin", "kek", "rotate").returncode == 1
    request = people.asked("officer", "kek", "rotate")
    assert request["kind"] == "kek"
    people.approve("admin", request)
    used = json.loads(people.did("officer", "kek", "rotate", "--wait", "--output", "json"))
    assert used["use"]["kek"] == 2 and used["phase"] == "done"
    # One approval, one rotation.
    again = people.asked("officer", "kek", "rotate")
    assert again["id"] != request["id"]
    # Refused as it is now, with nothing to retire but what re-wrapping has left: an approval that was not used up is kept.
    people.did("officer", "approval", "withdraw", again["id"])
    retire = people.asked("officer", "kek", "retire", "--yes")
    assert retire["kind"] == "kek"
    people.approve("admin", retire)
    wait_for(lambda: people.ctl("officer", "kek", "retire", "--yes").returncode == 0, "the former keys' end")
    assert people.show("auditor", retire["id"])["state"] == "used"


def test_an_approval_that_did_nothing_is_given_back(people):
    request = people.asked("officer", "kek", "retire", "--yes")
    people.approve("admin", request)
    done = people.ctl("officer", "kek", "retire", "--yes")
    assert done.returncode == 7 and "nothing to retire" in done.stderr
    assert people.show("officer", request["id"])["state"] == "approved"
    assert [one["action"] for one in people.chain(kid=request["id"])][-2:] == ["approval.use", "approval.return"]
    people.did("officer", "approval", "withdraw", request["id"])


def test_strict_recipients_are_taken_into_use_by_two(people):
    status, answer = people.ask("officer", "POST", "/admin/v1/token/strict", {})
    assert status == 202 and answer["approval"]["kind"] == "strict-recipient"
    status, _ = people.ask("second", "POST", f"/admin/v1/approvals/{answer['approval']['id']}/approve", {"digest": answer["approval"]["digest"]})
    assert status == 200
    assert people.ask("officer", "POST", "/admin/v1/token/strict", {})[0] == 200
    assert people.ask("officer", "POST", "/admin/v1/token/strict", {})[0] == 202


def test_the_configuration_says_what_needs_approval_and_how_long_one_lives():
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        appliance.stop()
        appliance.write_config(**ROLES, approvals__expires_s=60, approvals__required="[kek]")
        appliance.start()
        group = People(appliance)
        request = group.asked("officer", "kek", "rotate")
        made, ends = (time.mktime(time.strptime(request[key], "%Y-%m-%dT%H:%M:%SZ")) for key in ("created", "expires"))
        assert ends - made == 60
        # What needs none by this configuration is done at once.
        kid = former_version(group)
        group.did("admin", "key", "destroy", kid, "--reason", "drill")


def restore(people, *arguments):
    return people.appliance.try_ctl("backup", "restore", *arguments)


def test_a_restore_needs_what_the_token_signed_of_its_approval():
    with open_directory() as directory, running(directory, admin__group=GROUP) as appliance:
        appliance.stop()
        appliance.write_config(**ROLES)
        appliance.start()
        people = People(appliance)
        place = directory / "backups"
        place.mkdir()
        place.chmod(0o777)
        file, paper = place / "backup", place / "paper"
        people.did("backup", "backup", "create", "--file", file)
        request = people.asked("backup", "backup", "authorise", "--file", file, "--to", paper)
        assert request["kind"] == "restore" and not paper.exists()
        people.approve("admin", request)
        people.did("backup", "backup", "authorise", "--file", file, "--to", paper)
        other = place / "other"
        people.did("backup", "backup", "create", "--file", other)
        assert appliance.stop() == 0
        for path in directory.glob("skms.db*"):
            if path.is_file():
                path.unlink()
        refused = restore(people, "--file", file)
        assert refused.returncode == 8 and "--authorisation" in refused.stderr and "approvals.required" in refused.stderr
        refused = restore(people, "--file", other, "--authorisation", paper)
        assert refused.returncode != 0 and "it is for the backup with SHA-256" in refused.stderr
        assert not (directory / "skms.db").exists()
        assert restore(people, "--file", file, "--authorisation", paper).returncode == 0
        appliance.start()
        [entry] = people.chain(action="backup.restore")
        assert f"approval={request['id']} requested-by={actor('backup')} approved-by={actor('admin')}" in entry["reason"]
        assert people.ask("admin", "GET", "/admin/v1/approvals")[1] == {"approvals": []}


def test_a_locked_server_is_unlocked_by_those_who_may_and_nobody_else():
    with open_directory() as directory, locked(directory, admin__group=GROUP, **ROLES) as appliance:
        people = People(appliance)
        for person, cause in (("operator", "role-missing"), (NOBODY, "not-an-administrator")):
            status, answer = people.ask(person, "POST", "/admin/v1/unlock", {"pin": PIN})
            assert (status, answer["cause"]) == (403, cause)
        assert people.ask("auditor", "GET", "/admin/v1/services")[1]["cause"] == "locked"
        assert people.ask("backup", "GET", "/admin/v1/services")[1]["cause"] == "role-missing"
        assert people.ask("officer", "POST", "/admin/v1/unlock", {"pin": PIN})[0] == 204
        # The socket is handed on; what asks meanwhile waits in it, or is answered by the one that was locked.
        wait_for(lambda: people.ask("auditor", "GET", "/admin/v1/status")[1]["state"] == "operational", "the unlocked server")


def test_names_that_this_host_does_not_know_stop_the_start(tmp_path):
    with running(tmp_path) as appliance:
        appliance.stop()
        for member, says in (("user:no-such-user", "no user 'no-such-user'"), ("group:no-such-group", "no group 'no-such-group'")):
            appliance.write_config(roles__admin=f"['{member}']")
            done = appliance.run_skmsd()
            assert done.returncode == 3 and f"roles.admin: {says} on this host" in done.stderr
