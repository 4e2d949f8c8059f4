"""Requests that nobody thought of, on every route and for every role. Whatever is sent: the answer conforms; it is never 5xx
but a stated 503; and key material goes to nobody who may not have it."""

import base64
import json
import ssl
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from judge import judge

EXAMPLES = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False, database=None)
MATERIAL = ("encryptedKey", "encrypted_key", "ciphertext", '"k":', "wrappedKey")

text = st.text(max_size=40)
names = st.sampled_from(["s", "t", "nowhere", "u", ""]) | text
values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6)
targets = st.fixed_dictionaries({}, optional={"valUserId": names | values, "valUeId": names | values})


class World:
    """An appliance, a client for each role, and their tokens."""

    def __init__(self, appliance):
        self.appliance = appliance
        appliance.ctl("service", "add", "u", "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s",
                      "--delivery", "tls")
        every = "ss-kir ss-kpp seal-x1 skms-events"
        issuer = appliance.issuer
        self.roles = {
            "val-1": (self.client("val-1"), issuer.token(client_id="val-1", scope=every, SKeyProv=True, exp=int(time.time()) + 3000)),
            "val-2": (self.client("val-2"), issuer.token(client_id="val-2", scope=every, exp=int(time.time()) + 3000)),
            "tokenless": (self.client("val-1"), None),
            "wrong": (self.client("val-1"), issuer.token(client_id="val-2", scope=every)),
        }
        self.ue = (self.client(None), issuer.token(client_id="c", scope="skm", val_user_id="alice", val_service_ids=["u"], exp=int(time.time()) + 3000))

    def client(self, who):
        context = ssl.create_default_context(cafile=str(self.appliance.directory / "ca.pem"))
        if who:
            context.load_cert_chain(self.appliance.directory / f"{who}.pem", self.appliance.directory / f"{who}.key")
        return httpx.Client(verify=context, timeout=20, trust_env=False)

    def ask(self, role, method, path, *, params=None, content=None, headers=None, ue=False):
        client, token = self.ue if ue else self.roles[role]
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


roles = st.sampled_from(["val-1", "val-2", "tokenless", "wrong"])
READERS = {"val-1": {"s", "u"}, "val-2": {"t"}, "tokenless": set(), "wrong": set()}


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
@given(body=message | values, honest=st.booleans())
def test_km_uu(world, body, honest):
    if isinstance(body, dict):
        if body.get("dateTime") == "now" or honest:
            body["dateTime"] = int(time.time())
        if body.get("skmsUri") == "ours" or honest:
            body["skmsUri"] = world.appliance.ue_url
        if honest:
            body["version"] = "1.0.0"
            body["serviceId"] = "u"
    answer = world.ask("ue", "POST", "/skm/v1/key-request", content=json.dumps(body), ue=True)
    if answer.status_code == 200:
        assert answer.json()["serviceId"] == "u" and answer.json()["userId"] == "alice"
        assert all(key["target"] == "alice" for key in answer.json()["payload"]["keys"])
    else:
        no_material(answer)
