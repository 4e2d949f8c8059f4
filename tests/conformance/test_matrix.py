"""Who may do what: every role on every route for every selector, from one table; and key material only where it is 200."""

import base64
import itertools
import json
import subprocess
import time

import pytest

SERVICES = ("own", "shared", "foreign", "nowhere")
# own: reader and provisioner owner, UEs of sim-s, groups of gms. shared: readers owner and other. foreign: reader other.
ROLES = {
    "owner": "val-1, reader of own and shared, provisioner of own",
    "other": "val-2, reader of shared and foreign",
    "gms": "a group management server of own",
    "stranger": "a certificate of our CA that is not enrolled, with a good token",
    "thief": "val-1's certificate with val-2's token",
    "tokenless": "val-1's certificate without a token",
    "ue": "no certificate; alice's token for own and shared",
    "nobody": "neither certificate nor token",
}
ROUTES = {
    "retrieve": "GET /ss-kir/v1/key-records",
    "retrieve-user": "GET /ss-kir/v1/key-records, of alice",
    "provision": "POST /ss-kpp/v1/request",
    "kp": "POST /skm/v1/key-provisioning",
    "group": "GET /seal-x1/v1/groups/{id}/key-records",
    "subscribe": "GET /skms-events/v1/subscriptions",
    "ue-user": "POST /skm/v1/key-request, of alice",
    "ue-bob": "POST /skm/v1/key-request, of bob",
    "ue-service": "POST /skm/v1/key-request, of the service",
}
UE_ROUTES = ("ue-user", "ue-bob", "ue-service")
NO_CONNECTION = 0


def expected(role, route, service):
    """The table, as rules from the most general to the most special."""
    if route in UE_ROUTES:
        # KM-UU looks at the token alone: without scope skm it is 403, without any 401.
        if role in ("tokenless", "nobody"):
            return 401
        if role != "ue":
            return 403
        if service != "own":
            return 404  # not for UEs, or not in the token
        return 200 if route == "ue-user" else 403
    if role in ("ue", "nobody"):
        return NO_CONNECTION
    if role == "tokenless":
        return 401
    if role in ("stranger", "thief"):
        return 403
    if route == "subscribe":
        return 200
    if route == "group":
        return {"gms": 200}.get(role, 403)
    readers = {"own": ["owner"], "shared": ["owner", "other"], "foreign": ["other"], "nowhere": []}[service]
    if route in ("retrieve", "retrieve-user"):
        return 200 if role in readers else 404
    if role == "owner" and service == "own":
        return 200
    return 403 if role in readers else 404


@pytest.fixture(scope="module")
def world(shared):
    shared.ca.issue("gms")
    shared.ca.issue("stranger")
    shared.ctl("principal", "add", "gms", "--certificate", shared.directory / "gms.pem", "--role", "group-server")
    shared.ctl("service", "add", "own", "--scope", "service,user,group", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s",
               "--group-server", "gms")
    shared.ctl("service", "add", "shared", "--scope", "service,user", "--reader", "val-1", "--reader", "val-2")
    shared.ctl("service", "add", "foreign", "--scope", "service,user", "--reader", "val-2")
    key = shared.directory / "ue.pub"
    subprocess.run(["openssl", "x509", "-in", shared.directory / "stranger.pem", "-pubkey", "-noout"], check=True, stdout=key.open("wb"))
    shared.ctl("recipient", "add", "alice", "--user", "alice", "--public-key", key)
    group = {"valServiceIds": ["own"], "members": [{"valUserId": "carol"}]}
    put = send(shared, "/seal-x1/v1/groups/g", group, "PUT", "gms", token_of(shared, "gms"))
    assert put.status == 201, put.body
    return shared


def token_of(appliance, role):
    every = "ss-kir ss-kpp seal-x1 skms-events"
    client = {"owner": "val-1", "other": "val-2", "gms": "gms", "stranger": "stranger", "thief": "val-2"}.get(role)
    if role == "ue":
        return appliance.issuer.token(client_id="sim-c", scope="skm", val_user_id="alice", val_service_ids=["own", "shared"])
    return appliance.issuer.token(client_id=client, scope=every, SKeyProv=True) if client else None


def send(appliance, path, body, method, who, token, url=None):
    (appliance.directory / "sent").write_text(json.dumps(body))
    return appliance.curl(path, "--request", method, "--data-binary", f"@{appliance.directory / 'sent'}", who=who, token=token, url=url,
                          headers=["Content-Type: application/json"])


def ask(appliance, role, route, service):
    who = {"owner": "val-1", "other": "val-2", "gms": "gms", "stranger": "stranger", "thief": "val-1", "tokenless": "val-1"}.get(role)
    token = token_of(appliance, role)
    if route.startswith("retrieve"):
        user = "&valUserId=alice" if route == "retrieve-user" else ""
        return appliance.get(f"val-service-id={service}{user}", who=who, token=token)
    if route == "group":
        return appliance.curl("/seal-x1/v1/groups/g/key-records", who=who, token=token)
    if route == "subscribe":
        return appliance.curl("/skms-events/v1/subscriptions", who=who, token=token)
    payload = base64.b64encode(b"payload").decode()
    if route == "provision":
        return send(appliance, "/ss-kpp/v1/request", {"skmcUri": "https://a", "valServiceId": service, "payload": payload}, "POST", who, token)
    message = {"version": "1.0.0", "serviceId": service, "dateTime": int(time.time())}
    if route == "kp":
        message |= {"skmsUri": appliance.url, "sValClientUri": "https://a", "payload": payload}
        return send(appliance, "/skm/v1/key-provisioning", message, "POST", who, token)
    message |= {"skmsUri": appliance.ue_url} | {"ue-user": {"userId": "alice"}, "ue-bob": {"userId": "bob"}, "ue-service": {}}[route]
    return send(appliance, "/skm/v1/key-request", message, "POST", who, token, url=appliance.ue_url)


@pytest.mark.parametrize("role,route", itertools.product(ROLES, ROUTES))
def test_every_cell(world, role, route):
    for service in SERVICES:
        answer = ask(world, role, route, service)
        assert answer.status == expected(role, route, service), (service, answer.status, answer.body)
        if answer.status not in (200, 201):
            for word in ("encryptedKey", "ciphertext", '"k"', "keyInfo"):
                assert word not in answer.body


def test_the_table_says_yes_and_no_for_every_role_and_route():
    cells = {cell: expected(*cell) for cell in itertools.product(ROLES, ROUTES, SERVICES)}
    assert len(cells) == len(ROLES) * len(ROUTES) * len(SERVICES)
    for route in ROUTES:
        if route not in ("ue-bob", "ue-service"):
            assert any(status == 200 for (_, r, _), status in cells.items() if r == route), route
    assert {0, 200, 401, 403, 404} == set(cells.values())
