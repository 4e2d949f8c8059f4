#!/usr/bin/env python3
"""Provisions the bytes of a file as a payload of a VAL service, user or UE, encrypted to the server's token.

The same bytes for the same payload id change nothing. Exit codes: 0 done, 1 refused or failed, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from skms_client import SkmsClient, SkmsError, read_secret


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="apiRoot of the server")
    parser.add_argument("--ca", required=True, type=Path, help="CA of the server's certificate (PEM)")
    parser.add_argument("--token-file", required=True, type=Path, help="access token with SKeyProv, in a file of mode 0600")
    parser.add_argument("--cert", required=True, type=Path, help="client certificate (PEM)")
    parser.add_argument("--key", required=True, type=Path, help="its private key, in a file of mode 0600")
    parser.add_argument("--service", required=True, help="VAL service ID")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--user", help="VAL user ID")
    target.add_argument("--ue", help="VAL UE ID")
    parser.add_argument("--payload-id", help="which of the payloads there (default: the one without an id)")
    parser.add_argument("--payload-file", required=True, type=Path, help="what to provision, in a file of mode 0600")
    parser.add_argument("--tls-only", action="store_true", help="send it as it is, with no protection but that of TLS")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    try:
        payload = read_secret(given.payload_file)
        with SkmsClient(given.url, given.ca, given.token_file, given.cert, given.key) as client:
            client.provision(given.service, payload, given.payload_id, given.user, given.ue, not given.tls_only)
    except SkmsError as error:
        print(f"provision.py: {error}", file=sys.stderr)
        return 1
    print(f"{len(payload)} bytes provisioned for {given.service}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
