"""Checks one value by a schema of an OpenAPI file, with the judge's reader of such files."""

import pytest

from appliance import ROOT
from judge import OFFICIAL as OFFICIAL_FOLDER
from judge import OFFICIAL_FILES, Document

OURS = ROOT / "api/openapi/skms_km_s.yaml"
OFFICIAL = OFFICIAL_FOLDER / OFFICIAL_FILES["ss-kir"]


def check(path, pointer, value):
    """`value` against the schema at `pointer` of the file; references may lead to its neighbours."""
    Document(path).validate({"$ref": f"{path.as_uri()}#{pointer}"}, path.as_uri(), value)


def check_val_key_info(answer):
    check(OURS, "/components/schemas/ValKeyInfo", answer)


def official_or_skip():
    if not OFFICIAL.exists():
        pytest.skip(f"the official YAML is not at {OFFICIAL.parent}")
    return OFFICIAL
