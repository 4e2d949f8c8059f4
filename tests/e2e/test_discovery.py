"""What a client learns before its first request, and that it is true."""

import json

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openapi import ROOT, check

DISCOVERY = ROOT / "api/openapi/skms_discovery.yaml"


def test_discovery_needs_no_token_and_conforms(shared):
    answer = shared.curl("/.well-known/skms", token=None)
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    check(DISCOVERY, "/components/schemas/Discovery", answer.json)
    assert answer.json["skmsUri"] == shared.url and answer.json["skmsId"] == "skms-test"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    again = shared.curl("/.well-known/skms", token=None, headers=[f"If-None-Match: {answer.headers['etag']}"])
    assert again.status == 304 and again.body == ""


def test_every_published_api_is_there_and_every_key_comes_in_a_published_form(shared):
    found = shared.curl("/.well-known/skms", token=None).json
    for api in found["apis"]:
        root = shared.ue_url if api["referencePoint"] == "KM-UU" else shared.url
        assert api["uri"].startswith(root)
        unknown = shared.curl(api["uri"][len(root):] + "/no-such-resource", url=root)
        assert unknown.status == 404
    known = [a["uri"].removeprefix(shared.url) for a in found["apis"]]
    assert "/ss-kir/v1" in known and "/seal-x1/v1" in known
    assert shared.key()["wrapped"]["alg"] in found["wrapping"]


def test_an_independent_jose_library_reads_the_published_keys(shared):
    keys = {key["use"]: key for key in shared.curl("/.well-known/skms", token=None).json["jwks"]["keys"]}
    transfer = jwt.algorithms.RSAAlgorithm.from_jwk(json.dumps(keys["enc"]))
    assert transfer.key_size == 3072
    admin = shared.ask_admin("/admin/v1/transfer-key")
    spki = transfer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert jwt.utils.base64url_encode(spki).decode() == admin["spki"]
    algorithm = {"EC": jwt.algorithms.ECAlgorithm, "RSA": jwt.algorithms.RSAAlgorithm}[keys["sig"]["kty"]]
    assert algorithm.from_jwk(json.dumps(keys["sig"])).public_numbers()


def test_it_holds_no_private_member_and_answers_other_methods_with_405(shared):
    found = shared.curl("/.well-known/skms", token=None).json
    for key in found["jwks"]["keys"]:
        assert not {"d", "p", "q", "k", "dp", "dq", "qi"} & set(key)
    refused = shared.curl("/.well-known/skms", "--request", "POST", "--data-binary", "{}", token=None)
    assert refused.status == 405 and refused.headers["allow"] == "GET, HEAD, OPTIONS"
