"""Issuers that publish their keys at a URI: fetched, refreshed when a token names a new key, kept when it is down."""

import contextlib
import http.server
import json
import ssl
import threading

import pytest

from appliance import running, wait_for
from pki import TokenIssuer


class KeySite:
    """An HTTPS server with one JWK Set, or whatever else it is told to answer."""

    def __init__(self, directory, port=0):
        self.answer = (200, b"{}")
        self.requests = 0
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.requests += 1
                status, body = site.answer
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("Location", body.decode())
                    body = b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem", directory / "server.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}/jwks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, issuer):
        self.answer = (200, issuer.jwks_path.read_bytes())

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def site_of(appliance):
    site = KeySite(appliance.directory)
    try:
        yield site
    finally:
        site.close()


def issuer_in(appliance, name):
    directory = appliance.directory / name
    directory.mkdir()
    return TokenIssuer(directory, kid=name)


def token(issuer, **changes):
    return issuer.token(**{"iss": "https://published.test", **changes})


def add(appliance, site):
    return appliance.ctl("issuer", "add", "published", "--issuer", "https://published.test", "--audience", "skms",
                         "--jwks-uri", site.url, "--jwks-ca", appliance.directory / "ca.pem")


@pytest.fixture
def appliance(tmp_path):
    with running(tmp_path) as one:
        yield one


def test_keys_are_fetched_at_once_and_again_when_a_token_names_a_new_one(appliance):
    old, new = issuer_in(appliance, "old"), issuer_in(appliance, "new")
    with site_of(appliance) as site:
        site.publish(old)
        add(appliance, site)
        assert appliance.get(token=token(old)).status == 200
        assert appliance.get(token=token(new)).status == 401
        seen = site.requests
        site.publish(new)
        # Looked for a moment ago: made-up key ids must not make the daemon hammer the issuer.
        assert appliance.get(token=token(new)).status == 401 and site.requests == seen
        assert "has 2 keys at its URI" in appliance.ctl("issuer", "fetch", "published")
        assert appliance.get(token=token(new)).status == 200
        assert appliance.get(token=token(old)).status == 401
        listed = appliance.ctl("issuer", "list")
        assert site.url in listed and "failed" not in listed


def test_a_new_key_is_found_without_waiting_for_the_next_refresh(tmp_path):
    with running(tmp_path, access_token__jwks_new_key_s="1") as appliance, site_of(appliance) as site:
        old, new = issuer_in(appliance, "old"), issuer_in(appliance, "new")
        site.publish(old)
        add(appliance, site)
        site.publish(new)
        wait_for(lambda: appliance.get(token=token(new)).status == 200, "the new key")
        assert appliance.get(token=token(old)).status == 401


def test_the_last_good_keys_outlive_the_issuer_and_a_restart(appliance):
    old, new = issuer_in(appliance, "old"), issuer_in(appliance, "new")
    with site_of(appliance) as site:
        site.answer = (500, b"")
        assert "could not be fetched" in add(appliance, site)
        site.publish(old)
        appliance.ctl("issuer", "fetch", "published")
        assert appliance.stop() == 0
        site.publish(new)
        site.answer = (503, b"")
        appliance.start()
        # Down at the start: the keys of before the restart are in use.
        wait_for(lambda: "failed" in appliance.ctl("issuer", "list"), "the failed fetch")
        assert appliance.get(token=token(old)).status == 200


@pytest.mark.parametrize(
    "answer",
    [(200, b"no json"), (200, b'{"keys":[]}'), (404, b""), (302, b"https://127.0.0.1:1/jwks"), (200, b'{"keys":' + b" " * 70000 + b"[]}"),
     (200, b'{"keys":[{"kty":"oct","k":"AAAA"}]}')],
)
def test_nonsense_leaves_the_last_good_keys(appliance, answer):
    good = issuer_in(appliance, "good")
    with site_of(appliance) as site:
        site.publish(good)
        add(appliance, site)
        site.answer = answer
        refused = appliance.try_ctl("issuer", "fetch", "published")
        assert refused.returncode != 0 and "last good keys" in refused.stderr
        from_file = appliance.try_ctl("issuer", "fetch", "sim-s")
        assert from_file.returncode != 0 and "has no URI" in from_file.stderr
        assert appliance.get(token=token(good)).status == 200
        assert "failed" in appliance.ctl("issuer", "list")


def test_a_site_that_another_authority_vouches_for_is_not_believed(appliance):
    with site_of(appliance) as site:
        site.publish(issuer_in(appliance, "x"))
        (appliance.directory / "other").mkdir()
        from pki import Authority

        other = Authority(appliance.directory / "other", "ca2")
        added = appliance.ctl("issuer", "add", "published", "--issuer", "https://published.test", "--audience", "skms",
                              "--jwks-uri", site.url, "--jwks-ca", other.path)
        assert "could not be fetched" in added and site.requests == 0


def test_what_is_no_https_uri_is_refused(appliance):
    for uri in ("http://127.0.0.1/jwks", "file:///etc/passwd", "https://", "https://user@host/jwks", "jwks.json"):
        refused = appliance.try_ctl("issuer", "add", "bad", "--issuer", "https://b.test", "--audience", "skms", "--jwks-uri", uri)
        assert refused.returncode == 1 and "https URI" in refused.stderr, refused.stderr
    both = appliance.try_ctl("issuer", "add", "bad", "--issuer", "https://b.test", "--audience", "skms", "--jwks-uri", "https://a/",
                             "--jwks", appliance.issuer.jwks_path)
    assert both.returncode == 2


def test_an_hourly_refresh_takes_away_what_is_no_longer_published(tmp_path):
    with running(tmp_path, access_token__jwks_refresh_s="1") as appliance:
        old, new = issuer_in(appliance, "old"), issuer_in(appliance, "new")
        with site_of(appliance) as site:
            site.publish(old)
            add(appliance, site)
            assert appliance.get(token=token(old)).status == 200
            site.publish(new)
            wait_for(lambda: appliance.get(token=token(old)).status == 401, "the refresh")
            assert appliance.get(token=token(new)).status == 200


def test_a_service_keeps_its_issuer_for_ues(appliance):
    appliance.ctl("service", "add", "u", "--ue-issuer", "sim-s")
    refused = appliance.try_ctl("issuer", "remove", "sim-s")
    assert refused.returncode != 0 and "--remove-ue-issuer sim-s" in refused.stderr
    appliance.ctl("service", "set", "u", "--remove-ue-issuer", "sim-s")
    appliance.ctl("issuer", "remove", "sim-s")
    assert json.loads(appliance.ctl("issuer", "list", "--output", "json"))["issuers"] == []
