"""Twice as much asked as can be answered, through the edge. Called by bench/run.py.

Capacity first: 64 connections that ask without pause. Then 512 connections ask at twice that rate, each at its times, and an answer's time
counts from when its request was due. Meanwhile /healthz is asked on the admin socket. Then half the capacity is asked, at once. In all of that the
benchmark's one certificate stands for many clients, so that a client's share is out of its way. Last it is one client that floods with 512 connections,
held to its share, while another one asks at a tenth of the capacity.
"""

import pathlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import tokens
from pools import DELIVER

CONNECTIONS = 512
SHARE = 32  # edge.concurrent_requests_per_client as it comes


def other(bench, capacity, seconds):
    return bench.load("/ss-kir/v1/key-records?val-service-id=t", 16, seconds, rate=capacity / 10, may_fail=True, who="val-2", client_id="val-2",
                      val_service_ids=["t"])


class HealthWatch:
    """Asks /healthz on the admin socket every 20 ms; how long each took, in milliseconds."""

    def __init__(self, path):
        self.path, self.times, self.ended, self.failure = str(path), [], threading.Event(), None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.ask()
        except (OSError, AssertionError) as failure:
            self.failure = failure

    def ask(self):
        while not self.ended.wait(0.02):
            began = time.monotonic()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(self.path)
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert b" 200 " in connection.recv(4096)
            self.times.append((time.monotonic() - began) * 1000)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.times.sort()
        assert self.failure is None, self.failure


def measure(bench_type, arguments, directory, numbers):
    bench = bench_type(arguments, tokens.SoftHsm, pathlib.Path(directory), edge=True)
    a = bench.appliance
    seconds = 2 if arguments.quick else 6
    a.settings = {**a.settings, "limits__waiting_requests": 64, "limits__max_wait_ms": 150, "limits__concurrent_requests": 32, "edge__log": "errors"}
    bench.start()
    a.start_edge()
    try:
        bench.load(DELIVER, 64, 1)
        capacity = bench.load(DELIVER, 64, seconds)["per_second"]
        with HealthWatch(a.directory / "admin.sock") as health:
            over = bench.load(DELIVER, CONNECTIONS, seconds, rate=2 * capacity, may_fail=True)
        after = bench.load(DELIVER, 64, 2, rate=capacity / 2)  # nothing is refused any more
        a.write_config(edge__concurrent_requests_per_client=SHARE)
        a.configure_edge()
        a.reload_edge()
        alone, beside = other(bench, capacity, seconds), None
        with ThreadPoolExecutor(1) as pool:
            flood = pool.submit(bench.load, DELIVER, CONNECTIONS, seconds + 5, rate=2 * capacity, may_fail=True)
            time.sleep(4)  # its handshakes, which are the machine's and not the queue's, are over
            beside = other(bench, capacity, seconds)
            flooding = flood.result()
        assert a.stop() == 0
    finally:
        a.stop_edge()
    assert set(over["statuses"]) <= {"200", "429", "503"}, over["statuses"]
    refused = sum(count for status, count in over["statuses"].items() if status != "200")
    numbers["overload_p99_ms"] = over["p99_us"] / 1000
    numbers["overload_goodput_ratio"] = over["per_second"] / capacity
    numbers["overload_health_p99_ms"] = health.times[int(len(health.times) * 0.99)]
    numbers["overload_health_worst_ms"] = health.times[-1]
    numbers["overload_recovery_p99_ms"] = after["p99_us"] / 1000
    print(f"capacity {capacity:.0f}/s; offered {2 * capacity:.0f}/s on {CONNECTIONS} connections: accepted {over['per_second']:.0f}/s "
          f"({numbers['overload_goodput_ratio']:.2f}), p50 {over['p50_us'] / 1000:.0f} ms, p99 {numbers['overload_p99_ms']:.0f} ms; "
          f"not accepted {refused}: {over['statuses']}")
    print(f"/healthz meanwhile: p99 {numbers['overload_health_p99_ms']:.1f} ms, worst {numbers['overload_health_worst_ms']:.1f} ms; "
          f"at half the capacity right after: p99 {numbers['overload_recovery_p99_ms']:.1f} ms, none refused\n")
    numbers["overload_other_p99_ms"] = beside["p99_us"] / 1000
    numbers["overload_other_refused"] = beside["failures"]
    print(f"one client that floods: {flooding['per_second']:.0f}/s, {flooding['statuses']}; another one meanwhile: {beside['statuses']}, "
          f"p99 {numbers['overload_other_p99_ms']:.1f} ms ({alone['p99_us'] / 1000:.1f} ms alone)\n")
