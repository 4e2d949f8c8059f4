"""A client of the SEAL key management server: KM-S and key provisioning for VAL servers, KM-UU for UEs.

An example to take code from, with an HTTP library (httpx) and a JOSE library (jwcrypto) only. `cryptography`, which
jwcrypto stands on, is called directly in one place, `_unwrap`: wrapped keys are bare RSA-OAEP blocks, which jwcrypto opens
only as part of a JWE; and to an EC recipient they come under the KDF of ANSI X9.63, which JOSE does not have.

Access token and private keys are files that nobody else can read; the token's is read anew for every request, so whoever
renews it replaces the file. What goes wrong is an SkmsError whose text says what, and what to do. Not thread-safe.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import ssl
import stat
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

JWE_ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "A256GCM"]  # and no other, whatever a header says
ECDH = "ECDH-ES+A256KWP"  # also the SharedInfo of its KDF
EC_CURVES = ("P-256", "P-384")
KEY_OCTETS = {"A128GCM": 16, "A256GCM": 32, "HS256": 32}
MOST_SECRET_BYTES = 1 << 20


class SkmsError(Exception):
    """What went wrong and what to do, in one sentence. `status` is the HTTP status where a server refused, else 0."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Key:
    """One version of a key, opened. `material` is the key itself; of an ES256 key its PKCS#8 DER."""

    kid: str
    alg: str
    scope: str
    target: str | None
    state: str
    version: int
    key_ops: tuple[str, ...]
    not_before: int  # seconds since 1970, likewise below
    not_after: int | None
    material: bytes = field(repr=False)


@dataclass(frozen=True)
class Payload:
    """What a VAL server provisioned, opened."""

    payload_id: str | None
    version: int
    content: bytes = field(repr=False)


