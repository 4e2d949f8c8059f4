"""Requests that nobody thought of, on every route and for every role. Whatever is sent: the answer conforms; it is never 5xx
but a stated 503; and key material goes to nobody who may not have it."""

import base64
import json
import ssl
import time
import urllib.parse

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from judge import judge

EXAMPLES = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False, database=None)
MATERIAL = ("encryptedKey", "encrypted_key", "ciphertext", '"k":', "wrappedKey")

text = st.text(max_size=40)
names = st.sampled_from(["s", "t", "nowhere", "u", "grouped", ""]) | text
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6)
targets = st.fixed_dictionaries({}, optional={"valUserId": names | values, "valUeId": names | values})


class World:
    """An appliance, a client for each role, and their tokens."""

    def __init__(self, appliance):
        self.appliance = appliance
        appliance.ctl("service", "add", "u", "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s",
                      "--delivery", "tls")
        appliance.ca.issue("gms")
        appliance.ctl("principal", "add", "gms", "--certificate", appliance.directory / "gms.pem", "--role", "group-server")
        appliance.ctl("service", "add", "grouped", "--scope", "user,group", "--reader", "val-1", "--group-server", "gms")
        self.ca_pem = (appliance.directory / "ca.pem").read_text()
        every = "ss-kir ss-kpp seal-x1 skms-events"
        issuer = appliance.issuer
        self.roles = {
            "val-1": (self.client("val-1"), issuer.token(client_id="val-1", scope=every, SKeyProv=True, exp=int(time.time()) + 3000)),
            "val-2": (self.client("val-2"), issuer.token(client_id="val-2", scope=every, exp=int(time.time()) + 3000)),
            "gms": (self.client("gms"), issuer.token(client_id="gms", scope=every, exp=int(time.time()) + 3000)),
            "tokenless": (self.client("val-1"), None),
            "wrong": (self.client("val-1"), issuer.token(client_id="val-2", scope=every)),
        }
        ue = issuer.token(client_id="c", scope="skm", val_user_id="alice", val_service_ids=["u"], exp=int(time.time()) + 3000)
        nobody = self.client(None)
        # KM-UU knows the token alone.
        self.ues = {"ue": (nobody, ue), "tokenless": (nobody, None), "val-1": self.roles["val-1"], "gms": self.roles["gms"],
                    "wrong": (nobody, issuer.token(client_id="c", scope="skm", val_user_id="bob", val_service_ids=["t"]))}

    def client(self, who):
        context = ssl.create_default_context(cafile=str(self.appliance.directory / "ca.pem"))
        if who:
            context.load_cert_chain(self.appliance.directory / f"{who}.pem", self.appliance.directory / f"{who}.key")
        return httpx.Client(verify=context, timeout=20, trust_env=False)

    def ask(self, role, method, path, *, params=None, content=None, headers=None, ue=False):
        client, token = (self.ues if ue else self.roles)[role]
        if role in ("tokenless",):
            token = None
        fields = {"Content-Type": "application/json", **(headers or {})}
        if token:
            fields["Authorization"] = f"Bearer {token}"
        root = self.appliance.ue_url if ue else self.appliance.url
        request = client.build_request(method, root + path, params=params, content=content, headers=fields)
        answer = client.send(request)
        judge(method, request.url.raw_path.decode(), answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.text)
        # 501 is TS 29.500 5.2.7.2's for a method that the API does not know.
        assert answer.status_code < 500 or (answer.status_code == 501 and method == "BREW") or (answer.status_code == 503 and answer.headers.get("retry-after")), answer.text
        return answer


@pytest.fixture(scope="module")
def world(shared):
    return World(shared)


def no_material(answer):
    assert not any(word in answer.text.replace('\\"', '"') for word in MATERIAL), answer.text


