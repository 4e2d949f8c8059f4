"""A client without manners: octets as they stand over TLS, and what must never be served."""

import contextlib
import dataclasses
import socket
import ssl

from pki import DAY, NOW, Authority


@dataclasses.dataclass
class Listener:
    """One of the two, as a client without manners sees it."""

    directory: object
    port: int
    resource: bytes
    certificate: str | None = None

    def raw(self, octets):
        """Octets over a fresh TLS connection; everything until the server closes."""
        context = ssl.create_default_context(cafile=self.directory / "ca.pem")
        if self.certificate:
            context.load_cert_chain(self.directory / f"{self.certificate}.pem", self.directory / f"{self.certificate}.key")
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                with contextlib.suppress(ConnectionError, ssl.SSLError):  # it need not take all of them
                    tls.sendall(octets)
                received = b""
                while True:
                    try:
                        chunk = tls.recv(65536)
                    except (ConnectionResetError, ssl.SSLError):
                        break
                    if not chunk:
                        break
                    received += chunk
                return received

    def request(self, extra=b"", method=b"GET", target=None):
        line = b"%b %b HTTP/1.1\r\n" % (method, target or self.resource)
        return line + b"Host: localhost:%d\r\n" % self.port + extra + b"\r\n"


def assert_no_handshake_for_wrong_certificates(appliance):
    Authority(appliance.directory, "foreign-ca").issue("foreign")
    assert appliance.get(who="foreign").status == 0
    appliance.ca.issue("expired", starts=NOW - 20 * DAY, ends=NOW - DAY)
    assert appliance.get(who="expired").status == 0


def status_of(octets):
    return int(octets.split(b" ", 2)[1])


HOSTILE = {
    "a token of 1 MiB": (lambda to: to.request(b"Authorization: Bearer " + b"a" * (1 << 20) + b"\r\n"), 431),
    "a header that never ends": (lambda to: to.request(b"X: ")[:-4] + b"y" * 3000000, 431),
    "20,000 headers": (lambda to: to.request(b"".join(b"X-%d: y\r\n" % i for i in range(20000))), 431),
    "a body on GET": (lambda to: to.request(b"Content-Length: 5\r\n") + b"hello", 400),
    "chunked GET": (lambda to: to.request(b"Transfer-Encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n", 411),
    "chunked POST": (lambda to: to.request(b"Transfer-Encoding: chunked\r\n", b"POST") + b"5\r\nhello\r\n0\r\n\r\n", 411),
    "length and chunked": (lambda to: to.request(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
    "length and chunked on POST": (lambda to: to.request(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"POST"), 400),
    "two lengths": (lambda to: to.request(b"Content-Length: 0\r\nContent-Length: 0\r\n"), 400),
    "two lengths on POST": (lambda to: to.request(b"Content-Length: 2\r\nContent-Length: 40\r\n", b"POST") + b"{}" + to.request(), 400),
    "length +5": (lambda to: to.request(b"Content-Length: +5\r\n"), 400),
    "length that overflows": (lambda to: to.request(b"Content-Length: 99999999999999999999999\r\n", b"POST"), 413),
    "a large body": (lambda to: to.request(b"Content-Length: 1000000\r\n", b"POST") + b"x" * 1000000, 413),
    "POST without length": (lambda to: to.request(method=b"POST"), 411),
    "encoded body": (lambda to: to.request(b"Content-Encoding: gzip\r\nContent-Length: 1\r\n", b"POST") + b"x", 415),
    "blank before the colon": (lambda to: to.request(b"Accept : */*\r\n"), 400),
    "folded line": (lambda to: to.request(b"Accept: a\r\n b\r\n"), 400),
    "bare line feed": (lambda to: to.request(b"A: b\nC: d\r\n"), 400),
    "no host": (lambda to: b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (lambda to: to.request(b"Host: other\r\n"), 400),
    "encoded line break in a header": (lambda to: to.request(b"X-A: a%0d%0aX-B: b\r\nConnection: close\r\n"), 400),
    "control character in the target": (lambda to: to.request(target=b"/\x01"), 400),
    "HTTP/2 preface": (lambda to: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "not HTTP": (lambda to: b"hello\r\n\r\n", 400),
}


def answers(octets):
    """[(status, headers, body)] of what came on one connection."""
    found = []
    while octets:
        head, _, rest = octets.partition(b"\r\n\r\n")
        status_line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = int(headers["content-length"])
        found.append((int(status_line.split()[1]), headers, rest[:length].decode()))
        octets = rest[length:]
    return found
