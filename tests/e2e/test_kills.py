"""kill -9 at any moment: nothing that was acknowledged is lost, and nothing is there twice."""

import http.client
import json
import os
import random
import socket
import sqlite3
import ssl
import threading
import time

from appliance import wait_for
from callback import Callback

KILLS = int(os.environ.get("SKMS_KILLS", "200"))
SEED = 20261126


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Clients:
    """What VAL server, group server and administrator ask for without pause, and what was acknowledged."""

    def __init__(self, appliance):
        self.a = appliance
        self.keys = {}  # user -> kid of version 1
        self.rotated = []  # kids that were made by rotation, in order
        self.group = (0, [])  # revision and members of the last acknowledged change
        self.group_kids = set()
        self.tried_groups = []
        self.next_user = 0
        self.stop = threading.Event()

    def tls(self, who):
        context = ssl.create_default_context(cafile=self.a.directory / "ca.pem")
        context.load_cert_chain(self.a.directory / f"{who}.pem", self.a.directory / f"{who}.key")
        # By address: a machine may not know the name, and the client would look as if the daemon were gone.
        return http.client.HTTPSConnection("127.0.0.1", self.a.port, context=context, timeout=20)

    def ask(self, connection, method, path, body=None, headers=None):
        connection.request(method, path, body, {"Host": f"localhost:{self.a.port}", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")

    def create(self):
        connection = self.tls("val-1")
        authorization = {"Authorization": "Bearer " + self.a.issuer.token()}
        while not self.stop.is_set():
            user = f"u{self.next_user}"
            self.next_user += 1
            status, _, body = self.ask(connection, "GET", f"/ss-kir/v1/key-records?val-service-id=s&valUserId={user}", headers=authorization)
            assert status == 200, body
            self.keys[user] = json.loads(body["keyInfo"])["keys"][0]["kid"]

    def rotate(self):
        connection = UnixConnection(self.a.directory / "admin.sock")
        while not self.stop.is_set():
            status, _, body = self.ask(connection, "POST", "/admin/v1/keys/rotate", json.dumps({"service": "s", "userId": "rotated"}),
                                       {"Content-Type": "application/json"})
            assert status == 201, body
            self.rotated.append(body["kid"])

    def change_group(self):
        connection = self.tls("gms-1")
        token = self.a.issuer.token(client_id="gms-1", scope="seal-x1")
        while not self.stop.is_set():
            revision, members = self.group
            wanted = [f"m{n}" for n in range(10) if random.random() < 0.5] or ["m0"]
            if wanted == members:
                continue
            self.tried_groups.append(wanted)
            headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
            if revision:
                headers["If-Match"] = f'"{revision}"'
            body = json.dumps({"valServiceIds": ["s"], "members": [{"valUserId": m} for m in wanted]})
            status, fields, answer = self.ask(connection, "PUT", "/seal-x1/v1/groups/g", body, headers)
            assert status in (200, 201), answer
            self.group = (int(fields["ETag"].strip('"')), wanted)
            self.group_kids.update(key["kid"] for key in answer["keys"])

    def run(self, seconds, kill):
        """All three until the daemon is killed under them."""
        self.stop.clear()
        wrong = []

        def guarded(work):
            try:
                work()
            except (ConnectionError, ssl.SSLError, http.client.HTTPException, json.JSONDecodeError):
                pass  # the daemon is gone
            except (AssertionError, OSError) as error:
                wrong.append(error)

        threads = [threading.Thread(target=guarded, args=(work,)) for work in (self.create, self.rotate, self.change_group)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)  # the moment of the kill is the test's subject, not a wait for something
        kill()
        self.stop.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong


def check_database(a, clients):
    with sqlite3.connect(f"file:{a.directory / 'skms.db'}?mode=ro", uri=True) as database:
        twice = database.execute(
            "SELECT service, target_kind, target, version FROM key_versions GROUP BY 1, 2, 3, 4 HAVING count(*) > 1").fetchall()
        assert not twice
        kids = {kid for (kid,) in database.execute("SELECT kid FROM key_versions")}
        assert set(clients.keys.values()) <= kids, "an acknowledged key is gone"
        assert set(clients.rotated) <= kids, "an acknowledged rotation is gone"
        assert clients.group_kids <= kids, "an acknowledged rekey is gone"
        first = dict(database.execute("SELECT target, kid FROM key_versions WHERE target_kind = 'user' AND version = 1"))
        assert all(first[user] == kid for user, kid in clients.keys.items())
        for (target, active) in database.execute(
                "SELECT target, count(*) FROM key_versions WHERE state = 'active' AND superseded = 0 GROUP BY service, target_kind, target"):
            assert active == 1, target


def check_notifications(a, clients, callback):
    """However often the teller died: everything is told, and an event comes first after all earlier ones."""
    begun = time.monotonic()
    a.ctl("service", "set", "s", "--crypto-period", "0")
    wait_for(lambda: a.ctl_json("subscription", "list")["subscriptions"][0]["behind"] == 0, "the last notifications")
    callback.close()
    print(f"{len(callback.events())} events in {len(callback.told)} notifications, {time.monotonic() - begun:.0f} s to the last")
    events = callback.events()
    told = {e["kid"] for e in events if e["event"] in ("rotated", "activated", "rekeyed")}
    with sqlite3.connect(f"file:{a.directory / 'skms.db'}?mode=ro", uri=True) as database:  # a first version is no rotation
        first = {kid for (kid,) in database.execute("SELECT kid FROM key_versions WHERE version = 1")}
    assert set(clients.rotated) - first - told == set(), "an acknowledged rotation was not told"
    # A kill before the confirmation repeats a batch.
    seen = [0]
    for number in (e["number"] for e in events):
        if number > seen[-1]:
            seen.append(number)
    assert sorted({0, *(e["number"] for e in events)}) == seen, "an event came for the first time after a later one"
    # The subscriber may read everything that happens here, so that no number may be missing.
    assert seen[1:] == list(range(seen[1], seen[-1] + 1)), "an event was never told"
    assert clients.group_kids - first - told == set(), "an acknowledged rekey was not told"


def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(fresh):
    print(f"seed {SEED}, {KILLS} kills")
    random.seed(SEED)
    fresh.write_config(limits__requests_per_second=100000, limits__burst=100000)
    fresh.start().provision()
    fresh.ca.issue("gms-1")
    fresh.ctl("principal", "add", "gms-1", "--certificate", fresh.directory / "gms-1.pem", "--role", "group-server")
    # A period of seconds, so that the scheduler is at work too.
    fresh.ctl("service", "set", "s", "--scope", "service,user,group", "--add-group-server", "gms-1", "--crypto-period", "3s",
              "--overlap", "1s", "--make-ahead", "1s")
    fresh.ca.issue("callback", server=True)
    callback = Callback(fresh.directory)
    (fresh.directory / "subscription").write_text(
        json.dumps({"notificationDestination": callback.url, "caCertificates": fresh.ca.path.read_text()}))
    answer = fresh.curl("/skms-events/v1/subscriptions", "--data-binary", f"@{fresh.directory / 'subscription'}",
                        token=fresh.issuer.token(scope="skms-events"), headers=["Content-Type: application/json"])
    assert answer.status == 201, answer.body
    clients = Clients(fresh)

    def kill():
        fresh.process.kill()
        fresh.process.wait()

    for n in range(KILLS):
        clients.run(random.uniform(0.02, 0.35), kill)
        fresh.start()
        check_database(fresh, clients)
        # The group is what the last acknowledged change made it, or what a later one that nobody heard of did.
        revision, members = clients.group
        if revision:
            shown = fresh.ctl_json("group", "show", "g")
            present = sorted(m["id"] for m in shown["members"])
            assert shown["revision"] in (revision, revision + 1)
            assert present == sorted(members) if shown["revision"] == revision else present == sorted(clients.tried_groups[-1])
            clients.group = (shown["revision"], [m for m in (f"m{i}" for i in range(10)) if m in present])
    assert "is whole" in fresh.ctl("audit", "verify")
    check_notifications(fresh, clients, callback)
    # Enough happened between the kills, on however slow a machine.
    assert min(len(clients.keys), len(clients.rotated), len(clients.group_kids)) > KILLS // 4
    assert fresh.stop() == 0
