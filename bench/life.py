"""The life of keys under load: rekeying large groups, and a scheduler pass over many records, each beside the same
requests with an idle scheduler. Called by bench/run.py."""

import json
import subprocess
import threading
import time

GROUP_MEMBERS = 10000
CONNECTIONS = 4


def group_request(appliance, method, path, body=None, tag=None):
    token = appliance.issuer.token(client_id="gms-1", scope="seal-x1")
    arguments = ["-X", method]
    headers = ["Content-Type: application/json"] + ([f"If-Match: {tag}"] if tag else [])
    if body is not None:
        (appliance.directory / "group-body").write_text(json.dumps(body))
        arguments += ["--data-binary", f"@{appliance.directory / 'group-body'}"]
    answer = appliance.curl(f"/seal-x1/v1/groups/{path}", *arguments, who="gms-1", token=token, headers=headers)
    assert answer.status in (200, 201), answer.body
    return answer


def while_loaded(bench, seconds, work):
    """Runs `work` in a thread while the load client asks for a key; the load's result and the work's time."""
    took = []

    def timed():
        begun = time.monotonic()
        work()
        took.append(time.monotonic() - begun)

    thread = threading.Thread(target=timed)
    thread.start()
    result = bench.load("/ss-kir/v1/key-records?val-service-id=s", CONNECTIONS, seconds)
    thread.join()
    return result, took[0]


def set_up(bench):
    a = bench.appliance
    a.ca.issue("gms-1")
    a.ctl("principal", "add", "gms-1", "--certificate", a.directory / "gms-1.pem", "--role", "group-server")
    a.ctl("service", "set", "s", "--scope", "service,user,group", "--add-group-server", "gms-1")


def groups(bench, row, numbers, quick):
    """A group of 10,000 members, and 1,000 groups (--quick: 100), rekeyed while requests go on."""
    a = bench.appliance
    count = 100 if quick else 1000
    idle = bench.load("/ss-kir/v1/key-records?val-service-id=s", CONNECTIONS)
    row(f"deliver, scheduler idle, {CONNECTIONS} conn.", idle)
    members = [{"valUserId": f"member-{n:05}"} for n in range(GROUP_MEMBERS)]
    begun = time.monotonic()
    made = group_request(a, "PUT", "large", {"valServiceIds": ["s"], "members": members})
    numbers["group_put_10000_seconds"] = time.monotonic() - begun
    begun = time.monotonic()
    changed = group_request(a, "PUT", "large", {"valServiceIds": ["s"], "members": members[1:]}, made.headers["etag"])
    numbers["group_remove_one_of_10000_seconds"] = time.monotonic() - begun
    assert changed.json["rekeyed"]
    for n in range(count):
        group_request(a, "PUT", f"small-{n}", {"valServiceIds": ["s"], "members": members[n : n + 10]})
    socket = a.directory / "admin.sock"
    config = a.directory / "rekeys"
    names = ["large"] + [f"small-{n}" for n in range(count)]
    config.write_text("\n".join(
        f'next\nurl = "http://localhost/admin/v1/groups/{name}/rekey"\nunix-socket = "{socket}"\nrequest = POST\n'
        'header = "Content-Type: application/json"\ndata = "{\\"reason\\":\\"bench\\"}"\noutput = /dev/null\nfail'
        for name in names).removeprefix("next\n"))

    def rekey_all():
        subprocess.run(["curl", "-s", "-K", config], check=True)

    loaded, seconds = while_loaded(bench, bench.seconds * 2, rekey_all)
    # The machine is shared: of the idle times before and after, the shorter one is the bar.
    again = bench.load("/ss-kir/v1/key-records?val-service-id=s", CONNECTIONS)
    quiet = min(idle["p99_us"], again["p99_us"])
    row(f"deliver, {len(names)} groups rekeyed", loaded, loaded["p99_us"] / quiet)
    row("deliver, scheduler idle again", again)
    numbers["group_rekeys_per_s"] = len(names) / seconds
    numbers["group_rekey_p99_ratio"] = loaded["p99_us"] / quiet
    print(f"  {GROUP_MEMBERS} members: made in {numbers['group_put_10000_seconds']:.2f} s, one removed in "
          f"{numbers['group_remove_one_of_10000_seconds']:.2f} s; {len(names)} groups rekeyed in {seconds:.1f} s")


def scheduler(bench, row, numbers, quick):
    """A pass over 1 M records of which 10,000 are due (--quick: a tenth of both)."""
    a = bench.appliance
    records, due = (100000, 1000) if quick else (1000000, 10000)
    period, overlap = 30 * 86400, 86400
    a.ctl("service", "add", "many", "--scope", "user", "--reader", "val-1", "--crypto-period", f"{period}s", "--overlap", f"{overlap}s",
          "--make-ahead", "0")
    # Held until the load runs: a service without a period has nothing due.
    a.ctl("service", "set", "many", "--crypto-period", "0")
    assert a.stop() == 0
    begun = time.monotonic()
    subprocess.run([bench.bin / "skms_bench_seed_records", "--config", a.config, "--service", "many", "--records", str(records),
                    "--due", str(due), "--period", str(period), "--overlap", str(overlap)], env=a.environment, check=True)
    print(f"  {records} records seeded in {time.monotonic() - begun:.0f} s")
    numbers["scheduler_start_seconds"] = bench.start()
    target = "/ss-kir/v1/key-records?val-service-id=s"
    idle = bench.load(target, CONNECTIONS)
    row(f"deliver, {records} records, idle", idle)
    before = bench.rss_mib("VmHWM")

    def made():
        return json.loads(a.ctl("status", "--output", "json"))["rotation"]["made"]

    def rotate_all():
        a.ctl("service", "set", "many", "--crypto-period", f"{period}s", "--make-ahead", "0")
        while made() < due:
            time.sleep(0.2)

    seconds = 8 if quick else 60
    loaded, took = while_loaded(bench, seconds, rotate_all)
    row(f"deliver, {due} of them rotated", loaded, loaded["p99_us"] / idle["p99_us"])
    numbers["scheduler_seconds"] = took
    numbers["scheduler_p99_ratio"] = loaded["p99_us"] / idle["p99_us"]
    numbers["scheduler_peak_rss_mib"] = bench.rss_mib("VmHWM")
    begun = time.monotonic()
    page = a.ctl_json("key", "list", "--service", "many", "--state", "active", "--limit", "1000", "--target-prefix", "seed-9")["keys"]
    numbers["list_page_seconds"] = time.monotonic() - begun
    assert len(page) == 1000
    print(f"  {due} due of {records}: {took:.1f} s under load, peak RSS {before:.0f} -> {numbers['scheduler_peak_rss_mib']:.0f} MiB; "
          f"start {numbers['scheduler_start_seconds']:.2f} s; a page of 1000 by state and prefix {numbers['list_page_seconds']:.2f} s")
