"""What the daemon holds: idle, and after a million deliveries; and whether the token is left with objects. Called by bench/run.py."""

import cached
from pools import CREATE, DELIVER

WARM = 200_000  # until SQLite has filled the pages that it may keep
MADE = ("C_UnwrapKey", "C_GenerateKey", "C_CreateObject", "C_CopyObject", "C_DeriveKey")


def deliveries(bench, numbers, many=1_000_000):
    """Cached ones: SoftHSM keeps some memory of each object that was ever made (docs/performance.md), which is not the daemon's."""
    a = bench.appliance
    bench.start(store__answer_cache_bytes=cached.CACHE_BYTES)
    numbers["rss_mib_idle"] = bench.rss_mib()
    bench.load(DELIVER, 16, 600, requests=WARM)
    before = bench.rss_mib()
    bench.load(DELIVER, 16, 600, requests=many)
    numbers["rss_mib_growth"] = bench.rss_mib() - before
    numbers["rss_mib_growth_deliveries"] = many
    print(f"RSS: idle {numbers['rss_mib_idle']:.1f} MiB, after {WARM:,} deliveries {before:.1f} MiB, after {many:,} more "
          f"{before + numbers['rss_mib_growth']:.1f} MiB ({numbers['rss_mib_growth']:+.2f})")
    assert a.stop() == 0


def objects(bench, numbers, turns=2_000):
    """Objects that were made and not destroyed, by the calls that the fault module counts."""
    a = bench.appliance
    bench.start(fault=True, store__answer_cache_bytes=0)
    bench.load(DELIVER, 4, 60, requests=50)
    before = bench.counted()
    for target in (DELIVER, CREATE):
        bench.load(target, 4, 600, requests=turns)
    after = bench.counted()

    def calls(name):
        return after.get(name, 0) - before.get(name, 0)

    made = sum(calls(name) for name in MADE)
    numbers["token_objects_left"] = made - calls("C_DestroyObject")
    print(f"token: {made} objects made by {2 * turns + 8} requests, {numbers['token_objects_left']} left\n")
    assert a.stop() == 0
