"""Judges every answer by the OpenAPI files: our own always, and 3GPP's where their folder is at hand.

What fails: a status that the operation does not document, another media type, a member too many or too few, a header
that the file requires, a body where none may be. A path that no file knows must be answered with an error of
application/problem+json.
"""

import functools
import json
import os
import pathlib
import re
import urllib.parse

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "api/openapi"
OFFICIAL = pathlib.Path(os.environ.get("SKMS_3GPP_OPENAPI", ROOT.parent / "shared/3gpp/openapi"))
# Which of 3GPP's files describe what we serve, by the apiName in their paths.
OFFICIAL_FILES = {"ss-kir": "TS29549_SS_KeyInfoRetrieval.yaml", "ss-kpp": "TS29549_SS_KMParametersProvisioning.yaml"}
PROBLEM = "application/problem+json"
NO_BODY = (204, 304)


class Verdict(AssertionError):
    """An answer that its OpenAPI file does not allow."""


@functools.cache
def load(path):
    return yaml.safe_load(path.read_text())


class Document:
    """One OpenAPI file, with references followed into its neighbours."""

    def __init__(self, path):
        self.path = path
        self.root = load(path)
        self.resolver = jsonschema.RefResolver(
            path.as_uri(), self.root, handlers={"file": lambda uri: load(pathlib.Path(uri.removeprefix("file://")))}
        )

    def follow(self, node, base=None):
        """The node that a chain of $ref leads to, and the address it stands at."""
        while isinstance(node, dict) and "$ref" in node:
            address = urllib.parse.urljoin(base or self.path.as_uri(), node["$ref"])
            base, node = self.resolver.resolve(address)
        return node, base or self.path.as_uri()

    def operation(self, method, path):
        """(operation or None, whether the path is known)."""
        # A path without a template goes before those with one.
        for template, item in sorted(self.root["paths"].items(), key=lambda entry: entry[0].count("{")):
            pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", template))
            if re.fullmatch(pattern, path):
                return item.get(method.lower()), True
        return None, False

    def validate(self, schema, base, value):
        scoped = jsonschema.RefResolver(base.split("#")[0], self.resolver.resolve(base.split("#")[0])[1], handlers=self.resolver.handlers)
        errors = sorted(Validator(schema, resolver=scoped).iter_errors(value), key=str)
        if errors:
            error = jsonschema.exceptions.best_match(errors)
            raise Verdict(f"{self.path.name}: {'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}")


def nullable(validator, types, instance, schema):
    """OpenAPI 3.0's nullable."""
    if instance is None and schema.get("nullable"):
        return
    yield from jsonschema.Draft4Validator.VALIDATORS["type"](validator, types, instance, schema)


Validator = jsonschema.validators.extend(jsonschema.Draft4Validator, {"type": nullable})


@functools.cache
def ours():
    """apiRoot-relative prefix → document."""
    found = {}
    for path in sorted(OURS.glob("*.yaml")):
        for server in load(path).get("servers", []):
            prefix = server["url"].removeprefix("{apiRoot}")
            found.setdefault(prefix if prefix.startswith("/") else "", []).append(Document(path))
    return found


@functools.cache
def official(name):
    path = OFFICIAL / OFFICIAL_FILES.get(name, "none")
    return Document(path) if path.is_file() else None


def document_for(path):
    for prefix, documents in sorted(ours().items(), key=lambda entry: -len(entry[0])):
        if path == prefix or path.startswith(prefix + "/"):
            for document in documents:
                if document.operation("", path[len(prefix):])[1]:
                    return document, path[len(prefix):]
    return None, path


def media_type(headers):
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def body_of(status, headers, body, name):
    try:
        return json.loads(body)
    except ValueError as error:
        raise Verdict(f"{name}: {status} whose body is no JSON: {body[:100]!r}") from error


def check_problem(status, headers, body, name):
    if media_type(headers) != PROBLEM:
        raise Verdict(f"{name}: an error {status} is {media_type(headers) or 'without a media type'}, not {PROBLEM}")
    problem = body_of(status, headers, body, name)
    if not isinstance(problem, dict) or problem.get("status") != status:
        raise Verdict(f"{name}: the problem's status is not the answer's: {body[:200]}")


def check_by(document, method, path, status, headers, body):
    """One answer by one file."""
    operation, known = document.operation(method, path)
    name = f"{document.path.name} {method} {path}"
    if operation is None:
        wanted = (405, 501, 400, 401, 403, 404, 411, 413, 414, 415, 429, 431, 503) if known else range(400, 600)
        if status not in wanted:
            raise Verdict(f"{name}: {status} for an operation that is not there")
        return
    responses = operation["responses"]
    if str(status) not in responses and "default" not in responses:
        raise Verdict(f"{name}: {status} is not documented")
    response, base = document.follow(responses.get(str(status), responses.get("default")))
    for header, rule in response.get("headers", {}).items():
        rule, header_base = document.follow(rule, base)
        value = headers.get(header.lower())
        if value is None and rule.get("required"):
            raise Verdict(f"{name}: {status} without {header}")
        if value is not None and rule.get("schema", {}).get("type") == "string":
            document.validate(rule["schema"], header_base, value)
    content = response.get("content")
    if not content:
        # 3GPP's `default` is for whatever else goes wrong and names no body.
        if body and str(status) in responses:
            raise Verdict(f"{name}: {status} has a body")
        return
    if media_type(headers) not in content:
        raise Verdict(f"{name}: {status} is {media_type(headers)!r}; documented: {', '.join(content)}")
    schema = content[media_type(headers)].get("schema")
    if schema is not None:
        text = media_type(headers) in ("text/plain", "text/html")
        document.validate(schema, base, body if text else body_of(status, headers, body, name))


def check_head(path, status, headers):
    """As GET, but for the body, which is not there to be judged."""
    document, rest = document_for(path)
    operation, _ = document.operation("GET", rest) if document else (None, False)
    if status < 400 and (operation is None or str(status) not in operation["responses"]):
        raise Verdict(f"HEAD {path}: {status} is not documented for GET")
    if status not in NO_BODY and media_type(headers) not in ("application/json", "text/plain", "text/html", PROBLEM):
        raise Verdict(f"HEAD {path}: {status} is {media_type(headers) or 'without a media type'}")


def judge(method, target, status, headers, body):
    """Raises Verdict for an answer that may not be. `target` is the path and query under the apiRoot."""
    path = target.partition("?")[0]
    if method == "HEAD":
        if body:
            raise Verdict(f"HEAD {path}: has a body")
        check_head(path, status, headers)
        return
    if 400 <= status and method != "HEAD":
        check_problem(status, headers, body, f"{method} {path}")
    if status in NO_BODY and body:
        raise Verdict(f"{method} {path}: {status} has a body")
    document, rest = document_for(path)
    if method == "OPTIONS" and document is not None and status == 204:
        if "allow" not in headers:
            raise Verdict(f"OPTIONS {path}: 204 without Allow")
        return
    if document is None:
        if status < 400:
            raise Verdict(f"{method} {path}: {status} for a path that no OpenAPI file knows")
        return
    check_by(document, method, rest, status, headers, body)
    parts = path.split("/")
    standard = official(parts[1]) if len(parts) > 3 else None
    # What HTTP itself says (entity tags, methods) is not 3GPP's to document.
    if standard is not None and status not in (304, 405, 501) and method in ("GET", "POST"):
        check_by(standard, method, "/" + "/".join(parts[3:]), status, headers, body)
