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

import life

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PER_REQUEST = ("C_UnwrapKey", "C_WrapKey", "C_GenerateKey", "C_GenerateRandom", "C_CreateObject", "C_DestroyObject",
               "C_GetAttributeValue", "C_SetAttributeValue", "C_SignInit", "C_Sign", "C_FindObjects", "C_OpenSession", "C_Login")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, arguments, directory):
        sys.path.insert(0, str(ROOT / "tests/e2e"))
        os.environ["SKMS_BIN"] = str(arguments.bin)
        import appliance

        self.bin = pathlib.Path(arguments.bin).resolve()
        self.fault = pathlib.Path(arguments.lib).resolve() / "lib" / "libskms_fault.so"
        self.seconds = 1 if arguments.quick else 4
        self.appliance = appliance.Appliance(
            directory, limits__requests_per_second=1000000, limits__burst=1000000, limits__waiting_requests=1000,
            limits__max_wait_ms=30000, limits__concurrent_requests=64,
        ).prepare()
        # The raw loop wraps to RSA-3072; so must the daemon.
        self.appliance.ca.issue("val-1", key=rsa.generate_private_key(65537, 3072))
        self.next = 1

    def raw(self, operation, threads):
        command = [
            self.bin / "skms_bench_raw_token", "--module", MODULE, "--label", "skms", "--pin-file",
            self.appliance.directory / "pin", "--operation", operation, "--threads", str(threads),
            "--seconds", str(self.seconds),
        ]
        done = subprocess.run(command, env=self.appliance.environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def load(self, target, connections, requests_seconds=None):
        a = self.appliance
        (a.directory / "token").write_text(a.issuer.token())
        command = [
            self.bin / "skms_bench_load", "--port", a.port, "--host", f"localhost:{a.port}", "--ca", a.directory / "ca.pem",
            "--cert", a.directory / "val-1.pem", "--key", a.directory / "val-1.key", "--token-file", a.directory / "token",
            "--target", target, "--connections", connections, "--seconds", requests_seconds or self.seconds, "--first", self.next,
        ]
        before = cpu_seconds(a.process.pid)
        done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        self.next = result["next"]
        result["cpu_us"] = (cpu_seconds(a.process.pid) - before) * 1e6 / max(1, result["operations"] + connections)
        assert result["failures"] == 0, result
        return result

    def start(self):
        started = time.monotonic()
        self.appliance.start()
        seconds = time.monotonic() - started
        if not getattr(self, "provisioned", False):
            self.appliance.provision()
            self.provisioned = True
        return seconds

    def idle_rss_mib(self):
        status = pathlib.Path(f"/proc/{self.appliance.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def peak_rss_mib(self):
        status = pathlib.Path(f"/proc/{self.appliance.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def count_calls(self, target):
        """PKCS#11 calls per request: with requests minus without, from the fault module."""
        a = self.appliance
        counts = []
        requests = 0
        for loaded in (False, True):
            path = a.directory / "counters"
            a.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_COUNTERS": str(path)})
            a.write_config(token__module=self.fault)
            a.start()
            if loaded:
                result = self.load(target, 4, 1)
                requests = result["operations"] + 4
            assert a.stop() == 0
            counts.append({line.split()[0]: line.split()[1] for line in path.read_text().splitlines()})
        a.write_config()
        return {name: (int(counts[1].get(name, 0)) - int(counts[0].get(name, 0))) / requests for name in PER_REQUEST}


def row(name, result, ratio=None):
    text = f"{name:<34} {result['per_second']:>9.0f} {result['p50_us']:>9.0f} {result['p99_us']:>9.0f} {result['cpu_us']:>9.0f}"
    print(text + (f" {ratio:>9.2f}" if ratio is not None else "         -"), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--lib", required=True)
    parser.add_argument("--quick", action="store_true", help="a second a row instead of four")
    parser.add_argument("--json", help="write the numbers to this file")
    arguments = parser.parse_args()
    deliver = "/ss-kir/v1/key-records?val-service-id=s"
    create = deliver + "&valUserId=bench-{n}"
    numbers = {}
    with tempfile.TemporaryDirectory(prefix="skms-bench-") as directory:
        bench = Bench(arguments, pathlib.Path(directory))
        print(f"{'what':<34} {'per s':>9} {'p50 us':>9} {'p99 us':>9} {'CPU us':>9} {'ratio':>9}")
        raw = {}
        for operation in ("deliver", "create"):
            for threads in (1, 8, 32):
                raw[operation, threads] = bench.raw(operation, threads)
                row(f"raw token {operation}, {threads} threads", raw[operation, threads])
        start_seconds = bench.start()
        rss = bench.idle_rss_mib()
        for operation, target in (("deliver", deliver), ("create", create)):
            for connections in (1, 8, 32):
                result = bench.load(target, connections)
                ratio = result["per_second"] / raw[operation, connections]["per_second"]
                row(f"skmsd {operation}, {connections} connections", result, ratio)
                numbers[f"{operation}_{connections}_per_s"] = result["per_second"]
                numbers[f"{operation}_{connections}_ratio_to_raw"] = ratio
                numbers[f"{operation}_{connections}_cpu_us"] = result["cpu_us"]
        print()
        life.set_up(bench)
        life.groups(bench, row, numbers, arguments.quick)
        life.scheduler(bench, row, numbers, arguments.quick)
        assert bench.appliance.stop() == 0
        numbers["deliver_uncached_cpu_us_over_raw"] = numbers["deliver_1_cpu_us"] - raw["deliver", 1]["cpu_us"]
        numbers["create_durable_per_s"] = max(numbers[f"create_{c}_per_s"] for c in (1, 8, 32))
        numbers["create_ratio_to_raw"] = numbers["create_32_ratio_to_raw"]
        numbers["rss_mib_idle"] = rss
        numbers["start_seconds"] = start_seconds
        print("\nPKCS#11 calls per request  " + "  ".join(name[2:] for name in PER_REQUEST))
        for operation, target in (("deliver", deliver), ("create", create)):
            calls = bench.count_calls(target)
            print(f"  {operation:<24} " + "  ".join(f"{calls[name]:>{len(name) - 2}.2f}" for name in PER_REQUEST))
            numbers[f"{operation}_find_objects_per_request"] = calls["C_FindObjects"]
            numbers[f"{operation}_open_session_per_request"] = calls["C_OpenSession"]
            numbers[f"{operation}_login_per_request"] = calls["C_Login"]
        numbers["find_objects_per_request"] = numbers["deliver_find_objects_per_request"]
        print(f"\nidle RSS {rss:.1f} MiB, start {start_seconds:.2f} s; ratio: rate of skmsd / rate of the raw loop with as many threads")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
