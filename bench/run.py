"""Measures the daemon beside the raw token on the same machine in one run; called by bench/run.sh.

Every figure of worth is a ratio of this run. Absolute rates move with the machine and are printed to be doubted.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from cryptography.hazmat.primitives.asymmetric import rsa

import cached
import growth
import life
import memory
import overload
import pools
import servers
import token_keys
import through_edge
import tokens
from pools import CREATE, DELIVER

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests/e2e"), str(ROOT / "tests/fault")]
PER_REQUEST = ("C_UnwrapKey", "C_WrapKey", "C_GenerateKey", "C_GenerateRandom", "C_CreateObject", "C_DestroyObject",
               "C_GetAttributeValue", "C_SetAttributeValue", "C_SignInit", "C_Sign", "C_FindObjects", "C_OpenSession", "C_Login")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """An appliance on one PKCS#11 module, and the raw loop on the same token."""

    def __init__(self, arguments, token_type, directory, edge=False):
        os.environ["SKMS_BIN"] = str(arguments.bin)
        from appliance import Appliance
        from edge import Edge
        from skms_fault import FaultSocket

        self.fault_socket = FaultSocket
        self.bin = pathlib.Path(arguments.bin).resolve()
        self.fault = self.bin.parent / "lib" / "libskms_fault.so"
        self.seconds = 1 if arguments.quick else 4
        self.token = token_type(Edge if edge else Appliance, directory, limits__requests_per_second=1000000, limits__burst=1000000,
                                limits__waiting_requests=1000, limits__max_wait_ms=30000, limits__concurrent_requests=64,
                                listen__keep_alive_ms=30000)
        self.appliance = self.token.prepare()
        # The raw loop wraps to RSA-3072; so must the daemon. And nothing is recorded, which would cost the daemon time.
        self.appliance.ca.issue("val-1", key=rsa.generate_private_key(65537, 3072))
        self.appliance.recorded = lambda: self.appliance.environment
        self.control = directory / "fault.sock"
        self.next = 1
        self.provisioned = False

    def raw(self, operation, threads, seconds=None, delay_ms=0):
        a = self.appliance
        environment = dict(a.environment)
        module = self.token.module
        if delay_ms:
            (a.directory / "delay").write_text(f"pace * {delay_ms}\n")
            environment.update({"SKMS_FAULT_MODULE": module, "SKMS_FAULT_SCRIPT": str(a.directory / "delay")})
            environment.pop("SKMS_FAULT_CONTROL", None)
            module = self.fault
        command = [self.bin / "skms_bench_raw_token", "--module", module, "--label", "skms", "--pin-file", a.directory / "pin",
                   "--operation", operation, "--threads", threads, "--seconds", seconds or self.seconds, *self.token.raw_options]
        done = subprocess.run([str(part) for part in command], env=environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def recovery_cost(self):
        command = [self.bin / "skms_bench_recovery_cost", "--module", self.token.module, "--label", "skms", "--pin-file",
                   self.appliance.directory / "pin"]
        done = subprocess.run(command, env=self.appliance.environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def load(self, target, connections, seconds=None, rate=0, pid=None, requests=0, may_fail=False, who="val-1", below=0, socket=None, http2=False, **claims):
        """`rate`: requests a second; 0: as many as are answered. `pid`: the process whose time counts, if it is not the daemon.
        `requests`: so many, and `seconds` at most. `below`: for targets with {n}. `socket`: the edge's, in place of TLS."""
        a = self.appliance
        pid = pid or a.process.pid
        token = a.directory / f"{who}.token"
        token.write_text(a.issuer.token(**claims))
        command = [  # clients are on other machines: here they get what the daemon leaves
            "nice", "-n", "10", self.bin / "skms_bench_load", "--port", a.port, "--host", f"localhost:{a.port}", "--ca", a.directory / "ca.pem",
            "--cert", a.directory / f"{who}.pem", "--key", a.directory / f"{who}.key", "--token-file", token,
            "--target", target, "--connections", connections, "--seconds", seconds or self.seconds, "--first", self.next,
            "--rate", rate, "--requests", requests, "--below", below,
            *(["--socket", socket] if socket else []), *(["--http2"] if http2 else []),
        ]
        before = cpu_seconds(pid)
        done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        self.next = result["next"]
        result["cpu_us"] = (cpu_seconds(pid) - before) * 1e6 / max(1, result["operations"] + connections)
        assert may_fail or result["failures"] == 0, result
        return result

    def start(self, fault=False, **settings):
        """Seconds from start to first answer; `fault`: with the fault module between daemon and token."""
        a = self.appliance
        if fault:
            a.environment.update({"SKMS_FAULT_MODULE": self.token.module, "SKMS_FAULT_CONTROL": str(self.control)})
            settings["token__module"] = self.fault
        a.write_config(**settings)
        started = time.monotonic()
        a.start()
        seconds = time.monotonic() - started
        if not self.provisioned:
            a.provision()
            self.provisioned = True
        return seconds

    def order(self, command):
        with self.fault_socket(self.control) as fault:
            fault.run(command)

    def counted(self):
        with self.fault_socket(self.control) as fault:
            return {name: counter.calls for name, counter in fault.counters().items() if name.startswith("C_")}

    def session_calls(self):
        return sum(self.counted().values())

    def session_cost(self):
        return self.appliance.ctl_json("status")["sessions"]

    def rss_mib(self, which="VmRSS"):
        status = pathlib.Path(f"/proc/{self.appliance.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(which)) / 1024

    def count_calls(self, target):
        """PKCS#11 calls per request, by function."""
        before = self.counted()
        requests = self.load(target, 4, 1)["operations"] + 4
        after = self.counted()
        return {name: (after.get(name, 0) - before.get(name, 0)) / requests for name in PER_REQUEST}


def row(name, result, ratio=None):
    text = f"{name:<34} {result['per_second']:>9.0f} {result['p50_us']:>9.0f} {result['p99_us']:>9.0f} {result['cpu_us']:>9.0f}"
    print(text + (f" {ratio:>9.2f}" if ratio is not None else "         -"), flush=True)


def beside_raw(bench, numbers):
    """Raw loop and daemon by turns, at 1, 8 and 32 clients."""
    print(f"{'what':<34} {'per s':>9} {'p50 us':>9} {'p99 us':>9} {'CPU us':>9} {'ratio':>9}")
    numbers["start_seconds"] = bench.start()
    numbers["rss_mib_idle"] = bench.rss_mib()
    raw = {}
    for operation, target in (("deliver", DELIVER), ("create", CREATE)):
        for clients in (1, 8, 32):
            raw[operation, clients] = bench.raw(operation, clients)
            row(f"raw token {operation}, {clients} threads", raw[operation, clients])
            result = bench.load(target, clients)
            ratio = result["per_second"] / raw[operation, clients]["per_second"]
            row(f"skmsd {operation}, {clients} connections", result, ratio)
            numbers[f"{operation}_{clients}_per_s"] = result["per_second"]
            numbers[f"{operation}_{clients}_ratio_to_raw"] = ratio
            numbers[f"{operation}_{clients}_cpu_us"] = result["cpu_us"]
            numbers[f"{operation}_{clients}_cpu_ratio_to_raw"] = result["cpu_us"] / raw[operation, clients]["cpu_us"]
    numbers["deliver_uncached_cpu_us_over_raw"] = numbers["deliver_1_cpu_us"] - raw["deliver", 1]["cpu_us"]
    numbers["create_durable_per_s"] = max(numbers[f"create_{c}_per_s"] for c in (1, 8, 32))
    numbers["create_ratio_to_raw"] = numbers["create_32_ratio_to_raw"]
    print(f"  idle RSS {numbers['rss_mib_idle']:.1f} MiB, start {numbers['start_seconds']:.2f} s; ratio: rate of skmsd / rate of the raw "
          "loop with as many threads\n")


def recovery(bench, numbers):
    cost = bench.recovery_cost()
    for threads in (1, 8):
        # A delivery runs two verbs: the row's MAC and the rewrapping.
        more = 2 * (cost[f"run_ns_{threads}"] - cost[f"bare_ns_{threads}"]) + cost[f"pending_ns_{threads}"]
        numbers[f"recovery_ns_per_request_{threads}"] = more
        numbers[f"recovery_cost_ratio_{threads}"] = more / 1000 / numbers[f"deliver_{threads}_cpu_us"]
        print(f"what the readiness to recover costs a deliver, {threads} threads: {more:.0f} ns, "
              f"{numbers[f'recovery_cost_ratio_{threads}']:.5f} of its CPU time")
    print()


def calls(bench, numbers):
    bench.start(fault=True)
    print("PKCS#11 calls per request  " + "  ".join(name[2:] for name in PER_REQUEST))
    for operation, target in (("deliver", DELIVER), ("create", CREATE)):
        counted = bench.count_calls(target)
        print(f"  {operation:<24} " + "  ".join(f"{counted[name]:>{len(name) - 2}.2f}" for name in PER_REQUEST))
        numbers[f"{operation}_find_objects_per_request"] = counted["C_FindObjects"]
        numbers[f"{operation}_open_session_per_request"] = counted["C_OpenSession"]
        numbers[f"{operation}_login_per_request"] = counted["C_Login"]
    numbers["find_objects_per_request"] = numbers["deliver_find_objects_per_request"]
    assert bench.appliance.stop() == 0
    print()


def main():
    parts = ("raw", "cached", "memory", "overload", "servers", "pools", "life", "kek", "growth", "edge")
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--quick", action="store_true", help="a second a row instead of four")
    parser.add_argument("--json", help="write the numbers to this file")
    parser.add_argument("--only", choices=parts, action="append", help="one part; may be repeated. Default: all")
    parser.add_argument("--records", type=int, help="how many the part 'kek' re-wraps, and the part 'growth' ends with")
    arguments = parser.parse_args()
    wanted = arguments.only or parts
    numbers = {}
    for token_type in (tokens.SoftHsm, tokens.Nss):
        if token_type.missing():
            print(f"== {token_type.name}: {token_type.missing()}\n")
            continue
        with tempfile.TemporaryDirectory(prefix="skms-bench-") as directory:
            bench = Bench(arguments, token_type, pathlib.Path(directory))
            print(f"== {token_type.name}")
            if "raw" in wanted and token_type is tokens.SoftHsm:
                beside_raw(bench, numbers)
                assert bench.appliance.stop() == 0
                recovery(bench, numbers)
                calls(bench, numbers)
            if "cached" in wanted and token_type is tokens.SoftHsm:
                cached.direct(bench, row, numbers)
            if "memory" in wanted and token_type is tokens.SoftHsm:
                memory.deliveries(bench, numbers, 100_000 if arguments.quick else 1_000_000)
                memory.objects(bench, numbers)
            if "overload" in wanted and token_type is tokens.SoftHsm:
                with tempfile.TemporaryDirectory(prefix="skms-bench-") as another:
                    overload.measure(Bench, arguments, another, numbers)
            if "edge" in wanted and token_type is tokens.SoftHsm:
                with tempfile.TemporaryDirectory(prefix="skms-bench-") as another:
                    through_edge.measure(Bench, arguments, another, row, numbers)
            if "servers" in wanted and token_type is tokens.SoftHsm:
                with tempfile.TemporaryDirectory(prefix="skms-bench-") as another:
                    servers.measure(Bench, arguments, another, numbers)
            if "pools" in wanted:
                print(pools.HEAD)
                pools.measure(bench, numbers)
                print()
            if "life" in wanted and token_type is tokens.SoftHsm:
                bench.start()
                life.set_up(bench)
                life.groups(bench, row, numbers, arguments.quick)
                life.scheduler(bench, row, numbers, arguments.quick)
                assert bench.appliance.stop() == 0
                print()
            if "kek" in wanted and token_type is tokens.SoftHsm:
                bench.start()
                token_keys.rotation(bench, row, numbers, arguments.quick, arguments.records)
                assert bench.appliance.stop() == 0
                print()
            if "growth" in wanted and token_type is tokens.SoftHsm:
                growth.measure(bench, row, numbers, arguments.quick, arguments.records)
    for name, lack in tokens.LEFT_OUT.items():
        print(f"== {name}: not in the table: {lack}")
    if "softhsm_deliver_1ms_pool8_ceiling_ratio" in numbers:
        numbers["deliver_1ms_token_ratio"] = numbers["softhsm_deliver_1ms_pool8_ceiling_ratio"]
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