roles = st.sampled_from(["val-1", "val-2", "gms", "tokenless", "wrong"])
READERS = {"val-1": {"s", "u", "grouped"}, "val-2": {"t"}, "gms": set(), "tokenless": set(), "wrong": set()}


@EXAMPLES
@given(role=roles, service=names, form=st.sampled_from(["json", "exploded", "both", "none"]), target=targets, raw=text, more=st.dictionaries(text, text, max_size=2))
def test_retrieval(world, role, service, form, target, raw, more):
    params = {"val-service-id": service, **more}
    if form in ("json", "both"):
        params["val-tgt-ue"] = json.dumps(target) if target else raw
    if form in ("exploded", "both"):
        params |= {k: str(v) for k, v in target.items()}
    answer = world.ask(role, "GET", "/ss-kir/v1/key-records", params=params)
    if service not in READERS[role]:
        assert answer.status_code != 200
    if answer.status_code != 200:
        no_material(answer)
    elif "val-tgt-ue" in params or "valUserId" in params or "valUeId" in params:
        # A query for one user is never answered with the service's key.
        assert all(key["scope"] != "service" for key in json.loads(answer.json()["keyInfo"])["keys"])


payload = st.binary(max_size=50).map(lambda octets: base64.b64encode(octets).decode()) | text
kpp = st.fixed_dictionaries({}, optional={"skmcUri": st.just("https://a.test") | values, "valServiceId": names | values, "valTgtUe": targets | values,
                                          "payloadId": names | values, "payload": payload | values, "suppFeat": st.sampled_from(["0", "f1"]) | values})


@EXAMPLES
@given(role=roles, body=kpp | values)
def test_provisioning(world, role, body):
    answer = world.ask(role, "POST", "/ss-kpp/v1/request", content=json.dumps(body))
    no_material(answer)
    if role != "val-1":
        assert answer.status_code in (400, 401, 403, 404, 413)


@EXAMPLES
@given(body=st.binary(max_size=60), kind=st.sampled_from(["application/json", "text/plain", "application/json; charset=x", ""]), role=roles,
       path=st.sampled_from(["/ss-kpp/v1/request", "/skm/v1/key-provisioning", "/skms-events/v1/subscriptions", "/seal-x1/v1/groups/g"]),
       method=st.sampled_from(["POST", "PUT"]))
def test_any_octets(world, body, kind, role, path, method):
    answer = world.ask(role, method, path, content=body, headers={"Content-Type": kind} if kind else None)
    assert answer.status_code >= 400
    no_material(answer)


@EXAMPLES
@given(method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]),
       path=st.sampled_from(["/ss-kir/v1/key-records", "/ss-kpp/v1/request", "/.well-known/skms", "/", "/ss-kir", "/ss-kir/v2/key-records", "/admin/v1/status",
                             "/skm/v1/key-request", "//", "/%2e%2e/x"]))
def test_any_method_on_any_path(world, method, path):
    answer = world.ask("val-2", method, path)
    no_material(answer)


message = st.fixed_dictionaries(
    {}, optional={"version": st.just("1.0.0") | values, "skmsUri": st.just("ours") | values, "serviceId": names | values, "userId": st.just("alice") | names | values,
                  "deviceId": names | values, "clientId": names | values, "dateTime": st.just("now") | st.integers() | values, "recipientKey": values})


@EXAMPLES
@given(role=st.sampled_from(["ue", "tokenless", "val-1", "gms", "wrong"]), body=message | values, honest=st.booleans())
def test_km_uu(world, role, body, honest):
    if isinstance(body, dict):
        if body.get("dateTime") == "now" or honest:
            body["dateTime"] = int(time.time())
        if body.get("skmsUri") == "ours" or honest:
            body["skmsUri"] = world.appliance.ue_url
        if honest:
            body["version"] = "1.0.0"
            body["serviceId"] = "u"
    answer = world.ask(role, "POST", "/skm/v1/key-request", content=json.dumps(body), ue=True)
    if answer.status_code == 200:
        assert role == "ue" and answer.json()["serviceId"] == "u" and answer.json()["userId"] == "alice"
        assert all(key["target"] == "alice" for key in answer.json()["payload"]["keys"])
    else:
        no_material(answer)


