"""Compares this run with bench/baseline.json; called by bench/check.

Two opinions. Instructions a request, counted by callgrind on one connection: free of the machine's noise, and blind to waiting.
Ratios of rates of one run: noisy, and of what clients see. Never a time or a rate by itself.
"""

import argparse
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import cached
import tokens
from pools import CREATE, DELIVER
from run import Bench, row

BASELINE = pathlib.Path(__file__).resolve().parent / "baseline.json"
MARGINS = {"instructions": 0.05, "ratios": 0.5}
# OpenSSL without what one processor has and another has not (AVX2, BMI2, ADX, SHA): the same instructions on each.
PLAIN_PROCESSOR = {"OPENSSL_ia32cap": ":0"}
FEW, MANY = 40, 240


class Counted:
    """A program under callgrind."""

    def __init__(self, directory, pid):
        self.directory, self.pid = directory, pid
        self.control("-i", "on")  # and not off again, which forgets what was counted

    @staticmethod
    def command(directory, program, *arguments):
        return ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/callgrind.%p", program,
                *arguments]

    def control(self, *order):
        # Its exit code says nothing.
        done = subprocess.run(["callgrind_control", *order, str(self.pid)], check=True, capture_output=True, text=True)
        assert "OK." in done.stdout and "Error" not in done.stdout, (order, done.stdout, done.stderr)

    def instructions(self, action):
        """Of all threads while `action` runs."""
        before = set(self.directory.glob(f"callgrind.{self.pid}*"))
        self.control("-z")
        action()
        self.control("-d")
        dumps = set(self.directory.glob(f"callgrind.{self.pid}*")) - before
        counts = [int(number) for dump in dumps for number in re.findall(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)[:1]]
        assert sum(counts) > 0, f"callgrind left no counts: {dumps}"
        return sum(counts)


def per_request(counted, load, target):
    """What each request more costs: connection and handshake are in both runs."""
    load(target, FEW)
    few = counted.instructions(lambda: load(target, FEW))
    # What comes by the clock (a checkpoint of the audit chain) may fall into one of two.
    many = min(counted.instructions(lambda: load(target, MANY)) for _ in range(2))
    assert many > few > 0, (few, many)
    return (many - few) / (MANY - FEW)


def daemon_under_callgrind(bench, directory):
    a = bench.appliance
    a.spawn = lambda log: subprocess.Popen(Counted.command(directory, a.bin / "skmsd", "--config", a.config), env={**a.environment, **PLAIN_PROCESSOR},
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def count_instructions(bench, directory):
    a = bench.appliance
    a.bin = bench.bin
    seen = {}
    daemon_under_callgrind(bench, directory)

    def load(target, requests):
        bench.load(target, 1, 300, requests=requests)

    for name, target, cache in (("deliver_cached", DELIVER, cached.CACHE_BYTES), ("deliver", DELIVER, 0), ("create", CREATE, 0)):
        bench.start(store__answer_cache_bytes=cache, listen__answer_time_ms=60000, audit__checkpoint_s=86400)
        seen[name] = per_request(Counted(directory, a.process.pid), load, target)
        if name == "deliver_cached":
            path, _, query = DELIVER.partition("?")
            body = a.get(query).body.encode()
        assert a.stop() == 0
    bare = cached.BareTransport(bench, path, body, **PLAIN_PROCESSOR)
    bare.command = Counted.command(directory, *bare.command)
    with bare:
        seen["bare_transport"] = per_request(Counted(directory, bare.process.pid),
                                             lambda target, requests: bench.load(target, 1, 300, requests=requests, pid=bare.process.pid),
                                             DELIVER)
    return seen


def entries_per_commit(bench):
    """How many deliveries share a commit, of 16 connections."""
    a = bench.appliance
    bench.start(store__answer_cache_bytes=cached.CACHE_BYTES)

    def commits():
        text = subprocess.run(["curl", "--silent", "--fail", "--unix-socket", a.directory / "admin.sock", "http://localhost/metrics"],
                              check=True, capture_output=True, text=True).stdout
        return float(re.search(r"^skms_store_commit_duration_seconds_count (\S+)", text, re.M)[1])

    bench.load(DELIVER, 16, 1)
    before = commits()
    done = bench.load(DELIVER, 16, 2)["operations"]
    shared = done / (commits() - before)
    assert a.stop() == 0
    return shared


def measure_ratios(bench):
    numbers = {}
    cached.direct(bench, row, numbers)
    numbers["entries_per_commit_16"] = entries_per_commit(bench)
    raw = bench.raw("deliver", 8)
    bench.start(store__answer_cache_bytes=0)
    numbers["deliver_8_ratio_to_raw"] = bench.load(DELIVER, 8)["per_second"] / raw["per_second"]
    assert bench.appliance.stop() == 0
    return {name: numbers[name] for name in ("deliver_cached_16_ratio", "deliver_cached_64_ratio", "deliver_8_ratio_to_raw", "entries_per_commit_16")}


def compare(kind, seen, baseline):
    """More instructions are worse, and so is a smaller ratio. Prints a table; how many were worse than the margin allows."""
    margin = MARGINS[kind]
    print(f"{kind + ', margin ' + format(margin, '.0%'):<34} {'baseline':>12} {'now':>12} {'change':>8}")
    worse = 0
    for name in baseline.keys() - seen.keys():
        print(f"{name:<34} {baseline[name]:>12.4g} {'none':>12} {'':>8}  FAILED: was not measured")
        worse += 1
    for name, now in seen.items():
        before = baseline.get(name)
        if before is None:
            print(f"{name:<34} {'none':>12} {now:>12.4g} {'':>8}  FAILED: not in the baseline; ./bench/check --update")
            worse += 1
            continue
        change = now / before - 1
        bad = change > margin if kind == "instructions" else change < -margin
        # Nothing becomes three times as fast without somebody who says so.
        bad = bad or (kind == "instructions" and change < -0.6)
        better = change < -margin if kind == "instructions" else change > margin
        worse += bad
        verdict = "FAILED" if bad else "ok: better; ./bench/check --update keeps it" if better else "ok"
        text = "{:>12.0f} {:>12.0f}" if kind == "instructions" else "{:>12.3f} {:>12.3f}"
        print(f"{name:<34} {text.format(before, now)} {change:>+8.1%}  {verdict}")
    print()
    return worse


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--only", choices=tuple(MARGINS))
    arguments = parser.parse_args()
    arguments.quick = True
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    seen = {}
    with tempfile.TemporaryDirectory(prefix="skms-check-") as made, contextlib.ExitStack() as at_the_end:
        directory = pathlib.Path(made)

        def bench_in(folder):
            bench = Bench(arguments, tokens.SoftHsm, directory / folder)
            at_the_end.callback(lambda: bench.appliance.process and bench.appliance.process.kill())
            return bench

        (directory / "ratios").mkdir()
        if arguments.only != "instructions":
            seen["ratios"] = measure_ratios(bench_in("ratios"))
        (directory / "instructions").mkdir()
        if arguments.only != "ratios":
            seen["instructions"] = count_instructions(bench_in("instructions"), directory)
    if arguments.update:
        BASELINE.write_text(json.dumps({**baseline, **seen}, indent=2, sort_keys=True) + "\n")
        baseline = json.loads(BASELINE.read_text())
    worse = sum(compare(kind, values, baseline.get(kind, {})) for kind, values in seen.items())
    rows = sum(len(values.keys() | baseline.get(kind, {}).keys()) for kind, values in seen.items())
    print(f"{rows - worse} passed, {worse} failed")
    sys.exit(worse > 0)


if __name__ == "__main__":
    main()
