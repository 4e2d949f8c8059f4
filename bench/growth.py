"""What a thousand times as many records cost: the same questions asked of 10,000 records and of 10,000,000. Called by bench/run.py.

Every record holds a real key of the token and a real MAC (skms_bench_seed_records). Deliveries go to records far apart, so that no page of
the database is met twice for a long time.
"""

import http.client
import json
import socket
import statistics
import subprocess
import time

FEW = 10_000
MANY = 10_000_000
ONE_SEEDING = 1_000_000  # SoftHSM keeps some memory of each object that was ever made, until its process ends
CONNECTIONS = 1
PERIOD, OVERLAP = 30 * 86400, 86400
DUE = 2000
PAGES = 31


class AdminSocket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=300)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def page(self, query):
        """Seconds, and the keys of the answer."""
        begun = time.monotonic()
        self.request("GET", "/admin/v1/keys?" + query)
        answer = self.getresponse()
        body = answer.read()
        took = time.monotonic() - begun
        assert answer.status == 200, body
        return took, json.loads(body)["keys"]


def seed(bench, first, records, due):
    a = bench.appliance
    begun = time.monotonic()
    for at in range(first, first + records, ONE_SEEDING):
        some = min(ONE_SEEDING, first + records - at)
        subprocess.run([bench.bin / "skms_bench_seed_records", "--config", a.config, "--service", "many", "--first", str(at), "--records", str(some),
                        "--due", str(due * some // records), "--period", str(PERIOD), "--overlap", str(OVERLAP)], env=a.environment, check=True)
    print(f"  {records:,} records seeded in {time.monotonic() - begun:.0f} s, "
          f"database {(a.directory / 'skms.db').stat().st_size / 2**30:.2f} GiB", flush=True)


def pages(bench, records, aside):
    """Milliseconds of a page of 100, by what is asked for: the median of many."""
    a = bench.appliance
    connection = AdminSocket(a.directory / "admin.sock")
    middle = connection.page(f"service=many&limit=1&targetPrefix=seed-{records // 2}")[1][0]["kid"]
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + OVERLAP + 3600))
    out = {}
    for name, query, found in (("first", "", 100), ("of a service, far in", f"service=many&after={middle}", 100),
                               ("of all, far in", f"after={middle}", 100), ("by prefix", f"targetPrefix=seed-{records - 1}", 1),
                               ("by state, rare", "state=suspended", aside), ("ending soon", f"state=active&expiringBefore={soon}", 100)):
        took = []
        for _ in range(PAGES):
            seconds, keys = connection.page(query)
            assert len(keys) == found, (name, len(keys))
            took.append(seconds)
        out[name] = statistics.median(took) * 1000
    connection.close()
    return out


def ask(bench, records):
    """Starts the daemon on what is there and asks it everything."""
    a = bench.appliance
    start = bench.start()
    target = "/ss-kir/v1/key-records?val-service-id=many&valUserId=seed-{n}"
    bench.load(target, CONNECTIONS, below=records)
    looked_up = bench.load(target, CONNECTIONS, seconds=4 * bench.seconds, below=records)
    connection = AdminSocket(a.directory / "admin.sock")
    aside = [connection.page(f"service=many&targetPrefix=seed-{records // part - 1}&limit=1")[1][0]["kid"] for part in (1, 2, 3)]
    connection.close()
    for kid in aside:
        a.ctl("key", "suspend", kid, "--reason", "bench")
    took = pages(bench, records, len(aside))
    for kid in aside:
        a.ctl("key", "resume", kid, "--reason", "bench")
    return {"start": start, "lookup": looked_up, "pages": took, "rss": bench.rss_mib("VmHWM")}


def work(bench, numbers, due):
    """A pass of the scheduler, and a minute of re-wrapping, over all of them."""
    a = bench.appliance

    def status():
        return json.loads(a.ctl("status", "--output", "json"))

    begun = time.monotonic()
    a.ctl("service", "set", "many", "--crypto-period", f"{PERIOD}s", "--make-ahead", "0")
    while status()["rotation"]["made"] < due:
        time.sleep(0.5)
    numbers["growth_scheduler_rows_per_s"] = due / (time.monotonic() - begun)
    after_scheduler = bench.rss_mib("VmHWM")
    a.ctl("kek", "rotate")
    begun = time.monotonic()
    time.sleep(15 * bench.seconds)
    report = json.loads(a.ctl("kek", "status", "--output", "json"))
    numbers["growth_rewrapped_per_s"] = report["done"] / (time.monotonic() - begun)
    numbers["growth_work_peak_rss_mib"] = bench.rss_mib("VmHWM")
    print(f"  {due} due of all: {numbers['growth_scheduler_rows_per_s']:.0f} a second, peak RSS {after_scheduler:.0f} MiB; {report['done']} of "
          f"{report['total']} re-wrapped, {numbers['growth_rewrapped_per_s']:.0f} a second, peak RSS {numbers['growth_work_peak_rss_mib']:.0f} MiB")


def measure(bench, row, numbers, quick, many=None):
    a = bench.appliance
    many = many or (200_000 if quick else MANY)
    bench.start()
    a.ctl("service", "add", "many", "--scope", "user", "--reader", "val-1", "--crypto-period", f"{PERIOD}s", "--overlap", f"{OVERLAP}s",
          "--make-ahead", "0")
    # Held until it is asked for: a service without a period has nothing due.
    a.ctl("service", "set", "many", "--crypto-period", "0")
    assert a.stop() == 0
    due = min(DUE, many // 100)
    seed(bench, 0, FEW, due // 10)
    few = ask(bench, FEW)
    assert a.stop() == 0
    seed(bench, FEW, many - FEW, due - due // 10)
    lots = ask(bench, many)
    row(f"deliver, {FEW:,} records", few["lookup"])
    row(f"deliver, {many:,} records", lots["lookup"], lots["lookup"]["p50_us"] / few["lookup"]["p50_us"])
    print(f"  start {few['start']:.2f} -> {lots['start']:.2f} s, peak RSS {few['rss']:.1f} -> {lots['rss']:.1f} MiB")
    for name, took in lots["pages"].items():
        print(f"  page of keys, {name:<24} {few['pages'][name]:7.2f} -> {took:7.2f} ms")
    numbers["growth_records"] = many
    numbers["lookup_growth_ratio"] = lots["lookup"]["p50_us"] / few["lookup"]["p50_us"]
    numbers["start_seconds_10m"] = lots["start"]
    numbers["rss_mib_10m"] = lots["rss"]
    numbers["list_page_ms_10m"] = max(lots["pages"].values())
    work(bench, numbers, due)
    assert a.stop() == 0
    print()
