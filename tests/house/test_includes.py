"""Every #include keeps to the table of include_rules.py."""

import pathlib

import pytest

from include_rules import ALLOWED, violations

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in ALLOWED
    for path in (ROOT / room).rglob("*")
    if path.suffix in {".h", ".cpp"}
)


def test_the_house_has_sources_in_every_room():
    for room in ALLOWED:
        assert any(source.startswith(room + "/") for source in SOURCES), room


def test_no_include_breaks_the_table():
    found = [v for source in sorted(set(SOURCES)) for v in violations(source, (ROOT / source).read_text())]
    assert not found, "\n".join(found)


def test_the_table_has_no_cycle():
    def reaches(start, goal, seen):
        return any(
            nxt == goal or (nxt not in seen and reaches(nxt, goal, seen | {nxt})) for nxt in ALLOWED[start]
        )

    for room in ALLOWED:
        assert not reaches(room, room, {room}), room


@pytest.mark.parametrize(
    "path,text",
    [
        ("base/clock.h", '#include "hsm/token.h"\n'),
        ("keystore/key_store.cpp", '#include "api/http/message.h"\n'),
        ("client/fetch.cpp", '#include "keystore/key_store.h"\n'),
        ("provisioning/init.cpp", '#include "appliance/appliance.h"\n'),
        ("api/seal/km_s.cpp", "#include <httplib.h>\n"),
        ("keystore/records.h", "#include <sqlite3.h>\n"),
        ("api/http/json.h", "#include <nlohmann/json.hpp>\n"),
        ("keystore/key_store.cpp", "CK_SESSION_HANDLE session = 0;\n"),
        ("keystore/key_store.cpp", "auto m = CKM_AES_KEY_WRAP;\n"),
        ("hsm/token.cpp", '#include "token.h"\n'),
        ("base/clock.h", "#include <hsm/token.h>\n"),
        ("hsm/token.cpp", "#include <base/result.h>\n"),
    ],
)
def test_a_forbidden_include_is_found(path, text):
    assert violations(path, text)


@pytest.mark.parametrize(
    "path,text",
    [
        ("hsm/token.cpp", '#include <p11-kit/pkcs11.h>\n#include "base/result.h"\nCK_RV rv = 0;\n'),
        ("keystore/key_store.h", "// 0x210A: never a CKM_ number, no CK_ type\n"),
        ("api/seal/km_s.cpp", '#include "api/auth/authenticator.h"\n#include <nlohmann/json.hpp>\n'),
    ],
)
def test_an_allowed_include_passes(path, text):
    assert not violations(path, text)
