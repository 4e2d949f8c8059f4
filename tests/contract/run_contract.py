#!/usr/bin/env python3
"""Prepares a token of one PKCS#11 module, starts what it needs, runs the contract suite on it and clears up.

    run_contract.py MODULE PROGRAM [ARGUMENT …]      MODULE: softhsm, nss, opencryptoki, p11kit

The program learns of the token by SKMS_CONTRACT_MODULE, _INIT_ARGS, _LABEL and _PIN; nothing tells it which module it is.
Everything lies in a temporary directory; daemons are ended by their own process id. opencryptoki has fixed paths, so it
runs in namespaces of its own, which needs root; without, the exit code is 77 (ctest: skipped).
"""

import contextlib
import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

LABEL = "skms"
PIN = "648219"
SO_PIN = "76543210"
SKIPPED = 77


class CannotRun(Exception):
    """What this host lacks, in words."""


def library(name):
    found = sorted(glob.glob(f"/usr/lib/*/{name}") + glob.glob(f"/usr/lib/{name}"))
    if not found:
        raise CannotRun(f"no {name} under /usr/lib; tests/packages.txt names its package")
    return found[0]


def quietly(command, **options):
    done = subprocess.run(command, text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed ({done.returncode}): {done.stdout}{done.stderr}")


@contextlib.contextmanager
def daemon(command, ready, what, **options):
    """Runs `command` until the block ends; waits at most 20 s until `ready()`."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as process:
        try:
            deadline = time.monotonic() + 20
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{what} does not come up (exit {process.poll()})")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def softhsm(directory):
    tokens = directory / "tokens"
    tokens.mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    quietly(["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN])
    yield {"MODULE": library("softhsm/libsofthsm2.so")}


@contextlib.contextmanager
def nss(directory):
    pin_file = directory / "pin"
    pin_file.write_text(PIN)
    database = directory / "nss"
    database.mkdir()
    quietly(["certutil", "-N", "-d", f"sql:{database}", "-f", str(pin_file)])
    yield {
        "MODULE": library("libsoftokn3.so"),
        "INIT_ARGS": f"configdir='sql:{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= "
        f"dbTokenDescription='{LABEL}'",
    }


@contextlib.contextmanager
def p11kit(directory):
    """SoftHSM2 behind a socket: its module runs in another process, as a network HSM's does."""
    with softhsm(directory) as token:
        socket = directory / "p11-kit.sock"
        command = ["p11-kit", "server", "--foreground", "--provider", token["MODULE"], "--name", str(socket)]
        with daemon([*command, f"pkcs11:token={LABEL}"], socket.exists, "p11-kit server"):
            os.environ["P11_KIT_SERVER_ADDRESS"] = f"unix:path={socket}"
            del os.environ["SOFTHSM2_CONF"]  # the client must not need it
            yield {"MODULE": library("pkcs11/p11-kit-client.so")}


@contextlib.contextmanager
def opencryptoki(_directory):
    """The soft token, with its paths on file systems that only this process and its children see."""
    for path in ("/etc/opencryptoki", "/var/lib/opencryptoki", "/run", "/dev/shm"):
        quietly(["mount", "-t", "tmpfs", "none", path])
    for path in ("/run/lock/opencryptoki/swtok", "/var/lib/opencryptoki/swtok/TOK_OBJ"):
        os.makedirs(path)
    for path in ("/run/lock/opencryptoki", "/var/lib/opencryptoki"):
        quietly(["chgrp", "-R", "pkcs11", path])
        quietly(["chmod", "-R", "0770", path])
    pathlib.Path("/etc/opencryptoki/opencryptoki.conf").write_text(
        "version opencryptoki-3.1\nslot 0\n{\nstdll = libpkcs11_sw.so\n}\n")
    ready = lambda: subprocess.run(["pkcsconf", "-t"], capture_output=True, check=False).returncode == 0
    with daemon(["pkcsslotd", "-f"], ready, "pkcsslotd", stderr=subprocess.DEVNULL):
        # Nothing works before the preset PIN of the security officer is changed.
        quietly(["pkcsconf", "-c", "0", "-I", "-S", "87654321"], input=f"{LABEL}\n")
        quietly(["pkcsconf", "-c", "0", "-P", "-S", "87654321", "-n", SO_PIN])
        quietly(["pkcsconf", "-c", "0", "-u", "-S", SO_PIN, "-n", PIN])
        # The library leaks, and unloads what leaked: no suppression can name it. Other modules' runs look for ours.
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        yield {"MODULE": library("pkcs11/libopencryptoki.so")}


NEEDS = {"softhsm": ["softhsm2-util"], "nss": ["certutil"], "p11kit": ["softhsm2-util", "p11-kit"],
         "opencryptoki": ["pkcsslotd", "pkcsconf", "unshare"]}
PREPARE = {"softhsm": softhsm, "nss": nss, "p11kit": p11kit, "opencryptoki": opencryptoki}
INSIDE = "SKMS_CONTRACT_INSIDE"  # set in the namespaces of opencryptoki


def run(name, command):
    with tempfile.TemporaryDirectory(prefix=f"skms-contract-{name}-") as directory:
        with PREPARE[name](pathlib.Path(directory)) as token:
            settings = {"LABEL": LABEL, "PIN": PIN, "INIT_ARGS": "", **token}
            environment = {f"SKMS_CONTRACT_{key}": value for key, value in settings.items()}
            return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in PREPARE:
        sys.exit(__doc__)
    name, command = sys.argv[1], sys.argv[2:]
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    try:
        for program in NEEDS[name]:
            if shutil.which(program) is None:
                raise CannotRun(f"no program {program}; tests/packages.txt names its package")
        if name == "opencryptoki" and INSIDE not in os.environ:
            if os.geteuid() != 0:
                raise CannotRun("opencryptoki's daemon needs root")
            unshare = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
            os.environ[INSIDE] = "1"
            sys.stdout.flush()
            os.execvp("unshare", [*unshare, sys.executable, __file__, name, *command])
        code = run(name, command)
    except CannotRun as error:
        print(f"skipped: contract.{name}: {error}")
        code = SKIPPED
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
