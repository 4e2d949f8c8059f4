#!/usr/bin/python3
"""with_server.py COMMAND…: runs it beside a PostgreSQL server of its own, whose URL is in SKMS_TEST_POSTGRESQL."""

import os
import subprocess
import sys

from cluster import INSTALLED, running


def main():
    if not INSTALLED:
        print("SKIPPED: no PostgreSQL server is installed")
        return 77
    with running() as server:
        return subprocess.run(sys.argv[1:], env={**os.environ, "SKMS_TEST_POSTGRESQL": server.url()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
