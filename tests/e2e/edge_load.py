"""Clients at the edge that count what goes wrong, and what they wait."""

import http.client
import ssl
import threading
import time

from appliance import wait_for

UNLIMITED = {"limits__requests_per_second": 100000, "limits__burst": 100000}


class Prober:
    """One client that is served all the time: how long each of its requests took, in seconds."""

    def __init__(self, appliance):
        self.appliance = appliance
        self.context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
        self.context.load_cert_chain(appliance.directory / "val-1.pem", appliance.directory / "val-1.key")
        self.fields = {"Authorization": "Bearer " + appliance.issuer.token()}

    def ask(self, connection):
        began = time.monotonic()
        connection.request("GET", "/ss-kir/v1/key-records?val-service-id=s", headers=self.fields)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return time.monotonic() - began

    def times(self, requests):
        found = []
        for new in (False, True):
            connection = None
            for _ in range(requests):
                if connection is None or new:
                    if connection is not None:
                        connection.close()
                    connection = http.client.HTTPSConnection("localhost", self.appliance.port, context=self.context, timeout=30)
                    connection.connect()
                found.append(self.ask(connection))
            connection.close()
        return sorted(found)


class Askers:
    """Clients that ask without pause, each on a connection of its own that it keeps as long as the server lets it."""

    def __init__(self, appliance, clients=4):
        self.stop = threading.Event()
        self.served = 0
        self.failed = []
        self.prober = Prober(appliance)
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def run(self):
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPSConnection("localhost", self.prober.appliance.port, context=self.prober.context, timeout=30)
                connection.request("GET", "/ss-kir/v1/key-records?val-service-id=s", headers=self.prober.fields)
                answer = connection.getresponse()
                answer.read()
                with self.lock:
                    self.served += 1
                    if answer.status != 200:
                        self.failed.append(answer.status)
                if answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.failed.append(repr(error))
                connection = None

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for(lambda: self.served > 50, "load")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()
