"""What an attacker with the daemon's memory finds after a key has gone out in the clear."""

import os
import time

import pytest

from appliance import PIN
from test_retrieval import b64


def writable_memory(pid):
    """Every readable and writable range of the process, as it is now."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            bounds, permissions, *_, name = line.split() + [""]
            if not permissions.startswith("rw") or "[vvar" in name or "[vsyscall" in name:
                continue
            start, end = (int(part, 16) for part in bounds.split("-"))
            try:
                memory.seek(start)
                yield bounds, memory.read(end - start)
            except OSError:
                continue


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to read another process's memory")
def test_neither_key_nor_pin_stays_in_memory(fresh):
    fresh.start().provision()
    with open(f"/proc/{fresh.process.pid}/maps", encoding="ascii") as maps:
        if "libasan" in (text := maps.read()) or "libtsan" in text:
            pytest.skip("the sanitizers' allocator keeps freed memory")
    fresh.ctl("service", "add", "clear", "--delivery", "tls", "--reader", "val-1")
    keys = [fresh.key("val-service-id=clear")["k"] for _ in range(3)]
    assert len(set(keys)) == 1
    secrets = {"key text": keys[0].encode(), "key octets": b64(keys[0]), "PIN": PIN.encode()}
    assert len(secrets["key octets"]) == 32
    for _ in range(3):
        found = [(name, bounds) for bounds, octets in writable_memory(fresh.process.pid) for name, secret in secrets.items()
                 if secret in octets]
        if not found:
            break
        time.sleep(1)  # the thread that answered last may not have come back from it yet
    assert found == []