def read_secret(path: Path) -> bytes:
    """A token or key from a regular file that its owner alone can read; SkmsError otherwise."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SkmsError(f"{path} is no regular file: name one that holds the secret")
            if status.st_mode & 0o077:
                mode = stat.S_IMODE(status.st_mode)
                raise SkmsError(f"{path} can be read by others (mode {mode:04o}): chmod 600 it, and replace what it held")
            secret = file.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        raise SkmsError(f"{path} cannot be read: {error.strerror}") from None
    if not secret.strip() or len(secret) > MOST_SECRET_BYTES:
        raise SkmsError(f"{path} holds nothing, or more than {MOST_SECRET_BYTES} bytes: is it the right file?")
    return secret


def write_secret(path: Path, secret: bytes) -> None:
    """Writes a file of mode 0600, also over one that others could read; whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(secret)
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SkmsError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _judging_the_answer() -> Iterator[None]:
    """An answer of another shape than it should have is an SkmsError like any other."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise SkmsError("the answer is not of the form it should have: is it a key management server?") from None


class SkmsClient:
    """Speaks to one key management server.

    url            its apiRoot; for a UE that of KM-UU
    ca             PEM file with the CA of the server's certificate; no other CA is trusted
    token_file     the access token
    certificate    PEM file of a VAL server's client certificate, private_key its key; a UE has none
    recipient_key  PEM file of the private key (RSA, P-256 or P-384) that keys are wrapped to; without it, private_key
    """

    def __init__(self, url: str, ca: Path, token_file: Path, certificate: Path | None = None, private_key: Path | None = None,
                 recipient_key: Path | None = None, timeout: float = 10.0) -> None:
        if not url.startswith("https://"):
            raise SkmsError(f"{url} is no https:// URL: keys and tokens go over nothing else")
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._recipient_key_file = recipient_key or private_key
        try:
            tls = ssl.create_default_context(cafile=str(ca))
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            if certificate is not None:
                if private_key is not None:
                    read_secret(private_key)  # refuses a key that others can read
                tls.load_cert_chain(certificate, private_key)
        except OSError as error:
            raise SkmsError(f"CA, certificate or key cannot be used: {error}; they are PEM files that fit each other") from None
        # Proxies and CAs of the environment are not for a server of keys.
        self._http = httpx.Client(verify=tls, timeout=timeout, trust_env=False)

    def __enter__(self) -> SkmsClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    # -- KM-S, for VAL servers -----------------------------------------------------------------------------------------

    def fetch_keys(self, service: str, user: str | None = None, ue: str | None = None) -> list[Key]:
        """The keys of a service, user or UE: what protects now first, then what will, then what did; groups' keys last."""
        with _judging_the_answer():
            return self._open_keys(self._key_info(service, user, ue), service, _target(user=user, ue=ue))

    def fetch_payloads(self, service: str, user: str | None = None, ue: str | None = None) -> list[Payload]:
        """What VAL servers provisioned for it; the newest version of each payload id."""
        wanted = _target(user=user, ue=ue)
        with _judging_the_answer():
            payloads = self._key_info(service, user, ue).get("payloads", [])
            for payload in payloads:
                _check_is_for(payload, service, wanted)
            return [Payload(payload.get("payloadId"), payload["version"], self._content(payload)) for payload in payloads]

    def provision(self, service: str, payload: bytes, payload_id: str | None = None, user: str | None = None,
                  ue: str | None = None, encrypt_to_server: bool = True, transfer_thumbprint: str | None = None,
                  skmc_uri: str = "https://val-server.example/skmc") -> None:
        """Gives the server a payload to deliver; the same bytes again change nothing, others are the next version.

        With encrypt_to_server it travels as a JWE to the key that the server publishes. Against a proxy that answers in the
        server's place this holds only with transfer_thumbprint: that key's RFC 7638 thumbprint, as its administrator says.
        """
        _target(user=user, ue=ue)  # at most one
        if encrypt_to_server:
            with _judging_the_answer():
                payload = self._seal(payload, transfer_thumbprint)
        body: dict[str, Any] = {"skmcUri": skmc_uri, "valServiceId": service, "payload": base64.b64encode(payload).decode()}
        if payload_id is not None:
            body["payloadId"] = payload_id
        if user is not None or ue is not None:
            body["valTgtUe"] = {"valUserId": user} if user is not None else {"valUeId": ue}
        self._ask("POST", "/ss-kpp/v1/request", json=body)

    def discover(self) -> dict[str, Any]:
        """What the server publishes about itself: APIs, scopes, public keys."""
        return self._ask("GET", "/.well-known/skms", with_token=False)

    # -- KM-UU, for UEs ------------------------------------------------------------------------------------------------

    def request_keys(self, service: str, user: str | None = None, ue: str | None = None, client: str | None = None,
                     bound: bool = True) -> list[Key]:
        """The keys of the user, UE or VAL client that the access token names.

        bound: the token's cnf.jkt is the thumbprint of our recipient key, which is sent along and wrapped to. False:
        the server wraps to a key that it knows already.
        """
        wanted = _target(user=user, ue=ue, client=client)
        body: dict[str, Any] = {"version": "1.0.0", "skmsUri": self._url, "serviceId": service, "dateTime": int(time.time())}
        body |= {name: value for name, value in (("userId", user), ("deviceId", ue), ("clientId", client)) if value is not None}
        if bound:
            public = self._recipient_key().export_public(as_dict=True)
            members = ("kty", "n", "e") if public["kty"] == "RSA" else ("kty", "crv", "x", "y")
            body["recipientKey"] = {member: public[member] for member in members}
        answer = self._ask("POST", "/skm/v1/key-request", json=body)
        for name, asked in (("serviceId", service), ("userId", user), ("deviceId", ue), ("clientId", client), ("skmsUri", self._url)):
            if answer.get(name) != asked:
                raise SkmsError(f"the answer's {name} is another than asked: tell the server's administrator")
        with _judging_the_answer():
            return self._open_keys(answer["payload"], service, wanted)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, with_token: bool = True, **request: Any) -> dict[str, Any]:
        headers = {"Accept": "application/json, application/problem+json"}
        if with_token:
            headers["Authorization"] = "Bearer " + _ascii(read_secret(self._token_file), self._token_file)
        try:
            response = self._http.request(method, self._url + path, headers=headers, **request)
        except httpx.TimeoutException:
            raise SkmsError(f"{self._url} does not answer in time: try again later") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SkmsError(f"{self._url} cannot be spoken to ({error}): check the address, the CA and the client certificate") from None
        if response.status_code != 200:
            raise _refusal(response)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise SkmsError(f"{self._url} answers, but no JSON object: is it a key management server?")
        return answer

    def _key_info(self, service: str, user: str | None, ue: str | None) -> dict[str, Any]:
        scope, target = _target(user=user, ue=ue)
        query = {"val-service-id": service}
        echo = None
        if target is not None:
            echo = {"valUserId" if scope == "user" else "valUeId": target}
            query["val-tgt-ue"] = json.dumps(echo)
        # Not httpx's params: it writes a blank as "+", as forms do, and in a URI's query (RFC 3986) that is a plus sign.
        answer = self._ask("GET", "/ss-kir/v1/key-records?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote))
        if answer.get("valService") != service or answer.get("valTgtUe") != echo:
            raise SkmsError("the answer is for another service or target than asked: tell the server's administrator")
        key_info: dict[str, Any] = json.loads(answer["keyInfo"])
        return key_info

    def _recipient_key(self) -> jwk.JWK:
        path = self._recipient_key_file
        if path is None:
            raise SkmsError("keys come wrapped: name the file of the recipient's private key")
        try:
            key = jwk.JWK.from_pem(read_secret(path))
        except (ValueError, TypeError, JWException):
            raise SkmsError(f"{path} holds no private key in PEM without a passphrase: name another file") from None
        fits = key["kty"] == "RSA" or (key["kty"] == "EC" and key["crv"] in EC_CURVES)
        if not fits or not key.has_private:
            raise SkmsError(f"{path} holds no private key of RSA, P-256 or P-384: name the recipient's")
        return key

    def _open_keys(self, key_info: Mapping[str, Any], service: str, wanted: tuple[str, str | None]) -> list[Key]:
        keys = []
        for key in key_info["keys"]:
            _check_is_for(key, service, wanted)
            keys.append(Key(key["kid"], key["alg"], key["scope"], key.get("target"), key["state"], key["version"], tuple(key["key_ops"]),
                            key["nbf"], key.get("exp"), self._material(key)))
        return keys

    def _material(self, key: Mapping[str, Any]) -> bytes:
        material = _octets(key["k"]) if "k" in key else self._unwrap(key["wrapped"])
        # Some tokens pad PKCS#8 with zeros; the DER says its own length.
        if key["alg"] == "ES256":
            return material[: _der_length(material)]
        # RSA-OAEP says nothing of who wrapped: what opens to another length is no key of this alg.
        if len(material) != KEY_OCTETS[key["alg"]]:
            raise SkmsError(f"the opened key is not as long as one of {key['alg']}: tell the server's administrator")
        return material

    def _unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        kind = wrapped["alg"].removesuffix("-256")
        if kind not in ("RSA-OAEP", "RSA-AES-KWP", ECDH):
            raise SkmsError(f"the key is wrapped by {wrapped['alg']}, which this example does not open: skmc does")
        recipient = self._recipient_key()
        try:
            if (recipient["kty"] == "EC") != (kind == ECDH):
                raise ValueError("another kind of key")
            if kind == ECDH:
                return _open_ecdh(recipient, wrapped)
            digest = hashes.SHA256() if wrapped["alg"].endswith("-256") else hashes.SHA1()
            private = recipient.get_op_key("unwrapKey")
            opened: bytes = private.decrypt(_octets(wrapped["encryptedKey"]), padding.OAEP(padding.MGF1(digest), digest, None))
            if kind == "RSA-AES-KWP":
                opened = keywrap.aes_key_unwrap_with_padding(opened, _octets(wrapped["wrappedKey"]))
        except (ValueError, InvalidKey, JWException, keywrap.InvalidUnwrap):
            raise SkmsError(f"the key, wrapped to {wrapped['recipient']}, does not open with {self._recipient_key_file}: "
                            "name the recipient's key") from None
        return opened

    def _content(self, payload: Mapping[str, Any]) -> bytes:
        if "payload" in payload:
            return _octets(payload["payload"])
        token = jwe.JWE(algs=JWE_ALGORITHMS)
        try:
            token.deserialize(json.dumps(payload["jwe"]), self._recipient_key())
        except JWException:
            raise SkmsError(f"the payload does not open with {self._recipient_key_file}: name the recipient's key") from None
        content: bytes = token.payload
        return content

    def _seal(self, payload: bytes, thumbprint: str | None) -> bytes:
        published = self.discover()
        if published.get("payloadEncryption") != "A256GCM":
            raise SkmsError("this server takes no encrypted payloads: send it without, if nothing but TLS ends between")
        transfer = next((key for key in published["jwks"]["keys"] if key["use"] == "enc"), None)
        if transfer is None:
            raise SkmsError("this server publishes no key to encrypt to: tell its administrator")
        key = jwk.JWK(**transfer)
        if thumbprint is not None and key.thumbprint() != thumbprint:
            raise SkmsError(f"the server's transfer key is {key.thumbprint()}, not {thumbprint}: ask its administrator")
        header = {"alg": transfer["alg"], "enc": "A256GCM", "kid": transfer["kid"]}
        token = jwe.JWE(payload, json.dumps(header), algs=JWE_ALGORITHMS, recipient=key)
        sealed: str = token.serialize(compact=True)
        return sealed.encode()


def _target(**identities: str | None) -> tuple[str, str | None]:
    """('service', None), or the one identity that is given."""
    given = [(scope, target) for scope, target in identities.items() if target is not None]
    if len(given) > 1:
        raise SkmsError("more than one of user, UE and client is given: a request is for one")
    return given[0] if given else ("service", None)


def _check_is_for(item: Mapping[str, Any], service: str, wanted: tuple[str, str | None]) -> None:
    of_a_group = wanted[1] is not None and item["scope"] == "group"
    if item["service"] != service or not (of_a_group or (item["scope"], item.get("target")) == wanted):
        raise SkmsError("the answer holds what was not asked for: tell the server's administrator")


def _open_ecdh(recipient: jwk.JWK, wrapped: Mapping[str, Any]) -> bytes:
    """ECDH with the server's ephemeral key, the KDF of ANSI X9.63, RFC 5649."""
    ephemeral = jwk.JWK(**{member: wrapped["epk"][member] for member in ("kty", "crv", "x", "y")}).get_op_key("verify")
    shared = recipient.get_op_key("sign").exchange(ec.ECDH(), ephemeral)
    agreed = X963KDF(hashes.SHA256(), 32, ECDH.encode()).derive(shared)
    opened: bytes = keywrap.aes_key_unwrap_with_padding(agreed, _octets(wrapped["encryptedKey"]))
    return opened


def _octets(base64url: str) -> bytes:
    try:
        return base64.b64decode(base64url + "=" * (-len(base64url) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise SkmsError("the answer's base64url is broken: tell the server's administrator") from None


def _der_length(der: bytes) -> int:
    """Octets of a DER element with its header."""
    if len(der) < 4 or der[1] < 0x80:
        return 2 + der[1] if len(der) > 1 else 0
    size = der[1] & 0x7F
    return 2 + size + int.from_bytes(der[2 : 2 + size], "big")


def _ascii(token: bytes, path: Path) -> str:
    text = token.strip()
    if not text.isascii() or any(octet <= 0x20 for octet in text):
        raise SkmsError(f"{path} holds no access token: it is one word of ASCII")
    return text.decode()


ADVICE = {
    400: "mend what it names",
    401: "get a fresh access token from the issuer that this server trusts, bound to nothing that you do not present",
    403: "look at the token (scope, client_id, identity, SKeyProv, binding) and ask the administrator for what is missing",
    404: "check the service's and target's names, and ask the administrator whether you may read or provision it",
    413: "send less",
    429: "ask less often",
    503: "try again later",
}


def _refusal(response: httpx.Response) -> SkmsError:
    """One sentence of a problem+json (RFC 9457), or of a redirection or whatever else came instead."""
    status = response.status_code
    if status in (307, 308):
        return SkmsError(f"another server has this service: ask {printable(response.headers.get('Location', ''))}", status)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    text = f"the server says {status} {problem.get('title') or response.reason_phrase}"
    if problem.get("detail"):
        text += f": {problem['detail']}"
    if problem.get("cause"):
        text += f" ({problem['cause']})"
    advice = ADVICE.get(status, "tell the server's administrator, with the request's id")
    if "Retry-After" in response.headers:
        advice += f", in {response.headers['Retry-After']} s"
    text += f"; what to do: {advice}"
    if problem.get("instance"):
        text += f" [{problem['instance']}]"
    return SkmsError(printable(text), status)


def printable(text: str) -> str:
    """A server's words for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
