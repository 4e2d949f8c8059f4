"""Raw token and daemon by turns, for pools of 1 to 16 sessions and tokens that take 0, 1 and 5 ms a call. Called by bench/run.py.

The ceiling of a slow token is pool ÷ (calls a request × time a call), with the calls counted in the run. A loop of bare calls
on as many threads shows how near to its own ceiling this machine comes: what it misses is the machine's, not the daemon's.
"""

DELIVER = "/ss-kir/v1/key-records?val-service-id=s"
CREATE = DELIVER + "&valUserId=bench-{n}"
POOLS = (1, 2, 8, 16)
DELAYS_MS = (0, 1, 5)
ROUNDS = 2
HEAD = (f"{'delay':>6} {'pool':>4} {'what':<8} {'raw/s':>7} {'÷ceil.':>6} {'skmsd/s':>8} {'÷raw':>5} {'calls':>6} {'ceil./s':>8} {'÷ceil.':>6} "
        f"{'CPU us':>7} {'module ms':>9} {'held ms':>8} {'wait ms':>8}")


class Turn:
    """What skmsd did in all rounds of one row."""

    def __init__(self):
        self.operations = self.seconds = self.calls = self.cpu = 0
        self.spent = dict.fromkeys(("waitSeconds", "heldSeconds", "callSeconds"), 0.0)

    def add(self, bench, target, connections, seconds):
        before, cost = bench.session_calls(), bench.session_cost()
        result = bench.load(target, connections, seconds)
        after, spent = bench.session_calls(), bench.session_cost()
        done = result["operations"] + connections  # each connection's first request is not timed
        self.operations += result["operations"]
        self.seconds += result["operations"] / result["per_second"]
        self.calls += (after - before) / done * result["operations"]
        self.cpu += result["cpu_us"] * result["operations"]
        for name in self.spent:
            self.spent[name] += (spent[name] - cost[name]) / done * result["operations"]

    def milliseconds(self, name):
        return self.spent[name] * 1000 / self.operations


def row(bench, delay, pool, operation, target):
    """One row's numbers: raw loop and daemon by turns."""
    seconds = bench.seconds / ROUNDS
    raw = []
    turn = Turn()
    connections = min(64, max(4, 4 * pool))
    for _ in range(ROUNDS):
        raw.append(bench.raw(operation, pool, seconds, delay)["per_second"])
        turn.add(bench, target, connections, seconds)
    raw_rate = sum(raw) / ROUNDS
    rate = turn.operations / turn.seconds
    calls = turn.calls / turn.operations
    found = {"raw_per_s": raw_rate, "per_s": rate, "ratio_to_raw": rate / raw_rate, "calls": calls,
             "cpu_us": turn.cpu / turn.operations, "module_ms": turn.milliseconds("callSeconds"),
             "held_ms": turn.milliseconds("heldSeconds"), "wait_ms": turn.milliseconds("waitSeconds")}
    if delay:
        found["raw_ceiling_ratio"] = raw_rate / (pool / (3 * delay / 1000))  # unwrap or generate, wrap, destroy
        found["ceiling_per_s"] = pool / (calls * delay / 1000)
        found["ceiling_ratio"] = rate / found["ceiling_per_s"]
    return found


def show(delay, pool, operation, found):
    near = f"{found['ceiling_ratio']:>6.2f}" if delay else f"{'–':>6}"
    ceiling = f"{found['ceiling_per_s']:>8.0f}" if delay else f"{'–':>8}"
    raw_near = f"{found['raw_ceiling_ratio']:>6.2f}" if delay else f"{'–':>6}"
    print(f"{delay:>3} ms {pool:>4} {operation:<8} {found['raw_per_s']:>7.0f} {raw_near} {found['per_s']:>8.0f} {found['ratio_to_raw']:>5.2f} "
          f"{found['calls']:>6.2f} {ceiling} {near} {found['cpu_us']:>7.0f} {found['module_ms']:>9.2f} {found['held_ms']:>8.2f} "
          f"{found['wait_ms']:>8.2f}", flush=True)


def measure(bench, numbers, pools=POOLS, delays=DELAYS_MS):
    """Rows of one module, on an appliance that is stopped before and after."""
    for pool in pools:
        bench.start(fault=True, token__max_sessions=pool)
        for delay in delays:
            if delay:
                bench.order(f"pace * {delay}")
            for operation, target in (("deliver", DELIVER), ("create", CREATE)):
                found = row(bench, delay, pool, operation, target)
                show(delay, pool, operation, found)
                prefix = f"{bench.token.name.split()[0].lower()}_{operation}_{delay}ms_pool{pool}"
                numbers.update({f"{prefix}_{name}": value for name, value in found.items()})
            bench.order("clear")
        assert bench.appliance.stop() == 0
