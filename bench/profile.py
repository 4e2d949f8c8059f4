"""Where a cached delivery's instructions go, as numbers and as a picture.

    bench/profile.py --bin build/release/bin --json FILE            counts, of the programs there
    bench/profile.py --picture FILE.svg --of NAME=FILE [--of …]     draws what was counted, one bar for each

Inclusive instructions of the functions that stand for a part of the work, by callgrind, on one connection (as bench/check).
"""

import argparse
import html
import json
import pathlib
import re
import subprocess
import tempfile

# A part of the work, its colour, and the functions whose inclusive costs it is the sum of; parts that lie within it come off.
PARTS = (
    ("audit entry on disk", "#c0504d", ("Database::State::WriteLoop",), ()),
    ("certificate and token", "#8064a2", ("Reception::Admit",), ()),
    ("rows, policy, wrapped key", "#4f81bd", ("KeyStore::Deliver(",), ()),
    ("JSON", "#9bbb59", ("EncodeValKeyInfo", "ValKeyInfoForm::Of", "seal::EntityTag"), ()),
    ("TLS, HTTP, routing", "#a6a6a6", ("Server::Serve",), ("KeyRecords::Get", "Connection::Handshake")),
)
REQUESTS = 600


def inclusive(dump):
    """Function → inclusive instructions; the largest of what bears a name."""
    text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", dump], capture_output=True, text=True, check=True).stdout
    return [(match[2], int(match[1].replace(",", ""))) for match in re.finditer(r"^ *([0-9,]+) \([^)]*\) +(.*)$", text, re.M)]


def cost(functions, name):
    return max((count for function, count in functions if name in function), default=0)


def count(binaries):
    import cached
    import check
    import tokens
    from pools import DELIVER
    from run import Bench

    arguments = argparse.Namespace(bin=binaries, quick=True)
    with tempfile.TemporaryDirectory(prefix="skms-profile-") as made:
        directory = pathlib.Path(made)
        bench = Bench(arguments, tokens.SoftHsm, directory)
        bench.appliance.bin = bench.bin
        check.daemon_under_callgrind(bench, directory)
        bench.start(store__answer_cache_bytes=cached.CACHE_BYTES, listen__answer_time_ms=60000)
        bench.load(DELIVER, 1, 300, requests=check.FEW)
        counted = check.Counted(directory, bench.appliance.process.pid)
        counted.instructions(lambda: bench.load(DELIVER, 1, 300, requests=REQUESTS))
        dump = max(directory.glob("callgrind.*"), key=lambda file: file.stat().st_size)
        functions = inclusive(dump)
        assert bench.appliance.stop() == 0
    return {name: max(0, sum(cost(functions, one) for one in wholes) - sum(cost(functions, one) for one in less)) / REQUESTS
            for name, _, wholes, less in PARTS}


def picture(bars):
    """Stacked bars, as SVG."""
    left, width, height, gap = 90, 760, 44, 30
    most = max(sum(parts.values()) for _, parts in bars)
    total_height = 40 + len(bars) * (height + gap) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" height="{total_height}" '
           f'viewBox="0 0 {left + width + 110} {total_height}" font-family="sans-serif" font-size="13">',
           f'<rect width="100%" height="100%" fill="#ffffff"/>',
           '<text x="10" y="24" font-size="15">Instructions of one cached delivery, in thousands (callgrind, one connection)</text>']
    y = 40
    for name, parts in bars:
        out.append(f'<text x="10" y="{y + height / 2 + 5}">{html.escape(name)}</text>')
        x = left
        for part, colour, _, _ in PARTS:
            wide = parts.get(part, 0) / most * width
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{height}" fill="{colour}"/>')
            if wide > 34:
                out.append(f'<text x="{x + wide / 2:.1f}" y="{y + height / 2 + 5}" text-anchor="middle" fill="#ffffff">{parts[part] / 1000:.0f}</text>')
            x += wide
        out.append(f'<text x="{x + 8:.1f}" y="{y + height / 2 + 5}">{sum(parts.values()) / 1000:.0f}</text>')
        y += height + gap
    x = left
    for part, colour, _, _ in PARTS:
        out.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/><text x="{x + 17}" y="{y + 11}">{html.escape(part)}</text>')
        x += 35 + 7.2 * len(part)
    return "\n".join([*out, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin")
    parser.add_argument("--json")
    parser.add_argument("--picture")
    parser.add_argument("--of", action="append", default=[])
    arguments = parser.parse_args()
    if arguments.bin:
        parts = count(arguments.bin)
        for name, instructions in parts.items():
            print(f"{name:<28} {instructions:>9.0f}")
        if arguments.json:
            pathlib.Path(arguments.json).write_text(json.dumps(parts) + "\n")
    if arguments.picture:
        bars = [(one.partition("=")[0], json.loads(pathlib.Path(one.partition("=")[2]).read_text())) for one in arguments.of]
        pathlib.Path(arguments.picture).write_text(picture(bars))


if __name__ == "__main__":
    main()
