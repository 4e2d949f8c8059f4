"""An appliance on NSS softoken, the one token here that has ECDH with a KDF. Its profile is lab (docs/token-attributes.md)."""

import json
import sys

from appliance import ROOT, Appliance

sys.path.append(str(ROOT / "tests/contract"))
from run_contract import nss  # noqa: E402: it makes the same token for the contract suite


class NssAppliance(Appliance):
    def make_token(self, label="skms"):
        with nss(self.directory) as token:
            self.settings.update({"token__module": token["MODULE"], "token__init_args": json.dumps(token["INIT_ARGS"]),
                                  "token__profile": "lab", "token__label": label})
