"""Who asked to be told of key events is told: in order, at least once, and never key material."""

import json
import pathlib
import tempfile

import pytest

from appliance import running, wait_for
from callback import Callback
from openapi import ROOT, check
from pki import Authority

EVENTS = ROOT / "api/openapi/skms_events.yaml"


@pytest.fixture(scope="module")
def appliance():
    settings = {"notify__first_retry_ms": 50, "notify__last_retry_ms": 200, "notify__time_limit_ms": 1000}
    with tempfile.TemporaryDirectory(prefix="skms-e2e-") as directory, running(pathlib.Path(directory), **settings) as a:
        a.ca.issue("callback", server=True)
        a.ca.issue("gms-1")
        a.ctl("principal", "add", "gms-1", "--certificate", a.directory / "gms-1.pem", "--role", "group-server")
        a.ctl("service", "set", "s", "--scope", "service,user,ue,group", "--add-group-server", "gms-1")
        yield a


@pytest.fixture
def callback(appliance):
    server = Callback(appliance.directory)
    yield server
    server.close()
    for row in appliance.ctl_json("subscription", "list")["subscriptions"]:
        appliance.ctl("subscription", "remove", row["id"])


def ask(a, method, path="", body=None, who="val-1", scope="skms-events", **options):
    arguments = ["--request", method]
    headers = []
    if body is not None:
        (a.directory / "subscription").write_text(body if isinstance(body, str) else json.dumps(body))
        arguments += ["--data-binary", f"@{a.directory / 'subscription'}"]
        headers = ["Content-Type: application/json"]
    token = a.issuer.token(client_id=who, scope=scope)
    return a.curl("/skms-events/v1/subscriptions" + path, *arguments, who=who, token=token, headers=headers, **options)


def subscribe(a, url, who="val-1", ca="ca"):
    answer = ask(a, "POST", body={"notificationDestination": url, "caCertificates": (a.directory / f"{ca}.pem").read_text()}, who=who)
    assert answer.status == 201, answer.body
    check(EVENTS, "/components/schemas/Subscription", answer.json)
    return answer


def rotate(a, user, times=1):
    return [a.ctl_json("key", "rotate", "--service", "s", "--user", user)["kid"] for _ in range(times)]


def test_a_subscription_is_made_listed_and_removed(appliance, callback):
    made = subscribe(appliance, callback.url)
    identity = made.json["subscriptionId"]
    assert made.headers["location"].endswith("/skms-events/v1/subscriptions/" + identity)
    assert ask(appliance, "GET").json == [made.json]
    assert ask(appliance, "GET", "/" + identity).json == made.json
    assert ask(appliance, "GET", who="val-2").json == []
    assert ask(appliance, "GET", "/" + identity, who="val-2").status == 404
    assert ask(appliance, "DELETE", "/" + identity, who="val-2").status == 404
    assert ask(appliance, "GET", scope="ss-kir").status == 403
    assert ask(appliance, "DELETE", "/" + identity).status == 204
    assert ask(appliance, "GET").json == []


