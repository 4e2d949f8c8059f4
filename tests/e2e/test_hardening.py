"""The programs as they ship: what the compiler and the linker were to put into them, and what no memory of theirs may be."""

import platform
import re
import subprocess

import pytest

from appliance import BIN

PROGRAMS = ["skmsd", "skmsctl", "skmc"]


def readelf(program, option):
    return subprocess.run(["readelf", "-W", option, BIN / program], capture_output=True, text=True, check=True).stdout


def symbols(program):
    return set(re.findall(r"UND (\w+)", readelf(program, "--dyn-syms")))


@pytest.fixture(params=PROGRAMS)
def program(request):
    if "__asan_init" in symbols(request.param) or "__tsan_init" in symbols(request.param):
        pytest.skip("a sanitizer's program does not ship")
    return request.param


def test_it_lies_anywhere_in_memory(program):
    assert "Type:                              DYN" in readelf(program, "--file-header")
    assert re.search(r"FLAGS_1.*\bPIE\b", readelf(program, "--dynamic"))


def test_what_it_is_linked_to_is_fixed_at_its_start(program):
    assert "GNU_RELRO" in readelf(program, "--program-headers")
    assert re.search(r"FLAGS_1.*\bNOW\b", readelf(program, "--dynamic"))


def test_no_memory_is_both_written_and_run(program):
    segments = re.findall(r"^  (\w+) +0x\S+ 0x\S+ 0x\S+ 0x\S+ 0x\S+ ([R ][W ][E ])", readelf(program, "--program-headers"), re.M)
    assert any(name == "GNU_STACK" for name, _ in segments)
    assert [name for name, rights in segments if "W" in rights and "E" in rights] == []


def test_stack_and_buffers_are_guarded(program):
    found = symbols(program)
    assert "__stack_chk_fail" in found
    assert any(name.endswith("_chk") and name != "__stack_chk_fail" for name in found), "nothing is fortified"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86")
def test_jumps_land_where_they_may(program):
    # Debian's own objects carry no mark of it, so that the kernel does not enforce it yet; ours are ready.
    assert (BIN / program).read_bytes().count(b"\xf3\x0f\x1e\xfa") > 1000  # endbr64


def test_libraries_are_taken_from_where_the_system_has_them(program):
    assert not re.search(r"R(UN)?PATH", readelf(program, "--dynamic"))


def test_it_keeps_no_symbols_of_a_debugger_that_name_machines(program):
    assert b"/build/release" not in (BIN / program).read_bytes()
