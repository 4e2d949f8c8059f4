"""Counts test cases in the log of `ctest --verbose`: count.py LOG CTEST_STATUS. Prints "N passed, N failed" last.

A case that says "skipped: CASE: why" did not pass, whatever its program's summary says.

A program that crashed, or was killed before it could count, is one failure more.
"""

import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases: *(\d+) \| *(\d+) passed \| *(\d+) failed")
PYTEST = re.compile(r"^\d+: =*\s*((?:\d+ (?:passed|failed|errors?|skipped|warnings?|deselected|xfailed|xpassed)(?:, )?)+) in ")
SKIPPED = re.compile(r"^\d+: skipped: ")
CTEST = re.compile(r"^ *\d+/\d+ Test +#(\d+): \S+ \.+ *(.*)$")
NUMBER = re.compile(r"^(\d+): ")


def count(log):
    passed = failed = skipped = 0
    in_summary = {}  # skipped cases that the summary of the same test will count as passed
    failures_counted = set()  # numbers of ctest's tests, which run side by side
    for line in log.splitlines():
        number = found[1] if (found := NUMBER.match(line)) else None
        if found := DOCTEST.search(line):
            passed += int(found[2]) - in_summary.pop(number, 0)
            failed += int(found[3])
            if int(found[3]) > 0:
                failures_counted.add(number)
        elif SKIPPED.match(line):
            skipped += 1
            in_summary[number] = in_summary.get(number, 0) + 1
        elif found := PYTEST.match(line):
            numbers = {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) (\w+)", found[1])}
            passed += numbers.get("passed", 0)
            skipped += numbers.get("skipped", 0)
            bad = numbers.get("failed", 0) + numbers.get("error", 0)
            failed += bad
            if bad > 0:
                failures_counted.add(number)
        elif found := CTEST.match(line):
            if "Passed" not in found[2] and "Skipped" not in found[2] and found[1] not in failures_counted:
                failed += 1
    return passed, failed, skipped


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        passed, failed, skipped = count(file.read())
    if int(sys.argv[2]) != 0 and failed == 0:
        failed = 1
    if skipped:
        print(f"({skipped} skipped; the log says why)")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
