"""Certificates and access tokens for tests, made with python3-cryptography and python3-jwt."""

import datetime
import ipaddress
import json
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def write_key(path, key):
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """A certificate authority that writes NAME.pem and NAME.key into a directory."""

    def __init__(self, directory, label):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(label)
        self.path = directory / f"{label}.pem"
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 30 * DAY)
            .not_valid_after(NOW + 30 * DAY)
            .add_extension(x509.BasicConstraints(True, None), True)
        )
        self.path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, label, server=False, key=None, starts=NOW - DAY, ends=NOW + DAY):
        key = key or rsa.generate_private_key(65537, 2048)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(label))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
        )
        if server:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        write_key(self.directory / f"{label}.key", key)
        (self.directory / f"{label}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate


class TokenIssuer:
    """A SIM-S stand-in: signs access tokens; its JWK Set is at `jwks_path`."""

    def __init__(self, directory, kid="key-1"):
        self.kid = kid
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.jwks_path = directory / "jwks.json"
        rsa_jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key()))
        rsa_jwk = {"kty": "RSA", "n": rsa_jwk["n"], "e": rsa_jwk["e"], "kid": kid, "use": "sig", "alg": "RS256"}
        numbers = self.ec.public_key().public_numbers()
        b64 = lambda n: jwt.utils.base64url_encode(n.to_bytes(32, "big")).decode()
        ec_jwk = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x), "y": b64(numbers.y), "kid": kid + "-ec", "use": "sig"}
        self.jwks_path.write_text(json.dumps({"keys": [rsa_jwk, ec_jwk]}))

    def public_pem(self):
        return self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def claims(self, **changes):
        claims = {
            "iss": "https://sim-s.test",
            "aud": "skms",
            "client_id": "val-1",
            "scope": "openid ss-kir",
            "exp": int(time.time()) + 600,
            "iat": int(time.time()),
        }
        claims.update(changes)
        return {k: v for k, v in claims.items() if v is not None}

    def token(self, algorithm="RS256", key=None, headers=None, **changes):
        key = key or (self.ec if algorithm == "ES256" else self.rsa)
        kid = self.kid + ("-ec" if algorithm == "ES256" else "")
        return jwt.encode(self.claims(**changes), key, algorithm=algorithm, headers={"kid": kid, **(headers or {})})
