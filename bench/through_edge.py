"""Behind an edge: what skmsd itself costs beside the token's calls, on its unix socket; and its kept answers through HAProxy beside the bare
transport in the same place. Called by bench/run.py."""

import contextlib
import pathlib

import cached
import tokens
from pools import CREATE, DELIVER


def on_the_socket(bench, row, numbers):
    """CPU of the daemon less the time inside the PKCS#11 module. On one connection nobody waits within it, so that both are the same time."""
    a = bench.appliance
    socket = a.directory / "edge.sock"
    bench.start()
    bench.load(DELIVER, 1, socket=socket)
    for what, target in (("deliver", DELIVER), ("create", CREATE)):
        for connections in (1, 8):
            before = bench.session_cost()
            result = bench.load(target, connections, 2 * bench.seconds, socket=socket)
            after = bench.session_cost()
            token = (after["callSeconds"] - before["callSeconds"]) * 1e6 / (result["operations"] + connections)
            row(f"{what} on the socket, {connections} conn.", result)
            if connections == 1:
                numbers[f"{what}_cpu_us_beyond_token"] = result["cpu_us"] - token
                print(f"  of it in the module {token:.0f} us, beyond {result['cpu_us'] - token:.0f} us")
    assert a.stop() == 0


def kept_answers(bench, row, numbers):
    a = bench.appliance
    socket = a.directory / "edge.sock"
    bench.start(store__answer_cache_bytes=cached.CACHE_BYTES)
    a.start_edge()
    path, body = cached.answer(bench)
    a.stop_edge()
    assert a.stop() == 0

    @contextlib.contextmanager
    def as_bare():
        with cached.BareTransport(bench, path, body, edge_socket=socket) as bare:
            a.spawn_edge()
            yield bare.process
            a.stop_edge()

    @contextlib.contextmanager
    def as_skmsd():
        bench.start(store__answer_cache_bytes=cached.CACHE_BYTES)
        a.spawn_edge()
        yield
        a.stop_edge()
        assert a.stop() == 0

    for name, http2 in (("deliver_cached_edge", False), ("deliver_cached_h2", True)):
        print("HTTP/2" if http2 else "HTTP/1.1")
        cached.compare(bench, row, numbers, name, body, as_bare, as_skmsd, http2=http2)


def measure(bench_type, arguments, directory, row, numbers):
    bench = bench_type(arguments, tokens.SoftHsm, pathlib.Path(directory), edge=True)
    bench.appliance.settings = {**bench.appliance.settings, "edge__log": "errors"}
    try:
        on_the_socket(bench, row, numbers)
        kept_answers(bench, row, numbers)
    finally:
        bench.appliance.stop_edge()
