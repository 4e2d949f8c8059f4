"""The counter of tests/run.sh: what it adds up decides whether a change lands."""

import importlib.util
import pathlib

SPEC = importlib.util.spec_from_file_location("count", pathlib.Path(__file__).resolve().parents[1] / "count.py")
COUNT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(COUNT)


def test_summaries_of_both_kinds_are_added():
    log = """
1: [doctest] test cases:  26 |  25 passed | 1 failed | 0 skipped
1/2 Test  #1: unit.unit_api_http ...***Failed    0.13 sec
2: 1 failed, 101 passed, 2 skipped in 64.80s (0:01:04)
2/2 Test #2: e2e.km_s .........................***Failed   66.23 sec
"""
    assert COUNT.count(log) == (126, 2, 2)


def test_a_program_that_died_before_counting_is_a_failure():
    log = """
1/2 Test  #1: unit.a ...***Exception: SegFault  0.13 sec
2: ============== 3 passed in 0.02s ==============
2/2 Test  #2: house.b ....   Passed    0.18 sec
"""
    assert COUNT.count(log) == (3, 1, 0)


def test_programs_that_run_side_by_side_do_not_cover_for_each_other():
    log = """
1: [doctest] test cases:  2 |  1 passed | 1 failed | 0 skipped
2/2 Test  #2: unit.b ...***Exception: SegFault  0.13 sec
1/2 Test  #1: unit.a ...***Failed    0.13 sec
"""
    assert COUNT.count(log) == (1, 2, 0)


def test_an_error_while_collecting_is_a_failure():
    assert COUNT.count("1: 2 passed, 1 error in 0.50s\n1/1 Test #1: e2e.x ...***Failed 1 sec\n") == (2, 1, 0)


def test_a_case_that_says_it_was_skipped_is_not_counted_as_passed():
    log = """
1: skipped: a payload is sealed: token lacks AES-GCM
2: skipped: contract.opencryptoki: its daemon needs root
1: [doctest] test cases:  5 |  5 passed | 0 failed | 0 skipped
2/2 Test  #1: contract.nss ...   Passed    0.13 sec
1/2 Test  #2: contract.opencryptoki ...***Skipped   0.13 sec
"""
    assert COUNT.count(log) == (4, 0, 2)
