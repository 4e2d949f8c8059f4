"""skmsd with its answers in memory beside its own transport, which answers fixed octets. Called by bench/run.py.

By turns on the same port with the same certificates, so that the machine's moods meet both: `ROUNDS` times the bare transport
(bench/bare_transport.cpp) and then skmsd; the ratio is of what both did in all rounds.
"""

import contextlib
import os
import subprocess

from pools import DELIVER

CONNECTIONS = (1, 16, 64)
ROUNDS = 3
CACHE_BYTES = 64 << 20


class BareTransport:
    """The program in place of the daemon, on the daemon's port."""

    def __init__(self, bench, path, body, edge_socket=None, **environment):
        a = bench.appliance
        (a.directory / "answer.json").write_bytes(body)
        self.port = 0 if edge_socket else a.port
        self.environment = {**os.environ, **environment}
        place = ["--edge-socket", edge_socket] if edge_socket else [
            "--certificate", a.directory / "server.pem", "--key", a.directory / "server.key", "--client-ca", a.directory / "ca.pem", "--port", a.port]
        self.command = [bench.bin / "skms_bench_bare_transport", *place, "--path", path, "--body-file", a.directory / "answer.json"]

    def __enter__(self):
        self.process = subprocess.Popen([str(part) for part in self.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=self.environment)
        assert self.process.stdout.readline() == f"{self.port}\n"
        return self

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        if kind is not None:
            self.process.kill()
        code = self.process.wait(60)
        assert kind is not None or code == 0, code


class Sum:
    """What one of the two did in all rounds."""

    def __init__(self):
        self.operations = self.seconds = self.cpu = 0
        self.p50 = []
        self.p99 = []

    def add(self, result):
        self.operations += result["operations"]
        self.seconds += result["operations"] / result["per_second"]
        self.cpu += result["cpu_us"] * result["operations"]
        self.p50.append(result["p50_us"])
        self.p99.append(result["p99_us"])

    def result(self):
        return {"per_second": self.operations / self.seconds, "p50_us": sorted(self.p50)[len(self.p50) // 2],
                "p99_us": sorted(self.p99)[len(self.p99) // 2], "cpu_us": self.cpu / self.operations}


def compare(bench, row, numbers, name, body, as_bare, as_skmsd, **load):
    """By turns: `as_bare` and `as_skmsd` are context managers within which one of them serves; the first gives the process that does."""
    sums = {(which, connections): Sum() for which in ("bare", "skmsd") for connections in CONNECTIONS}
    for _ in range(ROUNDS):
        with as_bare() as bare:
            for connections in CONNECTIONS:
                sums["bare", connections].add(bench.load(DELIVER, connections, pid=bare.pid, **load))
        with as_skmsd():
            bench.load(DELIVER, 1, 0.2, **load)
            for connections in CONNECTIONS:
                sums["skmsd", connections].add(bench.load(DELIVER, connections, **load))
    print(f"{'what':<34} {'per s':>9} {'p50 us':>9} {'p99 us':>9} {'CPU us':>9} {'ratio':>9}")
    for connections in CONNECTIONS:
        bare, ours = sums["bare", connections].result(), sums["skmsd", connections].result()
        row(f"bare transport, {connections} connections", bare)
        ratio = ours["per_second"] / bare["per_second"]
        row(f"skmsd deliver, cached, {connections}", ours, ratio)
        numbers[f"{name}_{connections}_ratio"] = ratio
        numbers[f"{name}_{connections}_p99_ratio"] = ours["p99_us"] / bare["p99_us"]
        numbers[f"{name}_{connections}_cpu_us_over_bare"] = ours["cpu_us"] - bare["cpu_us"]
    numbers[f"{name}_ratio"] = min(numbers[f"{name}_{connections}_ratio"] for connections in CONNECTIONS)
    print(f"  answer of {len(body)} octets\n")


def answer(bench):
    """Path and body of the answer that both give; skmsd runs."""
    path, _, query = DELIVER.partition("?")
    got = bench.appliance.get(query)
    assert got.status == 200, got.body
    return path, got.body.encode()


def direct(bench, row, numbers):
    """Mutual TLS on loopback, HTTP/1.1."""
    a = bench.appliance
    bench.start(store__answer_cache_bytes=CACHE_BYTES)
    path, body = answer(bench)
    assert a.stop() == 0

    @contextlib.contextmanager
    def as_bare():
        with BareTransport(bench, path, body) as bare:
            yield bare.process

    @contextlib.contextmanager
    def as_skmsd():
        bench.start(store__answer_cache_bytes=CACHE_BYTES)
        yield
        assert a.stop() == 0

    compare(bench, row, numbers, "deliver_cached", body, as_bare, as_skmsd)
