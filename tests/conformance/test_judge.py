"""The judge itself: what it lets pass, and each thing it must not."""

import json

import pytest

from judge import OFFICIAL, Verdict, judge

JSON = {"content-type": "application/json", "cache-control": "no-store"}
PROBLEM = {"content-type": "application/problem+json"}
GOOD = {"userUri": "sip:a@b", "skmsId": "k", "valService": "s", "keyInfo": "{}"}
KIR = "/ss-kir/v1/key-records?val-service-id=s"


def problem(status, **members):
    return json.dumps({"status": status, "title": "t", **members})


def test_what_the_file_says_passes():
    judge("GET", KIR, 200, JSON, json.dumps(GOOD))
    judge("GET", KIR, 304, {}, "")
    judge("GET", KIR, 404, PROBLEM, problem(404, errorCode="02"))
    judge("POST", KIR, 405, {**PROBLEM, "allow": "GET"}, problem(405))
    judge("GET", "/nowhere", 404, PROBLEM, problem(404))


@pytest.mark.parametrize(
    "status,headers,body",
    [
        (200, JSON, json.dumps({**GOOD, "extra": 1})),
        (200, JSON, json.dumps({k: v for k, v in GOOD.items() if k != "keyInfo"})),
        (200, JSON, json.dumps({**GOOD, "keyInfo": 7})),
        (200, {"content-type": "text/html"}, json.dumps(GOOD)),
        (200, {}, json.dumps(GOOD)),
        (200, JSON, "not json"),
        (201, JSON, json.dumps(GOOD)),
        (409, PROBLEM, problem(409)),
        (404, JSON, problem(404)),
        (404, PROBLEM, problem(400)),
        (404, PROBLEM, problem(404, errorCode="05")),
        (401, PROBLEM, problem(401)),
        (429, {**PROBLEM, "retry-after": "soon"}, problem(429)),
        (304, {}, "something"),
        (500, {"content-type": "text/plain"}, "boom"),
    ],
)
def test_what_it_does_not_say_fails(status, headers, body):
    with pytest.raises(Verdict):
        judge("GET", KIR, status, headers, body)


def test_a_success_where_nothing_is_documented_fails():
    with pytest.raises(Verdict):
        judge("GET", "/nowhere", 200, JSON, "{}")
    with pytest.raises(Verdict):
        judge("DELETE", KIR, 200, JSON, "{}")


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="3GPP's files are not at hand")
def test_3gpps_own_file_is_asked_too():
    judge("GET", KIR, 200, JSON, json.dumps({**GOOD, "valTgtUe": {"valUserId": "u"}}))
    with pytest.raises(Verdict):
        judge("GET", KIR, 200, JSON, json.dumps({**GOOD, "valTgtUe": {"valUserId": "u", "valUeId": "e"}}))
