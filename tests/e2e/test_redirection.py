"""A service that another key management server has: a client that follows the redirection gets that server's answer."""

import base64
import contextlib
import json
import time

import pytest

from appliance import running

FOLLOW = "--location-trusted"  # with the Authorization field, which curl gives to no other host by itself
CLAIMS = {"scope": "openid ss-kir ss-kpp skm", "SKeyProv": True, "val_service_ids": ["moved", "lost"], "val_user_id": "alice"}
POLICY = ["--scope", "service,user", "--delivery", "tls", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """`old` sends clients of 'moved' to `new`, which is known by old's names too, and those of 'lost' to `stranger`, which is not."""
    with contextlib.ExitStack() as stack:
        start = lambda name, **settings: stack.enter_context(running(tmp_path_factory.mktemp(name), skms__id=name, **settings))
        old = start("old")
        new = start("new", skms__also_known_as=f"[{old.url}]", listen_ue__also_known_as=f"[{old.ue_url}]")
        stranger = start("stranger")
        for service, home in (("moved", new), ("lost", stranger)):
            home.ctl("service", "add", service, *POLICY)
            old.ctl("service", "add", service, *POLICY, "--home", home.url, "--home-ue", home.ue_url)
        yield old, new, stranger


def send(appliance, url, path, body, who, *arguments, **options):
    (appliance.directory / "request.json").write_text(json.dumps({"version": "1.0.0", "dateTime": int(time.time()), **body}))
    return appliance.curl(path, "--data-binary", f"@{appliance.directory / 'request.json'}", *arguments, who=who, url=url,
                          token=appliance.issuer.token(**CLAIMS), headers=["Content-Type: application/json", *options.pop("headers", [])])


def ask_as_ue(appliance, *arguments, **changes):
    body = {"skmsUri": appliance.ue_url, "serviceId": "moved", "userId": "alice", **changes}
    return send(appliance, appliance.ue_url, "/skm/v1/key-request", body, None, *arguments)


def provision(appliance, *arguments, headers=(), **changes):
    body = {"skmsUri": appliance.url, "serviceId": "moved", "sValClientUri": "https://val-1.test", "payloadId": "p",
            "payload": base64.b64encode(b"for the new one").decode(), **changes}
    return send(appliance, appliance.url, "/skm/v1/key-provisioning", body, "val-1", *arguments, headers=list(headers))


def is_400_for_its_uri(answer):
    assert answer.status == 400, answer.body
    assert answer.problem["invalidParams"][0]["param"] == "/skmsUri" and answer.problem["errorCode"] == "04"
    return True


def test_km_s_brings_the_homes_key(servers):
    old, new, _ = servers
    answer = old.curl("/ss-kir/v1/key-records?val-service-id=moved", FOLLOW)
    assert answer.status == 200, answer.body
    assert answer.json["skmsId"] == "new"
    assert json.loads(answer.json["keyInfo"])["keys"][0]["kid"] == new.key("val-service-id=moved")["kid"]


def test_a_ue_gets_its_key_from_the_home_for_ues(servers):
    old, new, _ = servers
    plain = ask_as_ue(old)
    assert plain.status == 307 and plain.headers["location"] == new.ue_url + "/skm/v1/key-request"
    for names in (old.ue_url, old.url):  # KM-UU takes both names of a server
        answer = ask_as_ue(old, FOLLOW, skmsUri=names)
        assert answer.status == 200, answer.body
        assert answer.json["skmsUri"] == new.ue_url and answer.json["skmsId"] == "new"
        assert answer.json["payload"]["keys"][0]["k"] == new.key("val-service-id=moved&valUserId=alice")["k"]


def test_what_is_provisioned_arrives_at_the_home(servers):
    old, new, _ = servers
    answer = provision(old, FOLLOW)
    assert answer.status == 200, answer.body
    assert answer.json["skmsUri"] == new.url and answer.json["skmsId"] == "new"
    assert [p["payloadId"] for p in new.ctl_json("payload", "list", "--service", "moved")["payloads"]] == ["p"]
    assert old.ctl_json("payload", "list", "--service", "moved")["payloads"] == []
    body = {"skmcUri": "https://val-1.test", "valServiceId": "moved", "payloadId": "q", "payload": "YQ=="}
    assert send(old, old.url, "/ss-kpp/v1/request", body, "val-1", FOLLOW).json["skmsId"] == "new"


def test_for_good_is_followed_too(servers):
    old, new, _ = servers
    old.ctl("service", "set", "moved", "--home-permanent", "yes")
    try:
        assert ask_as_ue(old).status == 308 and provision(old).status == 308
        assert ask_as_ue(old, FOLLOW).json["skmsId"] == provision(old, FOLLOW).json["skmsId"] == "new"
    finally:
        old.ctl("service", "set", "moved", "--home-permanent", "no")


def test_a_home_that_is_not_known_by_the_old_name_refuses_it(servers):
    old, _, stranger = servers
    assert is_400_for_its_uri(ask_as_ue(old, FOLLOW, serviceId="lost"))
    assert is_400_for_its_uri(provision(old, FOLLOW, serviceId="lost"))
    assert stranger.ctl_json("payload", "list", "--service", "lost")["payloads"] == []


def test_the_names_of_one_reference_point_are_not_the_others_and_no_host(servers):
    old, new, stranger = servers
    assert is_400_for_its_uri(provision(new, skmsUri=old.ue_url))
    assert is_400_for_its_uri(ask_as_ue(new, skmsUri=stranger.ue_url))
    refused = provision(new, headers=[f"Host: localhost:{old.port}"])
    assert refused.status == 400 and refused.problem["invalidParams"][0]["param"] == "Host"


def test_an_administrator_sees_both_homes(servers):
    old, new, _ = servers
    shown = old.ask_admin("/admin/v1/services/moved")
    assert (shown["home"], shown["homeUe"]) == (new.url, new.ue_url)
    old.ctl("service", "set", "moved", "--home-ue", "here")
    try:
        assert ask_as_ue(old).headers["location"] == new.url + "/skm/v1/key-request"
    finally:
        old.ctl("service", "set", "moved", "--home-ue", new.ue_url)