@pytest.mark.parametrize(
    "change,param",
    [
        ({"notificationDestination": "http://localhost/x"}, "/notificationDestination"),
        ({"notificationDestination": "https://"}, "/notificationDestination"),
        ({"notificationDestination": "https://user@host/"}, "/notificationDestination"),
        ({"notificationDestination": "https://host/#x"}, "/notificationDestination"),
        ({"notificationDestination": "https://host/\r\nX: y"}, "/notificationDestination"),
        ({"notificationDestination": "https://host/" + "x" * 300}, "/notificationDestination"),
        ({"notificationDestination": 7}, "/notificationDestination"),
        ({"caCertificates": ""}, "/caCertificates"),
        ({"caCertificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "/caCertificates"),
        ({"caCertificates": None}, "/caCertificates"),
    ],
)
def test_what_is_no_subscription_is_refused_by_the_member(appliance, change, param):
    body = {"notificationDestination": "https://localhost/x", "caCertificates": (appliance.directory / "ca.pem").read_text()}
    body.update(change)
    answer = ask(appliance, "POST", body=body)
    assert answer.status == 400, answer.body
    assert answer.problem["invalidParams"][0]["param"] == param


def test_a_private_key_among_the_certificates_and_a_ninth_subscription_are_refused(appliance, callback):
    both = (appliance.directory / "ca.pem").read_text() + (appliance.directory / "val-1.key").read_text()
    assert ask(appliance, "POST", body={"notificationDestination": callback.url, "caCertificates": both}).status == 400
    for _ in range(8):
        subscribe(appliance, callback.url)
    one_more = ask(appliance, "POST", body={"notificationDestination": callback.url, "caCertificates": (appliance.directory / "ca.pem").read_text()})
    assert one_more.status == 409


def test_a_reader_is_told_of_rotations_in_order_and_of_no_material(appliance, callback):
    rotate(appliance, "notified")
    subscribe(appliance, callback.url)
    kids = rotate(appliance, "notified", 3)
    appliance.ctl("key", "rotate", "--service", "t")  # val-1 is no reader of t
    appliance.ctl("key", "compromise", kids[-1], "--reason", "drill", "--rotate")
    wait_for(lambda: len(callback.events()) >= 8, "the events")
    for body in callback.told:
        check(EVENTS, "/components/schemas/KeyNotification", body)
        assert not {"wrapped", "k", "encryptedKey"} & set(json.dumps(body).replace('"', " ").split())
    events = callback.events()
    assert [e["number"] for e in events] == sorted({e["number"] for e in events})
    assert [e["kid"] for e in events if e["event"] == "rotated"][:3] == kids
    assert [(e["event"], e["state"]) for e in events if e["kid"] == kids[-1]] == [
        ("rotated", "active"), ("compromised", "compromised")]
    assert {e["service"] for e in events} == {"s"} and {e["target"] for e in events} == {"notified"}


def test_a_group_server_and_a_reader_are_told_of_a_rekey(appliance, callback):
    subscribe(appliance, callback.url)
    other = Callback(appliance.directory)
    try:
        subscribe(appliance, other.url, who="gms-1")
        (appliance.directory / "group").write_text(json.dumps({"valServiceIds": ["s"], "members": [{"valUserId": "x"}, {"valUserId": "y"}]}))
        token = appliance.issuer.token(client_id="gms-1", scope="seal-x1")

        def put(members, *headers):
            (appliance.directory / "group").write_text(json.dumps({"valServiceIds": ["s"], "members": [{"valUserId": m} for m in members]}))
            return appliance.curl("/seal-x1/v1/groups/told", "-X", "PUT", "--data-binary", f"@{appliance.directory / 'group'}",
                                  who="gms-1", token=token, headers=["Content-Type: application/json", *headers])

        assert put("xy").status == 201
        changed = put("x", 'If-Match: "1"')
        assert changed.status == 200
        new = changed.json["keys"][0]["kid"]
        rotate(appliance, "no-group-key", 2)
        for server in (callback, other):
            wait_for(lambda: new in [e["kid"] for e in server.events() if e["event"] == "rekeyed"], "the rekey")
        assert {e["scope"] for e in other.events()} == {"group"}, "a group server reads group keys only"
        assert all(e["target"] == "told" for e in other.events())
    finally:
        other.close()


def test_failures_are_retried_until_the_target_takes_them(appliance, callback):
    subscribe(appliance, callback.url)
    callback.behave = 500
    (kid, *_rest) = rotate(appliance, "retried", 2)
    wait_for(lambda: callback.requests >= 3, "some tries")
    assert callback.told == []
    callback.behave = 200
    wait_for(lambda: callback.events(), "the events")
    assert callback.events()[0]["kid"] != "" and callback.events()[-1]["target"] == "retried"


def test_a_redirect_is_not_followed(appliance, callback):
    elsewhere = Callback(appliance.directory)
    try:
        callback.elsewhere = elsewhere.url
        callback.behave = "redirect"
        subscribe(appliance, callback.url)
        rotate(appliance, "redirected", 2)
        wait_for(lambda: callback.requests >= 2, "some tries")
        assert elsewhere.requests == 0
    finally:
        elsewhere.close()


def test_a_target_that_hangs_does_not_keep_others_waiting(appliance, callback):
    hanging = Callback(appliance.directory)
    hanging.behave = "hang"
    try:
        subscribe(appliance, hanging.url)
        subscribe(appliance, callback.url)
        rotate(appliance, "hung", 2)
        wait_for(lambda: callback.events(), "the other's events")
        assert hanging.told == []
        assert appliance.get().status == 200
    finally:
        hanging.close()


def test_a_target_of_another_ca_is_told_nothing(appliance):
    foreign = Authority(appliance.directory, "foreign-ca")
    foreign.issue("foreign", server=True)
    server = Callback(appliance.directory, "foreign")
    try:
        subscribe(appliance, server.url)  # pinned to our CA
        rotate(appliance, "foreign", 2)
        wait_for(lambda: "takes no notification" in appliance.log.read_text(), "the log")
        assert server.requests == 0
    finally:
        server.close()
        for row in appliance.ctl_json("subscription", "list")["subscriptions"]:
            appliance.ctl("subscription", "remove", row["id"])


def test_what_was_not_told_is_told_after_a_restart_and_given_up_when_too_old(fresh):
    fresh.settings = {"notify__first_retry_ms": 50, "notify__last_retry_ms": 100}
    fresh.write_config()
    fresh.ca.issue("callback", server=True)
    fresh.start().provision()
    callback = Callback(fresh.directory)
    callback.behave = 500
    try:
        subscribe(fresh, callback.url)
        kids = rotate(fresh, "kept", 2)
        wait_for(lambda: callback.requests >= 1, "a try")
        fresh.process.kill()
        fresh.process.wait()
        callback.behave = 200
        fresh.start()
        wait_for(lambda: kids[-1] in [e["kid"] for e in callback.events()], "the event after the restart")

        callback.behave = 500
        assert fresh.stop() == 0
        fresh.settings["notify__drop_after_s"] = 2
        fresh.write_config()
        fresh.start()
        rotate(fresh, "lost", 2)
        wait_for(lambda: fresh.ctl_json("subscription", "list")["subscriptions"][0]["behind"] == 0, "the drop")
        assert "is whole" in fresh.ctl("audit", "verify")
        import sqlite3
        with sqlite3.connect(f"file:{fresh.directory / 'skms.db'}?mode=ro", uri=True) as database:
            (reason,) = database.execute("SELECT reason FROM audit WHERE action = 'notification.drop' ORDER BY seq LIMIT 1").fetchone()
        assert "were not taken in time" in reason and "val-1" in reason
        callback.behave = 200
        rotate(fresh, "later", 2)
        wait_for(lambda: "later" in [e["target"] for e in callback.events()], "what came after")
        assert "lost" not in [e["target"] for e in callback.events()]
    finally:
        callback.close()