@EXAMPLES
@given(role=roles, body=message | values, honest=st.booleans(), more=kpp)
def test_kp_request(world, role, body, honest, more):
    if isinstance(body, dict):
        body |= more | {"sValClientUri": more.get("skmcUri", "https://a.test")}
        if honest:
            body |= {"version": "1.0.0", "serviceId": "u", "skmsUri": world.appliance.url, "dateTime": int(time.time())}
    answer = world.ask(role, "POST", "/skm/v1/key-provisioning", content=json.dumps(body))
    no_material(answer)
    assert role == "val-1" or answer.status_code in (400, 401, 403, 404, 413)


group_ids = st.sampled_from(["g", "h", "none", "a b", "..", "%2f"]) | text.filter(bool)
group = st.fixed_dictionaries({}, optional={"valGroupId": group_ids | values, "valServiceIds": st.lists(names, max_size=3) | st.just(["grouped"]) | values,
                                            "members": st.lists(targets, max_size=4) | st.just([{"valUserId": "carol"}]) | values, "valGroupConf": values})


def path_of_group(group_id, rest=""):
    return "/seal-x1/v1/groups/" + urllib.parse.quote(group_id, safe="") + rest


@EXAMPLES
@given(role=roles, group_id=group_ids, body=group | values, method=st.sampled_from(["PUT", "PUT", "GET", "DELETE"]),
       tag=st.sampled_from([None, "*", '"1"', '"2"', "W/x"]), create=st.booleans())
def test_groups(world, role, group_id, body, method, tag, create):
    headers = ({"If-Match": tag} if tag else {}) | ({"If-None-Match": "*"} if create else {})
    answer = world.ask(role, method, path_of_group(group_id), content=json.dumps(body) if method == "PUT" else None, headers=headers)
    no_material(answer)
    assert role == "gms" or answer.status_code in (400, 401, 403, 404, 405, 413), (role, answer.text)


@EXAMPLES
@given(role=roles, group_id=group_ids, rest=st.sampled_from(["/key-records", "/rekey"]), tag=st.sampled_from([None, "*", '"1"']))
def test_keys_of_groups(world, role, group_id, rest, tag):
    headers = {"If-Match": tag} if tag else None
    answer = world.ask(role, "GET" if rest == "/key-records" else "POST", path_of_group(group_id, rest), headers=headers,
                       content=None if rest == "/key-records" else "{}")
    if role != "gms":
        assert answer.status_code in (400, 401, 403, 404, 405, 411)
        no_material(answer)


subscription = st.fixed_dictionaries({}, optional={
    "notificationDestination": st.sampled_from(["https://localhost:1/x", "http://localhost:1", "https://user@localhost:1", "https://", "x"]) | values,
    "caCertificates": st.just("ours") | values})


@EXAMPLES
@given(role=roles, body=subscription | values, method=st.sampled_from(["POST", "GET", "DELETE"]), name=st.just("0" * 24) | text.filter(bool))
def test_subscriptions(world, role, body, method, name):
    path = "/skms-events/v1/subscriptions"
    if isinstance(body, dict) and body.get("caCertificates") == "ours":
        body["caCertificates"] = world.ca_pem
    answer = world.ask(role, method, path if method == "POST" else path + "/" + urllib.parse.quote(name, safe=""),
                       content=json.dumps(body) if method == "POST" else None)
    no_material(answer)
    if role in ("tokenless", "wrong"):
        assert answer.status_code in (400, 401, 403, 404, 405)
    if answer.status_code == 201:  # a principal has a bounded number of them
        assert world.ask(role, "DELETE", path + "/" + answer.json()["subscriptionId"]).status_code == 204
