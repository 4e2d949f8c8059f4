"""Makes the software bill of materials of a build: SPDX 2.3 as JSON.

    sbom.py --root SOURCES --version VERSION --output FILE --header HEADER … PROGRAM …

The product with its source files, its programs, the Debian packages of the libraries that each program is linked to,
those that these libraries are linked to, and those of the headers whose code is compiled in. The same sources, programs
and packages give the same octets where SOURCE_DATE_EPOCH is set.
"""

import argparse
import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
import uuid

FOLDERS = ["api", "appliance", "base", "client", "cmake", "hsm", "keystore", "provisioning", "systemd"]
LICENCE = "Apache-2.0"
UNKNOWN = "NOASSERTION"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def spdx_id(kind, name):
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", lambda found: f"-{ord(found[0]):x}-", name)


def source_files(root):
    found = [root / "CMakeLists.txt", root / "LICENSE"]
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(found)


def file_entry(root, path):
    octets = path.read_bytes()
    name = path.relative_to(root).as_posix()
    return {
        "SPDXID": spdx_id("File", name), "fileName": "./" + name, "fileTypes": ["SOURCE" if path.suffix in {".cpp", ".h", ".py"} else "TEXT"],
        "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(octets).hexdigest()},
                      {"algorithm": "SHA256", "checksumValue": hashlib.sha256(octets).hexdigest()}],
        "licenseConcluded": LICENCE, "licenseInfoInFiles": [UNKNOWN], "copyrightText": UNKNOWN,
    }


def verification_code(files):
    """SPDX 2.3 7.9.4."""
    sums = sorted(checksum["checksumValue"] for file in files for checksum in file["checksums"] if checksum["algorithm"] == "SHA1")
    return hashlib.sha1("".join(sums).encode()).hexdigest()


def needed_libraries(program):
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.+)\]", run("readelf", "-dW", program))


def library_paths():
    """By name, of this machine's loader."""
    paths = {}
    for line in run("/sbin/ldconfig", "-p").splitlines():
        if found := re.match(r"\s+(\S+) \([^)]*\) => (\S+)", line):
            paths.setdefault(found[1], found[2])
    return paths


@functools.cache
def owner(path):
    """The Debian package of a file, or None. With merged /usr, dpkg knows a file by the name that its package gave it."""
    resolved = os.path.realpath(path)
    for name in dict.fromkeys([path, resolved, path.removeprefix("/usr"), resolved.removeprefix("/usr"), "/usr" + path, "/usr" + resolved]):
        done = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()[0].rsplit(": ", 1)[0].split(",")[0]
    return None


def distribution():
    with open("/etc/os-release", encoding="utf-8") as file:
        said = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
    return said["ID"].strip('"'), said.get("VERSION_ID", "").strip('"')


@functools.cache
def debian_package(name):
    form = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Homepage}"
    package, version, architecture, source, source_version, homepage = run("dpkg-query", "--show", "--showformat", form, name).split("\t")
    vendor, release = distribution()
    quoted = urllib.parse.quote(version, safe="~.-")
    entry = {
        "SPDXID": spdx_id("Package", package), "name": package, "versionInfo": version, "supplier": "Organization: " + vendor.capitalize(),
        "downloadLocation": UNKNOWN, "filesAnalyzed": False, "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN,
        "sourceInfo": f"source package {source} {source_version}", "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/{vendor}/{package}@{quoted}?arch={architecture}&distro={vendor}-{release}"}],
    }
    if homepage:
        entry["homepage"] = homepage
    return entry


def own_package(name, version, purpose, **more):
    return {"SPDXID": spdx_id("Package", name), "name": name, "versionInfo": version, "downloadLocation": UNKNOWN, "licenseConcluded": LICENCE,
            "licenseDeclared": LICENCE, "copyrightText": UNKNOWN, "primaryPackagePurpose": purpose, **more}


class Bill:
    def __init__(self, version):
        self.version = version
        self.packages = {}
        self.relationships = []
        self.libraries = library_paths()
        self.walked = set()

    def add(self, package):
        return self.packages.setdefault(package["SPDXID"], package)["SPDXID"]

    def relate(self, one, kind, other):
        entry = {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
        if entry not in self.relationships:
            self.relationships.append(entry)

    def library(self, what, path):
        """Its Debian package, and those of the libraries that it needs itself. One that was installed otherwise is told as not known."""
        name = owner(path) if path else None
        if name:
            package = self.add(debian_package(name))
            if path not in self.walked:
                self.walked.add(path)
                for needed in needed_libraries(path) if ".so" in os.path.basename(path) else []:
                    other = self.library(needed, self.libraries.get(needed))
                    if other != package:
                        self.relate(package, "DEPENDS_ON", other)
            return package
        print(f"sbom.py: {what} belongs to no Debian package; the bill says that nothing is known of it", file=sys.stderr)
        return self.add({"SPDXID": spdx_id("Package", what), "name": what, "versionInfo": UNKNOWN, "downloadLocation": UNKNOWN,
                         "filesAnalyzed": False, "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN})

    def document(self, files, created):
        name = f"skms-{self.version}"
        content = {"packages": [self.packages[key] for key in sorted(self.packages)], "files": files,
                   "relationships": sorted(self.relationships, key=lambda one: tuple(one.values()))}
        # Unique to what it says: the same bill has the same name.
        digest = hashlib.sha256(json.dumps([created, content], sort_keys=True).encode()).hexdigest()
        return {
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
            "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
            "creationInfo": {"created": created, "creators": [f"Tool: skms-sbom-{self.version}"]}, **content,
        }


def creation_time():
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch else datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=pathlib.Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--header", action="append", default=[], type=pathlib.Path)
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    asked = parser.parse_args()

    files = [file_entry(asked.root, path) for path in source_files(asked.root)]
    bill = Bill(asked.version)
    product = bill.add(own_package("skms", asked.version, "APPLICATION", filesAnalyzed=True, licenseInfoFromFiles=[UNKNOWN],
                                   packageVerificationCode={"packageVerificationCodeValue": verification_code(files)}))
    bill.relate("SPDXRef-DOCUMENT", "DESCRIBES", product)
    for file in files:
        bill.relate(product, "CONTAINS", file["SPDXID"])
    for program in asked.programs:
        own = bill.add(own_package(program.name, asked.version, "APPLICATION", filesAnalyzed=False))
        bill.relate(product, "CONTAINS", own)
        for library in needed_libraries(program):
            bill.relate(own, "DYNAMIC_LINK", bill.library(library, bill.libraries.get(library)))
    for header in asked.header:
        bill.relate(product, "STATIC_LINK", bill.library(str(header), str(header)))
    text = json.dumps(bill.document(files, creation_time()), indent=1, ensure_ascii=False) + "\n"
    asked.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
