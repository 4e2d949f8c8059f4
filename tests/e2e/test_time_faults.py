"""Time that goes wrong: the clock leaps under a running server, and a client's certificate runs out on a connection that it keeps."""

import contextlib
import datetime
import http.client
import pathlib
import ssl
import time

import pytest

from appliance import Appliance, running, wait_for
from edge import running_edge
from several_tokens import ended

FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
HOUR = 3600


class Leaping(Appliance):
    """Its wall clock is moved by what a file says; the monotonic one goes on, as the kernel's does."""

    def __init__(self, directory, **settings):
        super().__init__(directory, **settings)
        self.offset = directory / "offset"
        self.leap(0)

    def leap(self, seconds):
        draft = self.offset.with_suffix(".draft")
        draft.write_text(f"{seconds:+d}\n")
        draft.rename(self.offset)

    def recorded(self):
        environment = super().recorded()
        return {**environment, "LD_PRELOAD": f"{environment['LD_PRELOAD']} {FAKETIME}", "FAKETIME_TIMESTAMP_FILE": str(self.offset),
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_a_clock_that_leaps_ends_no_key_and_stops_no_delivery(tmp_path):
    appliance = Leaping(tmp_path, rotation__hold_clock_step_s=HOUR)
    appliance.prepare()
    with ended(appliance.start().provision()):
        token = appliance.issuer.token(exp=int(time.time()) + 48 * HOUR)
        appliance.ctl("service", "set", "s", "--crypto-period", "2h", "--overlap", "10m")
        key = appliance.key(token=token)
        kid = key["kid"]
        assert key["exp"] < time.time() + 3 * HOUR  # long before that to which the clock leaps

        def state():
            status = appliance.ctl_json("status")
            return status["state"], " ".join(status["reasons"])

        def current():
            return appliance.key(token=token)["kid"]

        appliance.leap(10 * HOUR)
        wait_for(lambda: state()[0] == "degraded", "the leap being seen")
        assert "rotation is held" in state()[1]
        for _ in range(20):
            assert current() == kid
        assert appliance.get(token=appliance.issuer.token()).status == 401  # what it vouched for has run out by this clock
        appliance.leap(0)
        wait_for(lambda: state()[0] == "operational", "the clock being right again")
        assert current() == kid
        appliance.leap(-10 * HOUR)
        for _ in range(20):
            assert current() == kid
        appliance.leap(0)
        wait_for(lambda: state()[0] == "operational", "the clock being right again")
        [version] = [v for v in appliance.ctl_json("key", "list", "--service", "s")["keys"] if v["kid"] == kid]
        assert version["state"] == "active"
        assert appliance.ctl_json("audit", "verify")["whole"]


@contextlib.contextmanager
def at(kind, directory):
    with (running_edge if kind == "edge" else running)(directory) as appliance:
        yield appliance


@pytest.mark.parametrize("kind", ["direct", "edge"])
def test_a_certificate_that_runs_out_on_a_kept_connection_is_refused_from_then_on(tmp_path, kind):
    with at(kind, tmp_path) as appliance:
        end = datetime.datetime.utcnow().replace(microsecond=0) + datetime.timedelta(seconds=6)
        appliance.ca.issue("short", ends=end)
        appliance.ctl("principal", "add", "short", "--certificate", appliance.directory / "short.pem", "--role", "val-server")
        appliance.ctl("service", "set", "s", "--add-reader", "short")
        context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
        context.load_cert_chain(appliance.directory / "short.pem", appliance.directory / "short.key")
        connection = http.client.HTTPSConnection("localhost", appliance.port, context=context, timeout=30)
        fields = {"Authorization": "Bearer " + appliance.issuer.token(client_id="short")}

        def ask():
            connection.request("GET", "/ss-kir/v1/key-records?val-service-id=s", headers=fields)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert ask() == 200
        kept = connection.sock
        wait_for(lambda: ask() != 200, "the end of the certificate")
        assert datetime.datetime.utcnow() >= end
        assert ask() in (401, 403) and connection.sock is kept
        connection.close()
        assert appliance.get(who="short").status == 0
        assert appliance.get().status == 200
