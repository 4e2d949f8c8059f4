#!/usr/bin/env python3
"""Fetches the keys of a VAL service, user or UE, and says what came; the key itself goes to a file only, with --out.

As a VAL server over KM-S (--cert, --key), or with --km-uu as a UE. Exit codes: 0 done, 1 refused or failed, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skms_client import Key, SkmsClient, SkmsError, printable, write_secret


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="apiRoot of the server")
    parser.add_argument("--ca", required=True, type=Path, help="CA of the server's certificate (PEM)")
    parser.add_argument("--token-file", required=True, type=Path, help="access token, in a file of mode 0600")
    parser.add_argument("--cert", type=Path, help="client certificate (PEM)")
    parser.add_argument("--key", type=Path, help="its private key, in a file of mode 0600")
    parser.add_argument("--recipient-key", type=Path, help="private key (RSA, P-256 or P-384) that keys are wrapped to (default: --key)")
    parser.add_argument("--service", required=True, help="VAL service ID")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--user", help="VAL user ID")
    target.add_argument("--ue", help="VAL UE ID")
    parser.add_argument("--km-uu", action="store_true", help="ask as a UE; its key is one that the server knows")
    parser.add_argument("--bound", action="store_true", help="with --km-uu: the token is bound to the recipient key (cnf.jkt)")
    parser.add_argument("--out", type=Path, help="write the active key here, mode 0600")
    given = parser.parse_args()
    if not given.km_uu and not (given.cert and given.key):
        parser.error("a VAL server needs --cert and --key")
    return given


def fetch(given: argparse.Namespace) -> list[Key]:
    with SkmsClient(given.url, given.ca, given.token_file, given.cert, given.key, given.recipient_key) as client:
        if given.km_uu:
            return client.request_keys(given.service, given.user, given.ue, bound=given.bound)
        return client.fetch_keys(given.service, given.user, given.ue)


def main() -> int:
    given = arguments()
    try:
        keys = fetch(given)
        for key in keys:
            whose = key.scope if key.target is None else f"{key.scope} {key.target}"
            print(printable(f"{key.kid}  {whose}  version {key.version}  {key.state}  {key.alg}  {len(key.material)} bytes"))
        if given.out is not None:
            active = next((key for key in keys if key.state == "active" and key.scope != "group"), None)
            if active is None:
                raise SkmsError("no active key came, so nothing is written: ask the administrator about the key's state")
            write_secret(given.out, active.material)
            print(f"{active.kid} written to {given.out}")
    except SkmsError as error:
        print(f"fetch_key.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
