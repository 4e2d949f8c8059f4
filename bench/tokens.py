"""The PKCS#11 modules that are measured, each with an appliance of its own on it. Called by bench/run.py."""

import os
import pathlib
import subprocess

FAULT = "libskms_fault.so"
NSS_LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
                 "/usr/lib/aarch64-linux-gnu/libsoftokn3.so", "/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so")
# What keeps a module out of the table, as `skmsctl token probe` says it (docs/token-attributes.md).
LEFT_OUT = {"opencryptoki": "cannot wrap by RFC 5649: it keeps no key of ours",
            "SoftHSM behind p11-kit": "cannot wrap by RFC 5649 either: p11-kit's protocol does not carry the mechanism"}


class SoftHsm:
    name = "SoftHSM"
    module = "/usr/lib/softhsm/libsofthsm2.so"
    raw_options = ()

    def __init__(self, appliance_type, directory, **settings):
        self.appliance = appliance_type(directory, **settings)

    def prepare(self):
        self.appliance.prepare()
        return self.appliance

    @staticmethod
    def missing():
        return None


class Nss:
    name = "NSS softoken"
    module = next((path for path in NSS_LIBRARIES if os.path.exists(path)), None)

    def __init__(self, appliance_type, directory, **settings):
        arguments = (f"configdir='sql:{directory / 'nss'}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= "
                     "dbTokenDescription='skms'")
        self.raw_options = ("--init-args", arguments, "--kwp-mechanism", str(0x210B), "--oaep-sha256")

        class OnNss(appliance_type):
            def make_token(self):
                self.write_pin()
                (directory / "nss").mkdir()
                subprocess.run(["certutil", "-N", "-d", f"sql:{directory / 'nss'}", "-f", directory / "pin"], check=True,
                               capture_output=True)

        # It wraps keys that are not extractable, which only the profile "lab" bears.
        self.appliance = OnNss(directory, token__module=self.module, token__init_args=f'"{arguments}"', token__profile="lab",
                               **settings)

    def prepare(self):
        self.appliance.initialise()
        return self.appliance

    @classmethod
    def missing(cls):
        return None if cls.module and any((pathlib.Path(p) / "certutil").exists() for p in os.environ["PATH"].split(":")) \
            else "not installed (libnss3, libnss3-tools)"
