"""The arrows of the house: which folder may include which, and which third-party header belongs where.

The table is DESIGN's; docs/house.md shows it to people. `violations(path, text)` judges one file.
"""

import re

# Longest prefix wins. Value: the folders whose headers may be included, besides the folder's own.
ALLOWED = {
    "base": set(),
    # What programs say of themselves; a library of its own, so that libskmc's users need no Boost.Program_options.
    "base/manual": {"base"},
    "hsm": {"base"},
    "keystore": {"base", "hsm"},
    "api/http": {"base"},
    "api/auth": {"base", "api/http"},
    "api/seal": {"base", "keystore", "api/http", "api/auth"},
    # The administrator sees the token's own state (probe, transfer key), which no key record tells.
    "api/admin": {"base", "hsm", "keystore", "api/http", "api/auth"},
    # What a database's URL may say is the store's to know.
    "appliance/config": {"base", "keystore"},
    "appliance": {"base", "base/manual", "hsm", "keystore", "api/http", "api/auth", "api/seal", "api/admin", "appliance/config"},
    "provisioning": {"base", "base/manual", "hsm", "keystore", "appliance/config"},
    "client": {"base", "base/manual"},
}

# Third-party header prefix -> where it may be included: (folders, may it stand in a header file).
THIRD_PARTY = {
    "p11-kit/": ({"hsm"}, True),
    "dlfcn.h": ({"hsm"}, False),
    "httplib.h": ({"api/http/httplib_transport.cpp", "provisioning/admin_client.cpp"}, False),
    "soci/": ({"keystore"}, True),
    "sqlite3.h": ({"keystore"}, False),
    "libpq-fe.h": ({"keystore"}, False),
    "yaml-cpp/": ({"appliance/config"}, False),
    "cjose/": ({"api/auth"}, False),
    "curl/": ({"client", "appliance/https.cpp", "appliance/issuer_keys.cpp", "appliance/notifier.cpp"}, False),
    "nlohmann/json.hpp": ({"api", "client", "provisioning"}, False),
    "nlohmann/json_fwd.hpp": ({"api", "client", "provisioning"}, True),
    "spdlog/": ({"base/log.cpp"}, False),
    "prometheus/": ({"appliance/metric_text.cpp"}, False),
    "systemd/": ({"appliance"}, False),
    "boost/program_options": ({"appliance", "provisioning", "client", "base/manual"}, True),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.MULTILINE)
CK_TYPE = re.compile(r"\bCK[A-Z]?_[A-Z_0-9]{2,}\b|\bCK_[A-Z]")


def folder_of(path):
    """The room of the house that `path` belongs to, or None for tests, bench and the like."""
    for name in sorted(ALLOWED, key=len, reverse=True):
        if path.startswith(name + "/"):
            return name
    return None


def without_comments(text):
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def violations(path, text):
    """Sentences saying what `text`, standing at `path`, includes against the rules."""
    room = folder_of(path)
    if room is None:
        return []
    found = []
    for quote, name in INCLUDE.findall(text):
        target = folder_of(name)
        if quote == '"' and target is None:
            found.append(f'{path}: "{name}" is not named from the root of the house')
        if quote == "<" and target is not None:
            found.append(f"{path}: <{name}> is ours and stands in quotes")
        if target is not None and target != room and target not in ALLOWED[room]:
            found.append(f"{path}: {room} may not include {target} ({name})")
        if quote == '"' or target is not None:
            continue
        for prefix, (places, in_headers) in THIRD_PARTY.items():
            if not name.startswith(prefix):
                continue
            if not any(path == place or path.startswith(place + "/") for place in places):
                found.append(f"{path}: <{name}> belongs to {', '.join(sorted(places))}")
            elif path.endswith(".h") and not in_headers:
                found.append(f"{path}: <{name}> must stay out of headers")
    if room != "hsm" and CK_TYPE.search(without_comments(text)):
        found.append(f"{path}: a CK_ name outside hsm/")
    return found
