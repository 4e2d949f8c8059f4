"""Judges an answer by an OpenAPI file: our own always, the official one where it is at hand."""

import pathlib

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "api/openapi/skms_km_s.yaml"
OFFICIAL = ROOT.parent / "shared/3gpp/openapi/TS29549_SS_KeyInfoRetrieval.yaml"
CACHE = {}


def load(path):
    if path not in CACHE:
        CACHE[path] = yaml.safe_load(path.read_text())
    return CACHE[path]


def check(path, pointer, value):
    """`value` against the schema at `pointer` of the file; references may lead to its neighbours."""
    store = {}
    for neighbour in path.parent.glob("*.yaml"):
        if path.parent == OURS.parent or neighbour.name.startswith(("TS29549_SS_Key", "TS29549_SS_User", "TS29122_C", "TS29571")):
            store[neighbour.as_uri()] = load(neighbour)
    resolver = jsonschema.RefResolver(path.as_uri(), load(path), store=store)
    jsonschema.Draft4Validator({"$ref": path.as_uri() + "#" + pointer}, resolver=resolver).validate(value)


def check_val_key_info(answer):
    check(OURS, "/components/schemas/ValKeyInfo", answer)


def official_or_skip():
    if not OFFICIAL.exists():
        pytest.skip(f"the official YAML is not at {OFFICIAL.parent}")
    return OFFICIAL
