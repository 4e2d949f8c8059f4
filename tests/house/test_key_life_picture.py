"""docs/key-life.svg is drawn from the transition table; it is redrawn when the table changes."""

import html
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKMS_BIN", ROOT / "build/release/bin"))


def test_the_picture_shows_the_transition_table():
    graph = subprocess.run([BIN / "life_cycle_picture"], capture_output=True, text=True, check=True).stdout
    table = sorted(re.findall(r'^  "(\S+)" -> "(\S+)" \[label="(\w+)"', graph, re.M))
    assert len(table) > 10
    svg = html.unescape((ROOT / "docs/key-life.svg").read_text(encoding="utf-8"))
    drawn = re.findall(r"<title>(\S+?)->(\S+?)</title>.*?<text [^>]*>(\w+)</text>", svg, re.S)
    assert sorted(drawn) == table, "redraw it: cmake --build build/release --target key_life_picture"
    for line in re.findall(r'\[label="(.*?)"\];$', graph, re.M):
        for part in line.split("\\n"):
            if " -> " not in part:
                assert f">{part}<" in svg, part
