"""Runs a document: its ```sh blocks in one shell, in order, each followed by the ```text block of what it prints."""

import os
import pathlib
import re
import subprocess
import sys

from appliance import BIN, DEADLINE, ROOT

BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
ANY = "…"  # within a line: anything


def blocks(document):
    """[(commands, expected output)]; a block without ```text prints nothing."""
    return BLOCK.findall(document)


def fits(expected, printed):
    """Line by line, `…` in an expected one standing for any text of that line."""
    patterns = [".*".join(map(re.escape, line.split(ANY))) for line in expected.splitlines()]
    lines = printed.splitlines()
    return len(patterns) == len(lines) and all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, lines))


def run(document, directory, environment):
    """Runs it from the repository's root and compares; `directory` keeps what its blocks printed."""
    found = blocks(document)
    assert found, "no block to run"
    script = ""
    for number, (commands, _) in enumerate(found):
        script += f"exec >{directory}/printed-{number} 2>&1\n{commands}\n"
    # The documents say python3, and mean the one that has the packages.
    (directory / "bin").mkdir()
    (directory / "bin/python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE,
        env={**os.environ, **environment, "PATH": f"{directory / 'bin'}:{BIN}:{os.environ['PATH']}", "TMPDIR": str(directory)})
    for number, (commands, expected) in enumerate(found):
        path = pathlib.Path(directory / f"printed-{number}")
        printed = path.read_text() if path.exists() else "(did not run)"
        assert path.exists() and fits(expected, printed), f"{commands}\nshould print\n{expected}\nand printed\n{printed}\n{done.stderr}"
    assert done.returncode == 0, done.stderr
