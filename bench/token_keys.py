"""Token keys changed under load: every record re-wrapped while 32 clients ask, beside the same requests without. Called by
bench/run.py. Latency counts from when a request was due, not from when it could be sent."""

import json
import subprocess
import time

CONNECTIONS = 32
LOAD = 0.25  # of what the clients get when nothing else is done
TARGET = "/ss-kir/v1/key-records?val-service-id=s"
QUIET = 100 * 365 * 86400  # a period in which nothing is due


def rotation(bench, row, numbers, quick, records=None):
    """1 M records (--quick: 20,000). A request that failed would have ended the run: the load client counts them."""
    a = bench.appliance
    records = records or (20000 if quick else 1000000)
    a.ctl("service", "add", "many", "--scope", "user", "--reader", "val-1")
    assert a.stop() == 0
    subprocess.run([bench.bin / "skms_bench_seed_records", "--config", a.config, "--service", "many", "--records", str(records), "--due", "0",
                    "--period", str(QUIET), "--overlap", "0"], env=a.environment, check=True)
    bench.start()
    full = bench.load(TARGET, CONNECTIONS)
    row(f"deliver, {CONNECTIONS} connections, all they can", full)
    # Clients that fill the machine by themselves would measure how little is left for the rows.
    rate = full["per_second"] * LOAD
    idle = bench.load(TARGET, CONNECTIONS, rate=rate)
    row(f"deliver at {LOAD} of that", idle)
    begun = time.monotonic()
    a.ctl("kek", "rotate")
    crowded = bench.load(TARGET, CONNECTIONS)
    row("  while rows are re-wrapped, all they can", crowded, crowded["p99_us"] / full["p99_us"])
    loaded = []
    while report(a)["phase"] != "done":
        loaded.append(bench.load(TARGET, CONNECTIONS, seconds=2 * bench.seconds, rate=rate))
    took = time.monotonic() - begun
    again = bench.load(TARGET, CONNECTIONS, rate=rate)
    row(f"deliver at {LOAD} of that, again", again)
    # The machine is shared: of the times before and after, the shorter one is the bar.
    quiet = min(idle["p99_us"], again["p99_us"])
    middle = sorted(loaded, key=lambda one: one["p99_us"])[len(loaded) // 2]
    worst = max(loaded, key=lambda one: one["p99_us"])
    row("  while rows are re-wrapped, median run", middle, middle["p99_us"] / quiet)
    row("  while rows are re-wrapped, worst run", worst, worst["p99_us"] / quiet)
    rows = report(a)["rows"]
    numbers["kek_rotation_p99_ratio"] = middle["p99_us"] / quiet
    numbers["kek_rotation_worst_p99_ratio"] = worst["p99_us"] / quiet
    numbers["kek_rotation_full_load_p99_ratio"] = crowded["p99_us"] / full["p99_us"]
    numbers["kek_rotation_rows_per_s"] = rows / took
    numbers["kek_rotation_failed_requests"] = 0
    begun = time.monotonic()
    a.ctl("kek", "retire", "--yes")
    print(f"  {rows} rows re-wrapped in {took:.0f} s, {rows / took:.0f} a second, {len(loaded)} runs of the load with "
          f"{sum(one['operations'] for one in loaded)} requests in it, none failed; "
          f"the former keys ended in {time.monotonic() - begun:.1f} s; peak RSS {bench.rss_mib('VmHWM'):.0f} MiB")


def report(appliance):
    return json.loads(appliance.ctl("kek", "status", "--output", "json"))
