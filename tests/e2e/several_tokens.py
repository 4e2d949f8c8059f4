"""An appliance with several tokens: SoftHSM behind the fault module, and beside it a SoftHSM that is another library to the process."""

import base64
import contextlib
import json
import shutil
import subprocess
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from appliance import BIN, ROOT, Appliance
from token_load import ANSWER_MS, MODULE

sys.path.append(str(ROOT / "tests/contract"))
from run_contract import library  # noqa: E402: where the contract suite finds its modules

FAULT = BIN.parent / "lib/libskms_fault.so"


def other_library(directory, name):
    """A copy of SoftHSM's library: initialised for itself, so that what befalls the one token is not the other's."""
    copied = directory / f"{name}.so"
    shutil.copy(MODULE, copied)
    return copied


def softhsm(directory, label, **more):
    return {"label": label, "module": str(other_library(directory, label)), "pin_file": "pin", **more}


def faulted(**more):
    return {"label": "skms", "module": str(FAULT), "pin_file": "pin", **more}


def nss(directory, label="nss"):
    """An NSS database as a token; the PIN is the appliance's."""
    database = directory / "nssdb"
    database.mkdir()
    subprocess.run(["certutil", "-N", "-d", f"sql:{database}", "-f", directory / "pin"], check=True, capture_output=True)
    return {"label": label, "module": library("libsoftokn3.so"), "pin_file": "pin", "profile": "lab",
            "init_args": f"configdir='sql:{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= dbTokenDescription='{label}'"}


def prepared(directory, tokens, **settings):
    """Not yet started; the first of `tokens` is the one behind the fault module, which holds the keys."""
    one = Appliance(directory, listen__answer_time_ms=ANSWER_MS, listen__max_connections=64, limits__max_wait_ms=1000, limits__requests_per_second=100000,
                    limits__burst=100000, **settings)
    one.prepare()
    one.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_CONTROL": str(directory / "fault.sock")})
    one.write_config(tokens=tokens)
    return one


@contextlib.contextmanager
def ended(appliance):
    """Stops it in the end, and asks how it ended."""
    try:
        yield appliance
        assert appliance.stop() in (0, None), appliance.log.read_text()[-3000:]
    finally:
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait()


def join(appliance, label):
    fingerprint = appliance.ctl_json("token", "prepare", label)["fingerprint"]
    report = appliance.ctl_json("token", "join", label, "--fingerprint", fingerprint)
    appliance.ctl("kek", "status", "--wait")
    return report


def states(appliance):
    return {token["label"]: token["state"] for token in appliance.ctl_json("token", "list")["tokens"]}


def held(appliance):
    return {token["label"]: token["held"] for token in appliance.ctl_json("token", "list")["tokens"]}


def opened(appliance, users=8):
    """kid → key of each user's keys, opened."""
    private = serialization.load_pem_private_key((appliance.directory / "val-1.key").read_bytes(), None)
    keys = {}
    for n in range(users):
        answer = appliance.get(f"val-service-id=s&valUserId=u{n}")
        assert answer.status == 200, answer.body
        for key in json.loads(answer.json["keyInfo"])["keys"]:
            used = hashes.SHA256() if key["wrapped"]["alg"] == "RSA-OAEP-256" else hashes.SHA1()
            block = base64.urlsafe_b64decode(key["wrapped"]["encryptedKey"] + "==")
            keys[key["kid"]] = private.decrypt(block, padding.OAEP(padding.MGF1(used), used, None))
    return keys
