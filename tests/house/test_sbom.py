"""The software bill of materials that the build has made: SPDX 2.3, whole, and true to what was built."""

import collections
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SKMS_BIN", ROOT / "build/release/bin"))
BUILD = BIN.parent
PROGRAMS = ["skmsd", "skmsctl", "skmc"]
# Whose headers every C++ program reads; their libraries are among those that programs are linked to, or have no code.
TOOLCHAIN = {"gcc-12", "glibc", "linux"}
PURL = re.compile(r"pkg:deb/debian/[a-z0-9][a-z0-9+.-]+@[A-Za-z0-9.%~-]+\?arch=[a-z0-9]+&distro=debian-\d+")


@pytest.fixture(scope="module")
def bill():
    return json.loads((BUILD / "skms.spdx.json").read_text(encoding="utf-8"))


def related(bill, one, kind):
    return {entry["relatedSpdxElement"] for entry in bill["relationships"] if entry["spdxElementId"] == one and entry["relationshipType"] == kind}


def by_id(bill):
    return {element["SPDXID"]: element for element in [bill, *bill["packages"], *bill["files"]]}


def purl(package):
    [reference] = [one["referenceLocator"] for one in package["externalRefs"] if one["referenceType"] == "purl"]
    return reference


@functools.cache
def dpkg_files():
    """Every file that a Debian package brought, by its name with merged /usr."""
    owners = {}
    for path in pathlib.Path("/var/lib/dpkg/info").glob("*.list"):
        for name in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            owners.setdefault(os.path.realpath(os.path.dirname(name)) + "/" + os.path.basename(name), set()).add(path.stem)
    return owners


def owners_of(path):
    return dpkg_files()[os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)]


def dpkg(field, package):
    return subprocess.run(["dpkg-query", "-W", "-f", "${" + field + "}", package], capture_output=True, text=True, check=True).stdout


def test_the_document_has_what_spdx_requires(bill):
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    assert bill["name"] and re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["creationInfo"]["created"])
    assert all(re.match(r"(Tool|Person|Organization): \S", creator) for creator in bill["creationInfo"]["creators"])
    assert related(bill, "SPDXRef-DOCUMENT", "DESCRIBES") == {"SPDXRef-Package-skms"}


def test_every_element_has_an_id_of_its_own_and_every_relation_two_elements(bill):
    elements = [bill, *bill["packages"], *bill["files"]]
    counted = collections.Counter(element["SPDXID"] for element in elements)
    assert [name for name, count in counted.items() if count > 1 or not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name)] == []
    for entry in bill["relationships"]:
        assert entry["spdxElementId"] in counted and entry["relatedSpdxElement"] in counted, entry
    reached = {entry["relatedSpdxElement"] for entry in bill["relationships"]}
    assert set(counted) - reached == {"SPDXRef-DOCUMENT"}


def test_every_package_has_what_spdx_requires(bill):
    for package in bill["packages"]:
        for field in ("name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"):
            assert package[field], (package["name"], field)
        assert package["filesAnalyzed"] == (package["name"] == "skms")
        if package["name"] in {"skms", *PROGRAMS}:
            assert package["licenseDeclared"] == "Apache-2.0"
        else:
            assert PURL.fullmatch(purl(package)), purl(package)
            assert package["sourceInfo"].startswith("source package ")


def test_the_files_are_those_of_the_product_as_they_are(bill):
    named = {entry["fileName"] for entry in bill["files"]}
    sources = {f"./{path.relative_to(ROOT)}" for folder in ("base", "hsm", "keystore", "api", "appliance", "provisioning", "client")
               for suffix in ("*.cpp", "*.h") for path in (ROOT / folder).rglob(suffix)}
    assert sources <= named
    sums = []
    for entry in bill["files"]:
        octets = (ROOT / entry["fileName"]).read_bytes()
        told = {one["algorithm"]: one["checksumValue"] for one in entry["checksums"]}
        assert told == {"SHA1": hashlib.sha1(octets).hexdigest(), "SHA256": hashlib.sha256(octets).hexdigest()}, entry["fileName"]
        assert entry["licenseConcluded"] and entry["copyrightText"] and entry["licenseInfoInFiles"]
        sums.append(told["SHA1"])
    product = by_id(bill)["SPDXRef-Package-skms"]
    assert product["packageVerificationCode"]["packageVerificationCodeValue"] == hashlib.sha1("".join(sorted(sums)).encode()).hexdigest()
    assert related(bill, "SPDXRef-Package-skms", "CONTAINS") == {e["SPDXID"] for e in bill["files"]} | {f"SPDXRef-Package-{p}" for p in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_library_that_a_program_needs_is_one_of_its_packages(bill, program):
    elements = by_id(bill)
    linked = {elements[one]["name"]: elements[one] for one in related(bill, f"SPDXRef-Package-{program}", "DYNAMIC_LINK")}
    loaded = subprocess.run(["ldd", BIN / program], capture_output=True, text=True, check=True).stdout
    paths = dict(re.findall(r"(\S+) => (\S+) \(0x", loaded)) | {os.path.basename(path): path for path in re.findall(r"^\s+(/\S+) \(0x", loaded, re.M)}
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", subprocess.run(["readelf", "-dW", BIN / program], capture_output=True, text=True, check=True).stdout)
    assert len(needed) > 3
    owners = set()
    for library in needed:
        [package] = owners_of(paths[library])
        owners.add(package.split(":")[0])
        told = linked[package.split(":")[0]]
        assert told["versionInfo"] == dpkg("Version", package)
        assert told["sourceInfo"] == f"source package {dpkg('source:Package', package)} {dpkg('source:Version', package)}"
    assert set(linked) == owners
    # What comes along with them is there, too.
    named = {package["name"] for package in bill["packages"]}
    assert {package.split(":")[0] for path in paths.values() for package in owners_of(path)} <= named


def test_every_header_that_the_compiler_read_is_of_a_source_package_in_the_bill(bill):
    read = subprocess.run(["ninja", "-C", BUILD, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    headers, ours = set(), False
    for line in read.splitlines():
        if line and not line.startswith(" "):
            ours = re.match(r"(base|hsm|keystore|api|appliance|provisioning|client)/CMakeFiles/", line) is not None
        elif ours and line.startswith("    /usr/"):
            headers.add(line.strip())
    assert len(headers) > 1000
    packages = {package for header in headers for package in owners_of(header)}
    sources = {dpkg("source:Package", package) for package in packages}
    told = {package["sourceInfo"].split()[2] for package in bill["packages"] if "sourceInfo" in package}
    assert {source for source in sources if source not in told} - TOOLCHAIN == set(), sources


def test_the_same_build_gives_the_same_bill(tmp_path):
    outputs = []
    for name in ("one", "two"):
        output = tmp_path / name
        command = [sys.executable, ROOT / "cmake/sbom.py", "--root", ROOT, "--version", "9.9", "--output", output,
                   "--header", "/usr/include/nlohmann/json.hpp", *(BIN / program for program in PROGRAMS)]
        subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1800000000"})
        outputs.append(output.read_bytes())
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["creationInfo"]["created"] == "2027-01-15T08:00:00Z"


def test_it_is_installed_with_the_product():
    assert re.search(r"install\(FILES \$\{sbom\} DESTINATION share/doc/skms\)", (ROOT / "cmake/sbom.cmake").read_text(encoding="utf-8"))
