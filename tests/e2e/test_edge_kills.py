"""kill -9 of daemon, edge or one of the edge's workers, at any moment under load: what was acknowledged is there, and service comes back."""

import contextlib
import http.client
import json
import os
import random
import signal
import ssl
import threading
import time
import urllib.parse

from appliance import wait_for
from edge import running_edge
from edge_load import UNLIMITED

KILLS = int(os.environ.get("SKMS_KILLS", "200"))
SEED = 20261128


class Askers:
    """Clients that make keys and ask for those they have, through failures, and judge each answer that comes."""

    def __init__(self, appliance, clients=4):
        self.appliance = appliance
        self.context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
        self.context.load_cert_chain(appliance.directory / "val-1.pem", appliance.directory / "val-1.key")
        self.fields = {"Authorization": "Bearer " + appliance.issuer.token()}
        self.kids = {}  # user → kid that was acknowledged
        self.broken = 0
        self.wrong = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(clients)]

    def run(self, client):
        connection, made, random_of_client = None, 0, random.Random(SEED + client)
        while not self.stop.is_set():
            new = made == 0 or random_of_client.random() < 0.3
            user = f"c{client}-{made if new else random_of_client.randrange(made)}"
            try:
                connection = connection or self.connect()
                answer, body = self.ask(connection, user)
                if answer.status == 200:
                    made += new
                    self.judge(user, body)
                elif answer.status == 502:  # the daemon was killed while it answered: whether it did what was asked is not known
                    self.broken += 1
                elif answer.status == 503:
                    time.sleep(0.01)
                else:
                    self.wrong.append((user, answer.status, body))
                if answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException):
                self.broken += 1
                connection = None
                time.sleep(0.01)
            except (ValueError, KeyError) as error:
                self.wrong.append((user, error))
                connection = None

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.appliance.port, context=self.context, timeout=20)

    def ask(self, connection, user):
        connection.request("GET", "/ss-kir/v1/key-records?" + urllib.parse.urlencode({"val-service-id": "s", "valUserId": user}),
                           headers={"Host": f"localhost:{self.appliance.port}", **self.fields})
        answer = connection.getresponse()
        return answer, answer.read()

    def judge(self, user, body):
        key = json.loads(json.loads(body)["keyInfo"])["keys"][0]
        if key["target"] != user or self.kids.setdefault(user, key["kid"]) != key["kid"]:
            self.wrong.append((user, key["kid"], self.kids[user]))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: len(self.kids) > 20, "load")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def kill_daemon(appliance):
    appliance.process.kill()
    appliance.process.wait()
    appliance.start()


def end_edge(appliance, workers):
    """What a service manager does with a unit whose main process has ended: the rest of it goes, and it is started anew."""
    appliance.haproxy.wait()
    for worker in workers:
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            pass
    appliance.spawn_edge()


def kill_edge(appliance):
    workers = appliance.workers()
    appliance.haproxy.kill()
    end_edge(appliance, workers)


def kill_worker(appliance):
    workers = appliance.workers()
    os.kill(min(workers), signal.SIGKILL)
    # The master ends with a worker that died by itself.
    end_edge(appliance, workers)


def test_whoever_is_killed_nothing_acknowledged_is_lost_and_service_comes_back(tmp_path):
    print(f"\nseed {SEED}, {KILLS} kills")
    chosen = random.Random(SEED)
    longest = 0.0
    with running_edge(tmp_path, **UNLIMITED) as appliance:
        with Askers(appliance) as load:
            for _ in range(KILLS):
                time.sleep(chosen.uniform(0.02, 0.3))  # the moment is the test's subject, not a wait for something
                chosen.choice([kill_daemon, kill_edge, kill_worker])(appliance)
                began, known = time.monotonic(), len(load.kids)
                wait_for(lambda known=known: len(load.kids) > known, "a new key after the kill")
                longest = max(longest, time.monotonic() - began)
        print(f"{len(load.kids)} keys, {load.broken} requests broken off, {longest:.2f} s at most from a start to a new key")
        assert load.wrong == []
        with contextlib.closing(load.connect()) as connection:
            for user in list(load.kids):
                answer, body = load.ask(connection, user)
                assert answer.status == 200, (user, body)
                load.judge(user, body)
        assert load.wrong == []
        assert appliance.ctl_json("audit", "verify")["whole"]
