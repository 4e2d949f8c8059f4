"""docs/conformance.md names tests that there are."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def rows():
    for line in (ROOT / "docs/conformance.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and not line.startswith(("| Requirement", "| Promise")):
            yield cells


def all_tests():
    names = set()
    for path in [*(ROOT / "tests/e2e").glob("test_*.py"), *(ROOT / "tests/conformance").glob("test_*.py")]:
        names |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    for path in (ROOT / "tests").rglob("*_test.cpp"):
        names |= {name.replace('\\"', '"') for name in re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.)*)"', path.read_text())}
    return names


def test_every_row_has_a_test_or_says_that_it_is_open():
    known = all_tests()
    count = 0
    for *_, where, tests in rows():
        named = re.findall(r"`([^`]+)`", tests)
        assert named or where == "open", where
        assert set(named) <= known, set(named) - known
        count += len(named)
    assert count > 30


def test_every_file_that_it_names_is_there():
    known = {path.name for folder in ("api", "hsm", "keystore", "appliance", "client") for path in (ROOT / folder).rglob("*.cpp")}
    for *_, where, _tests in rows():
        for name in re.findall(r"`([^`]+\.cpp)`", where):
            assert pathlib.Path(name).name in known, name
