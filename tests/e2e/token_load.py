"""Clients that open every key they get, and a token behind the fault module: for what is asked of a daemon whose token breaks."""

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from appliance import BIN, DEADLINE, ROOT, Appliance, wait_for

sys.path.append(str(ROOT / "tests/fault"))
from skms_fault import FaultError, FaultSocket  # noqa: E402: it stands beside the module that it speaks to

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
CLIENTS = 32
ANSWER_MS = 4000
# What a client waits beyond the deadline before the test calls it late: connection, TLS and a busy machine.
LATE_S = ANSWER_MS / 1000 + 6
RETURN_S = 5


class Load:
    """Clients that ask for the keys of users without pause, open each one, and remember what they saw."""

    def __init__(self, appliance):
        self.a = appliance
        self.private = serialization.load_pem_private_key((appliance.directory / "val-1.key").read_bytes(), None)
        self.context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
        self.context.load_cert_chain(appliance.directory / "val-1.pem", appliance.directory / "val-1.key")
        self.token = appliance.issuer.token(exp=int(time.time()) + 3000)
        self.known = {}  # kid → key
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.answers = []  # (when it ended, seconds it took, status)
        self.wrong = []
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def work(self, number):
        # Clients are on other machines: here they get what the daemon leaves.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        connection = None
        while not self.stop.is_set():
            begun = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection("localhost", self.a.port, context=self.context, timeout=60)
                status, close = self.ask(connection, f"u{number % 8}")
            except (OSError, http.client.HTTPException) as error:
                status, close = repr(error), True
            ended = time.monotonic()
            with self.lock:
                self.answers.append((ended, ended - begun, status))
            if close:
                connection.close()
                connection = None
            if status != 200:
                time.sleep(0.05)  # a client that is told to come back later does not come back at once

    def ask(self, connection, user):
        connection.request("GET", f"/ss-kir/v1/key-records?val-service-id=s&valUserId={user}", headers={"Authorization": "Bearer " + self.token})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            self.check(json.loads(json.loads(body)["keyInfo"])["keys"])
        elif answer.status != 503 or not int(answer.headers["Retry-After"]) > 0:
            self.wrong.append((answer.status, body[:200]))
        return answer.status, answer.will_close

    def check(self, keys):
        for key in keys:
            wrapped = base64.urlsafe_b64decode(key["wrapped"]["encryptedKey"] + "==")
            plain = self.private.decrypt(wrapped, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
            with self.lock:
                if self.known.setdefault(key["kid"], plain) != plain:
                    self.wrong.append(("another key under kid", key["kid"]))

    def served_after(self, moment):
        """Seconds from `moment` to the first key after it; None as long as there is none."""
        with self.lock:
            return next((ended - moment for ended, _, status in self.answers if status == 200 and ended > moment), None)

    def count(self, status):
        with self.lock:
            return sum(1 for *_, s in self.answers if s == status)


class Health:
    """/healthz asked all the time by a process of its own; `seen` is what it told at the end (tests/support/health_prober.cpp)."""

    def __init__(self, appliance):
        self.path = appliance.directory / "admin.sock"
        self.seen = None

    def __enter__(self):
        self.prober = subprocess.Popen([BIN / "skms_health_prober", self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        said, _ = self.prober.communicate(timeout=DEADLINE)
        self.seen = json.loads(said)

    def __str__(self):
        return ("healthz median {median:.1f} ms, 99 % {p99:.1f} ms, slowest {slowest:.0f} ms of {asked}; the prober itself was up to {late:.0f} ms "
                "late".format(**self.seen))


@contextlib.contextmanager
def behind_faults(directory, recorded=True, **settings):
    """A running appliance with eight users' keys, whose token breaks when it is told to; not `recorded`: its answers are not judged."""
    one = Appliance(directory, token__module=BIN.parent / "lib/libskms_fault.so", listen__answer_time_ms=ANSWER_MS, listen__max_connections=64,
                    limits__requests_per_second=100000, limits__burst=100000, **settings)
    one.prepare()
    if not recorded:
        one.recorded = lambda: one.environment
    one.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(directory / "fault.sock")})
    try:
        one.start().provision()
        for n in range(8):
            one.key(f"val-service-id=s&valUserId=u{n}")
        yield one
        assert one.stop() == 0, one.log.read_text()[-2000:]
    finally:
        if one.process is not None:
            one.process.kill()
            one.process.wait()


def try_order(appliance, command):
    """False for an accident that a module cannot have which is not initialised, as in the middle of a recovery."""
    try:
        with FaultSocket(appliance.directory / "fault.sock") as fault:
            fault.run(command)
        return True
    except FaultError as error:
        assert "C_Initialize" in str(error) or "nobody is logged in" in str(error), error
        return False


def order(appliance, *commands):
    for command in commands:
        wait_for(lambda command=command: try_order(appliance, command), command)


def counters(appliance):
    with FaultSocket(appliance.directory / "fault.sock") as fault:
        return fault.counters()
