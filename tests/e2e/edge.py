"""An appliance behind HAProxy, as `skmsctl edge config` sets it up."""

import contextlib
import json
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time

from appliance import DEADLINE, Appliance, wait_for
from openapi import OURS, check

HAPROXY = "/usr/sbin/haproxy"


class Edge(Appliance):
    def __init__(self, directory, **settings):
        ours = {"listen__mode": "edge", "edge__user": pwd.getpwuid(os.getuid()).pw_name, "edge__socket": "edge.sock",
                "edge__ue_socket": "edge-ue.sock", "edge__connections_per_address": 20000, "edge__new_connections_per_address": 20000,
                "edge__requests_per_address": 100000, "edge__concurrent_requests_per_client": 20000, "edge__max_connections": 8000,
                "edge__log": "all", "edge__hard_stop_s": 5}
        super().__init__(directory, **{**ours, **settings})
        self.haproxy = None
        self.edge_log = directory / "haproxy.log"

    def configure_edge(self):
        return self.ctl("edge", "config", "--directory", self.directory / "edge")

    def start_edge(self):
        self.configure_edge()
        return self.spawn_edge()

    def spawn_edge(self):
        with open(self.edge_log, "ab") as log:
            self.haproxy = subprocess.Popen([HAPROXY, "-W", "-f", self.directory / "edge/haproxy.cfg"], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        wait_for(lambda: self.haproxy.poll() is not None or self.listens(), "HAProxy")
        assert self.haproxy.poll() is None, self.edge_log.read_text()
        return self

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def workers(self):
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.haproxy.pid)], capture_output=True, text=True, check=False).stdout
        return set(map(int, children.split()))

    def reload_edge(self):
        """What `systemctl reload skms-edge` does; returns when a new worker serves."""
        before = self.edge_log.stat().st_size
        self.haproxy.send_signal(signal.SIGUSR2)
        wait_for(lambda: b"Loading success" in self.edge_log.read_bytes()[before:], "the edge's new worker")

    def stop_edge(self):
        if self.haproxy is not None:
            self.haproxy.terminate()
            self.haproxy.wait(DEADLINE)
            self.haproxy = None


@contextlib.contextmanager
def ending(appliance):
    """At the end of a test neither daemon nor edge is left, and the daemon has ended well."""
    try:
        yield
        assert appliance.stop() in (0, None), appliance.log.read_text()[-4000:]
    finally:
        appliance.stop_edge()
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait(DEADLINE)


@contextlib.contextmanager
def running_edge(directory, **settings):
    appliance = Edge(pathlib.Path(directory), **settings).prepare()
    with ending(appliance):
        yield appliance.start().provision().start_edge()


def refused(answer, status):
    assert answer.status == status, (answer.status, answer.headers, answer.body)
    check(OURS, "/components/schemas/ProblemDetails", answer.problem)
    return answer.problem


def of_ue(appliance, **changes):
    return json.dumps({"version": "1.0.0", "skmsUri": appliance.ue_url, "serviceId": "p", "userId": "alice", "dateTime": int(time.time()), **changes})


def ask_ue(appliance, *arguments, text=None, headers=(), **options):
    token = appliance.issuer.token(client_id="sim-c", scope="skm", val_service_ids=["p"], val_user_id="alice")
    options = {"who": None, "url": appliance.ue_url, "token": token, **options}
    return appliance.curl("/skm/v1/key-request", "--data-binary", text or of_ue(appliance), *arguments,
                          headers=["Content-Type: application/json", *headers], **options)
