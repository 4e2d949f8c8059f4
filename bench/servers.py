"""One server and two on one PostgreSQL database, by turns: what the second adds. Called by bench/run.py.

Each server has a core of its own (taskset), as far as there are two; the database and the clients take what is left of both, which on a
machine with two cores is nothing that only one server could not use. Clients at a lower priority, as everywhere here.
"""

import contextlib
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import tokens
from pools import CREATE, DELIVER

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests/postgresql"))
import cluster  # noqa: E402: it stands in the tests

CONNECTIONS = 16
ROUNDS = 3
CACHE_BYTES = 64 << 20


def member(bench_type, arguments, directory, url, name, first=None):
    directory.mkdir()
    bench = bench_type(arguments, tokens.SoftHsm, directory)
    a = bench.appliance
    a.settings = {**a.settings, "store__url": url, "store__shared": "true", "store__server": name, "store__answer_cache_bytes": CACHE_BYTES}
    a.write_config()
    if first is None:
        a.ctl("init")
        return bench
    bench.provisioned = True
    a.environment["SOFTHSM2_CONF"] = first.appliance.environment["SOFTHSM2_CONF"]
    for file in ("val-1.pem", "val-1.key"):
        shutil.copy(first.appliance.directory / file, directory / file)
    return bench


def pin(bench, core):
    subprocess.run(["taskset", "--all-tasks", "--cpu-list", "--pid", str(core), str(bench.appliance.process.pid)], check=True, capture_output=True)


def together(benches, target):
    """Requests a second of all of them, at once."""
    with ThreadPoolExecutor(len(benches)) as pool:
        return sum(done.result()["per_second"] for done in [pool.submit(bench.load, target, CONNECTIONS) for bench in benches])


def measure(bench_type, arguments, directory, numbers):
    if not cluster.INSTALLED:
        return print("== PostgreSQL: no server is installed\n")
    with cluster.running() as server, contextlib.ExitStack() as stack:
        server.make_database("servers")
        first = member(bench_type, arguments, pathlib.Path(directory) / "a", server.url("servers"), "a")
        second = member(bench_type, arguments, pathlib.Path(directory) / "b", server.url("servers"), "b", first)
        second.next = 100_000_000  # a user that the other never asks for
        for core, bench in enumerate((first, second)):
            bench.start()
            stack.callback(bench.appliance.stop)
            pin(bench, core)
            bench.load(DELIVER, CONNECTIONS, 1)
        rates = {(target, count): [] for target in (DELIVER, CREATE) for count in (1, 2)}
        for _ in range(ROUNDS):
            for target in (DELIVER, CREATE):
                for benches in ([first], [first, second]):
                    rates[target, len(benches)].append(together(benches, target))
    for name, target in (("deliver, cached", DELIVER), ("create", CREATE)):
        one, two = (sum(rates[target, count]) / ROUNDS for count in (1, 2))
        print(f"{name:<16} on PostgreSQL: 1 server {one:.0f}/s, 2 servers {two:.0f}/s, ratio {two / one:.2f}")
        key = "two_nodes" if target == DELIVER else "two_nodes_create"
        numbers[f"{key}_ratio"] = two / one
        numbers[f"{key}_per_s"] = two
    print()
