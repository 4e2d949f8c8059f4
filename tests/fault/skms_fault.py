#!/usr/bin/env python3
"""Orders faults from a process that has loaded libskms_fault.so, over its control socket.

As a command it sends one command and prints the answer; as a module, FaultSocket does the same for tests.
Standard library only.
"""

import argparse
import collections
import pathlib
import socket
import sys

Counter = collections.namedtuple("Counter", "calls refused nanoseconds", defaults=(0, 0, 0))


class FaultError(Exception):
    """The module answered "error ..."; the text says what to do."""


class FaultSocket:
    """A connection to the control socket; a context manager."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.lines.close()
        self.socket.close()

    def run(self, command):
        """The lines of the answer before its "ok". Raises FaultError, and OSError when the process has gone."""
        if "\n" in command:
            raise FaultError("give one command at a time")
        self.socket.sendall(command.encode() + b"\n")
        answer = []
        for line in self.lines:
            line = line.rstrip("\n")
            if line == "ok":
                return answer
            if line.startswith("error "):
                raise FaultError(line.removeprefix("error "))
            answer.append(line)
        raise ConnectionResetError("the process closed the connection")

    def counters(self):
        """Counter by function name; functions never called count 0. Also "most-inside" and "finalize-under-call"."""
        counted = collections.defaultdict(Counter)
        for line in self.run("counters"):
            name, *numbers = line.split()
            if name.endswith(":"):
                counted[name.rstrip(":")] = int(numbers[0])
            else:
                counted[name] = Counter(*map(int, numbers))
        return counted


def main():
    parser = argparse.ArgumentParser(
        description="Orders a fault from a process that has loaded libskms_fault.so with SKMS_FAULT_CONTROL=SOCKET.",
        epilog="Examples: fail C_Sign CKR_DEVICE_ERROR times 3 | hang C_Sign 30 | hide CKM_AES_GCM | away 20 slot +1 | "
        "counters | clear. The command 'help' lists all. An asterisk for the function needs quotes in a shell. "
        "Exit code 1: the command was refused, or nobody listens on the socket.",
    )
    parser.add_argument("socket", metavar="SOCKET", type=pathlib.Path, help="the path in SKMS_FAULT_CONTROL")
    parser.add_argument("command", metavar="COMMAND", nargs="+", help="the command and its words")
    arguments = parser.parse_args()
    try:
        with FaultSocket(arguments.socket) as fault:
            print("\n".join([*fault.run(" ".join(arguments.command)), "ok"]))
    except FaultError as error:
        print(f"error {error}")
        return 1
    except OSError as error:
        print(f"error {arguments.socket}: {error}; is the process up, and is this its SKMS_FAULT_CONTROL?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
