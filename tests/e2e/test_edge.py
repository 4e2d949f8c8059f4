"""HAProxy before the daemon: what its clients see over HTTP/1.1 and HTTP/2, and what never comes through."""

import base64
import http.client
import json
import os
import pwd
import re
import resource
import socket
import sqlite3
import ssl
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from appliance import wait_for
from edge import Edge, ask_ue, refused, running_edge
from edge_load import UNLIMITED, Prober
from hostile import HOSTILE, Listener, answers, assert_no_handshake_for_wrong_certificates, status_of
from openapi import OURS, check

VERSIONS = ["--http1.1", "--http2"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    with running_edge(tmp_path_factory.mktemp("edge")) as appliance:
        appliance.ctl("service", "add", "p", "--scope", "user", "--delivery", "tls", "--ue-issuer", "sim-s")
        appliance.ca.issue("gms")
        appliance.ctl("principal", "add", "gms", "--certificate", appliance.directory / "gms.pem", "--role", "group-server")
        appliance.ctl("service", "set", "s", "--scope", "service,user,ue,group", "--add-group-server", "gms")
        yield appliance


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


# -- who is served ------------------------------------------------------------------------------------------------


def test_both_reference_points_are_served_over_both_versions(edge, version):
    answer = edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, "--write-out", "\n%{http_version}")
    body, _, spoken = answer.body.rpartition("\n")
    assert answer.status == 200 and spoken == {"--http1.1": "1.1", "--http2": "2"}[version]
    assert json.loads(json.loads(body)["keyInfo"])["keys"][0]["wrapped"]["encryptedKey"]
    assert ask_ue(edge, version).status == 200


def test_http_2_is_what_a_client_gets_that_can_do_both(edge):
    context = ssl.create_default_context(cafile=edge.directory / "ca.pem")
    context.set_alpn_protocols(["http/1.1", "h2"])
    with socket.create_connection(("127.0.0.1", edge.port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "h2"


def test_tls_1_1_is_refused_and_1_2_served(edge):
    assert edge.curl("/ss-kir/v1/key-records?val-service-id=s", "--tlsv1.2", "--tls-max", "1.2").status == 200
    assert edge.curl("/x", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0").status == 0


def test_a_client_certificate_is_asked_for_by_route(edge, version):
    assert edge.curl("/.well-known/skms", version, who=None, token=None).status == 200
    problem = refused(edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, who=None), 401)
    assert problem["detail"] == "a client certificate is needed"


def as_field(path):
    der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)
    return f"Client-Cert: :{base64.b64encode(der).decode()}:"


def test_nobody_is_believed_who_sends_client_cert_himself(edge, version):
    forged = as_field(edge.directory / "val-1.pem")
    token = edge.issuer.token(client_id="val-1")
    refused(edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, who=None, headers=[forged]), 401)
    refused(edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, who="val-2", token=token, headers=[forged]), 403)
    refused(edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, who="val-2", token=token, headers=[forged.lower(), forged]), 403)
    # Nor can a Connection field take the edge's own away.
    assert edge.get(headers=["Connection: Client-Cert, X-Request-Id"]).status == 200


def test_the_request_id_is_the_edges_through_log_daemon_and_audit(edge, version):
    answer = edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, headers=["X-Request-Id: 0123456789abcdef"])
    mine = answer.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", mine) and mine != "0123456789abcdef"
    wait_for(lambda: f'"id":"{mine}"' in edge.edge_log.read_text(), "the edge's line")
    database = sqlite3.connect(f"file:{edge.directory / 'skms.db'}?mode=ro", uri=True)
    assert database.execute("SELECT action, outcome FROM audit WHERE request_id = ?", [mine]).fetchall()[-1] == ("deliver", "granted")
    database.close()


def test_a_certificate_of_a_foreign_ca_or_an_expired_one_is_refused_in_the_handshake(edge):
    assert_no_handshake_for_wrong_certificates(edge)


def test_a_token_bound_to_a_certificate_is_taken_with_it_alone(edge):
    der = x509.load_pem_x509_certificate((edge.directory / "val-1.pem").read_bytes()).public_bytes(serialization.Encoding.DER)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    thumbprint = base64.urlsafe_b64encode(digest.finalize()).decode().rstrip("=")
    token = edge.issuer.token(client_id="sim-c", scope="skm", val_service_ids=["p"], val_user_id="alice", cnf={"x5t#S256": thumbprint})
    assert ask_ue(edge, token=token, who="val-1").status == 200
    refused(ask_ue(edge, token=token, who="val-2"), 401)
    refused(ask_ue(edge, token=token), 401)


def test_an_asserted_identity_is_not_taken_from_the_edge(edge, version):
    refused(ask_ue(edge, version, token=None, headers=['X-3GPP-Asserted-Identity: "sip:alice@val.test"']), 403)


def test_the_sockets_are_for_the_proxys_user_alone(tmp_path):
    appliance = Edge(tmp_path, edge__user="nobody").prepare().start()
    try:
        # The file's mode lets root in; his uid does not.
        done = subprocess.run(["curl", "--silent", "--unix-socket", tmp_path / "edge.sock", "http://localhost/.well-known/skms"], capture_output=True,
                              timeout=30, check=False)
        # An empty reply or a reset; or it is gone before curl has looked whether it is connected.
        assert done.returncode in (7, 52, 56) and done.stdout == b"", done
        nobody = pwd.getpwnam("nobody").pw_uid
        turned_away = f"a process of user {os.getuid()} is turned away from a socket that is for user {nobody} alone"
        wait_for(lambda: turned_away in appliance.log.read_text(), "the line that says so")
        assert (tmp_path / "edge.sock").stat().st_mode & 0o777 == 0o660
    finally:
        appliance.stop()


def resume(appliance, who):
    """The statuses of two connections, the second of which resumes the first one's session."""
    context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
    context.load_cert_chain(appliance.directory / f"{who}.pem", appliance.directory / f"{who}.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    found = []
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", appliance.port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                reused, session = tls.session_reused, tls.session
                token = appliance.issuer.token(client_id=who)
                tls.sendall(b"GET /ss-kir/v1/key-records?val-service-id=s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n"
                            b"Authorization: Bearer %b\r\n\r\n" % (appliance.port, token.encode()))
                octets = b""
                while chunk := tls.recv(65536):
                    octets += chunk
                found.append((status_of(octets), reused))
    return found


def test_a_resumed_session_still_has_its_certificate(edge):
    assert resume(edge, "val-1") == [(200, False), (200, True)]


# -- what does not come through -----------------------------------------------------------------------------------


class Unmannered(Listener):
    def request(self, extra=b"", method=b"GET", target=None):
        return super().request(extra + b"Connection: close\r\n", method, target)


@pytest.fixture(params=["KM-S", "KM-UU"])
def listener(edge, request):
    if request.param == "KM-S":
        return Unmannered(edge.directory, edge.port, b"/ss-kir/v1/key-records?val-service-id=s", "val-1")
    return Unmannered(edge.directory, edge.ue_port, b"/skm/v1/key-request")


# What HAProxy answers otherwise than the daemon does, or mends before it passes it on. 401 and 405: it got through, as
# one request of one meaning.
OTHERWISE = {
    "a token of 1 MiB": (400,), "a header that never ends": (400,), "20,000 headers": (400,), "length and chunked": (408, 411),
    "length and chunked on POST": (408, 411), "length that overflows": (400, 413), "two lengths": (401, 405), "folded line": (401, 405),
    "bare line feed": (401, 405),
}


# HAProxy 2.6 knows no other page for what it cannot read (haproxy/haproxy#3032).
UNREADABLE = "<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_framing_ends_at_the_edge(edge, listener, kind):
    make, status = HOSTILE[kind]
    octets = listener.raw(make(listener))
    if kind == "a header that never ends" and not octets:
        return  # cut off while it still came
    assert status_of(octets) in OTHERWISE.get(kind, (status,)), octets[:400]
    [(status, headers, body)] = answers(octets)
    if status == 400 and headers["content-type"] == "text/html":
        assert body == UNREADABLE
    else:
        assert headers["content-type"] == "application/problem+json"
        check(OURS, "/components/schemas/ProblemDetails", json.loads(body))
    assert edge.get().status == 200


@pytest.mark.parametrize("length", [2147483648, 3000000000, 4294967301, 18446744073709551615])
def test_a_length_that_a_machine_word_may_not_hold_is_no_small_one(edge, length):
    # Without a certificate, to where the largest bodies go; what is read of it in vain is 8 MiB.
    listener = Unmannered(edge.directory, edge.port, b"/seal-x1/v1/groups/g")
    octets = listener.raw(listener.request(b"Content-Length: %d\r\n" % length, b"PUT") + b"x" * 9_000_000)
    assert status_of(octets) in (400, 413), octets[:300]
    assert "seal-x1" not in edge.log.read_text()


@pytest.mark.parametrize("size", [70_000, 200_000, 1_000_000, 6_000_000])
def test_a_body_that_is_too_large_is_told_so_and_not_cut_off(edge, version, size):
    (edge.directory / "large").write_bytes(b"x" * size)
    for expect in ("Expect:", "Expect: 100-continue"):
        answer = edge.curl("/ss-kpp/v1/request", version, "--data-binary", f"@{edge.directory / 'large'}",
                           headers=["Content-Type: application/json", expect], url=edge.url)
        if size > 100_000:
            assert refused(answer, 413)["detail"] == "the body is larger than accepted"
        refused(ask_ue(edge, version, text=f"@{edge.directory / 'large'}", headers=[expect]), 413)


def test_a_body_without_a_length_is_411(edge, version):
    for size in (10, 300_000):
        (edge.directory / "stream").write_bytes(b"x" * size)
        with open(edge.directory / "stream", "rb") as stream:
            command = ["curl", "--silent", "--include", "--max-time", "30", version, "--cacert", edge.directory / "ca.pem", "--cert",
                       edge.directory / "val-1.pem", "--key", edge.directory / "val-1.key", "-T", "-", "-X", "POST",
                       edge.url + "/ss-kpp/v1/request"]
            done = subprocess.run([*map(str, command)], stdin=stream, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0 and re.search(rb"^HTTP/\S+ 411 ", done.stdout, re.M), (done.stdout, done.stderr)
        assert b"application/problem+json" in done.stdout


def test_a_group_of_ten_thousand_comes_through_with_a_certificate_alone(edge, version):
    members = [{"valUserId": "sip:" + "u" * 150 + f"-{i}@val.test"} for i in range(10_000)]
    group = edge.directory / "group.json"
    group.write_text(json.dumps({"valServiceIds": ["s"], "members": members}))
    arguments = (version, "--request", "PUT", "--data-binary", f"@{group}")
    options = {"token": edge.issuer.token(client_id="gms", scope="seal-x1"), "headers": ["Content-Type: application/json"]}
    target = "/seal-x1/v1/groups/large" + version.strip("-").replace(".", "")
    refused(edge.curl(target, *arguments, who=None, **options), 413)
    assert edge.curl(target, *arguments, who="gms", **options).status == 201


def test_long_targets_and_many_fields(edge, version):
    refused(edge.curl("/ss-kir/v1/key-records?val-service-id=" + "a" * 9000, version), 414)
    refused(edge.get(headers=[f"X-{i}: y" for i in range(120)]), 431)
    refused(edge.get(headers=[f"X-{i}: " + "y" * 6000 for i in range(3)]), 431)
    assert edge.get(headers=[f"X-{i}: y" for i in range(80)]).status == 200


def test_another_servers_name_is_refused(edge, version):
    refused(edge.curl("/ss-kir/v1/key-records?val-service-id=s", version, headers=["Host: other.test"]), 400)


def kept_connection(appliance, prober):
    connection = http.client.HTTPSConnection("localhost", appliance.port, context=prober.context, timeout=30)
    connection.connect()
    return connection


def ask_and_stay(connection, prober):
    """Status and body of an answer after which the connection stays; a refusal says when to come again."""
    first = connection.sock
    connection.request("GET", "/ss-kir/v1/key-records?val-service-id=s", headers=prober.fields)
    answer = connection.getresponse()
    body = answer.read()
    assert connection.sock is first, "the connection was closed"
    if answer.status != 200:
        assert answer.getheader("Retry-After") == "1" and answer.getheader("X-Request-Id")
        check(OURS, "/components/schemas/ProblemDetails", json.loads(body))
    return answer.status, body


def test_an_address_that_asks_too_often_is_told_to_wait(tmp_path):
    with running_edge(tmp_path, edge__requests_per_address=20) as appliance:
        urls = ["https://localhost:%d/.well-known/skms" % appliance.port] * 60
        done = subprocess.run(["curl", "--silent", "--include", "--cacert", tmp_path / "ca.pem", *urls], capture_output=True, check=False, timeout=60,
                              text=True)
        statuses = re.findall(r"HTTP/2 (\d+) ", done.stdout)
        assert statuses.count("200") >= 20 and set(statuses) == {"200", "429"}
        assert "retry-after: 1" in done.stdout and '"cause":"NF_CONGESTION_RISK"' in done.stdout


def test_a_client_that_floods_keeps_no_other_from_being_served(tmp_path):
    # Three of what one client asks are at work, one of them in the daemon's one thread; the others' places are free.
    share, flooding = 3, 24
    with running_edge(tmp_path, edge__concurrent_requests_per_client=share, limits__waiting_requests=8, listen__max_connections=1,
                      limits__concurrent_requests=1, limits__max_wait_ms=30000, **UNLIMITED) as appliance:
        prober = Prober(appliance)
        seen = Counter()
        lock = threading.Lock()
        ended = threading.Event()

        def flood():
            connection = kept_connection(appliance, prober)
            while not ended.is_set():
                status, body = ask_and_stay(connection, prober)
                if status == 429:
                    assert json.loads(body)["cause"] == "NF_CONGESTION_RISK"
                with lock:
                    seen[status] += 1
            connection.close()

        with ThreadPoolExecutor(flooding) as pool:
            floods = [pool.submit(flood) for _ in range(flooding)]
            wait_for(lambda: min(seen[200], seen[429]) >= 10 or any(each.done() for each in floods), "the flood")
            # The same address, another certificate; and none, which is counted by address.
            others = [appliance.curl("/.well-known/skms", who=who, token=None).status for who in ("val-2", None) * 10]
            ended.set()
            for each in floods:
                each.result()
        assert set(others) == {200} and set(seen) == {200, 429}, (others, seen)
        assert prober.times(share)


def test_the_streams_of_one_connection_are_one_clients_requests(tmp_path):
    with running_edge(tmp_path, edge__concurrent_requests_per_client=2) as appliance:
        many = ["https://localhost:%d/.well-known/skms?%d" % (appliance.port, number) for number in range(60)]
        done = subprocess.run(["curl", "--silent", "--include", "--parallel", "--parallel-max", "20", "--http2", "--cacert", tmp_path / "ca.pem", *many],
                              capture_output=True, check=False, timeout=60, text=True)
        statuses = Counter(re.findall(r"HTTP/2 (\d+) ", done.stdout))
        assert set(statuses) == {"200", "429"}, statuses
        wait_for(lambda: appliance.curl("/.well-known/skms", who=None, token=None).status == 200, "a free place")


def test_an_address_has_no_more_connections_than_its_share(tmp_path):
    with running_edge(tmp_path, edge__connections_per_address=10) as appliance:
        kept = [socket.create_connection(("127.0.0.1", appliance.port), timeout=20) for _ in range(10)]
        with pytest.raises((ConnectionError, AssertionError)):
            with socket.create_connection(("127.0.0.1", appliance.port), timeout=20) as one_more:
                assert one_more.recv(1) != b""
        for one in kept:
            one.close()
        wait_for(lambda: appliance.get().status == 200, "a free place")


# -- slow and idle clients ----------------------------------------------------------------------------------------


def connect(appliance, port=None):
    context = ssl.create_default_context(cafile=appliance.directory / "ca.pem")
    plain = socket.create_connection(("127.0.0.1", port or appliance.port), timeout=30)
    return context.wrap_socket(plain, server_hostname="localhost")


IDLE = 5000
SLOW = 300


def test_idle_and_slow_clients_do_not_keep_others_waiting(edge):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    prober = Prober(edge)
    idle = []
    slow = []
    stop = threading.Event()

    def trickle():
        while not stop.wait(1.0):
            for one in list(slow):
                try:
                    one.sendall(b"x")
                except OSError:
                    slow.remove(one)

    worker = threading.Thread(target=trickle)
    try:
        for i in range(IDLE):
            # Some have said nothing yet, most have done their handshake and wait.
            idle.append(socket.create_connection(("127.0.0.1", edge.port), timeout=30) if i % 10 == 0 else connect(edge))
        for i in range(SLOW):
            one = connect(edge, edge.ue_port if i % 2 else edge.port)
            one.sendall(b"POST /skm/v1/key-request HTTP/1.1\r\nHost: localhost\r\n" + (b"Content-Length: 60000\r\n\r\n" if i % 3 else b"X-A: "))
            slow.append(one)
        worker.start()
        times = prober.times(100)
        # The machine of a test may stop for a while; what holds is that nobody waits for the others.
        assert times[int(len(times) * 0.95)] < 0.05, times[-20:]
        print(f"\n{IDLE} idle and {SLOW} slow clients: p50 {times[len(times) // 2] * 1000:.1f} ms, slowest {times[-1] * 1000:.1f} ms")
        wait_for(lambda: not slow, "the slow ones to be cut off")
    finally:
        stop.set()
        if worker.ident:
            worker.join()
        for one in idle + slow:
            one.close()


def test_a_body_that_comes_slowly_waits_at_the_edge_and_gets_408(edge):
    slow = [connect(edge, edge.ue_port) for _ in range(80)]  # more than the daemon has threads
    for one in slow:
        one.sendall(b"POST /skm/v1/key-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" + b"x" * 50_000)
    began = time.monotonic()
    assert ask_ue(edge).status == 200
    assert time.monotonic() - began < 5  # they are cut off after 10 s
    [(status, headers, _)] = answers(slow[0].recv(65536))
    assert status == 408 and headers["content-type"] == "application/problem+json"
    for one in slow:
        one.close()


# -- its log, and its daemon away ---------------------------------------------------------------------------------


def test_the_edges_log_is_json_without_names_of_users(edge):
    assert edge.get("val-service-id=s&valUserId=alice-the-user").status == 200
    refused(edge.get("val-service-id=t&valUserId=alice-the-user"), 404)
    assert ask_ue(edge).status == 200
    refused(edge.curl("/" + '"' * 3000, headers=["X-A: b"]), 404)

    def lines():
        # The last one may still be on its way.
        return [json.loads(line) for line in edge.edge_log.read_text().split("\n")[:-1] if line.startswith("{")]

    wait_for(lambda: any(line["path"].startswith('/""') for line in lines()), "the last request's line")
    lines = lines()
    assert {line["edge"].rstrip("~") for line in lines} == {"km_s", "km_uu"}
    assert all(line["client"].endswith(".0") for line in lines if line["edge"].startswith("km_uu") and line["status"] == 200)
    assert "alice" not in edge.edge_log.read_text() and "Bearer" not in edge.edge_log.read_text()


def test_by_itself_the_log_has_what_failed_and_nothing_else(tmp_path):
    with running_edge(tmp_path, edge__log="errors") as appliance:
        assert appliance.get().status == 200
        refused(appliance.get("val-service-id=nowhere"), 404)
        refused(appliance.curl("/x", "--http1.1", "-X", "POST"), 411)
        statuses = lambda: [json.loads(line)["status"] for line in appliance.edge_log.read_text().split("\n")[:-1] if line.startswith("{")]
        wait_for(lambda: 411 in statuses(), "the last line")
        assert statuses() == [404, 411]


def test_the_daemon_that_is_away_is_a_503_to_come_back_after(tmp_path):
    with running_edge(tmp_path) as appliance:
        appliance.stop()
        answer = appliance.get()
        refused(answer, 503)
        assert answer.headers["retry-after"] == "1"
        appliance.start()
        assert appliance.get().status == 200


def test_who_finds_too_many_waiting_is_told_so_at_once_and_stays_connected(tmp_path):
    # Nobody waits so long that HAProxy's error page, which closes the connection, is what he gets.
    with running_edge(tmp_path, limits__waiting_requests=1, listen__max_connections=1, limits__concurrent_requests=1,
                      limits__max_wait_ms=30000, **UNLIMITED) as appliance:
        prober = Prober(appliance)
        seen = Counter()
        lock = threading.Lock()

        def ask(until):
            connection = kept_connection(appliance, prober)
            while min(seen[200], seen[503]) < 10 and time.monotonic() < until:
                status, _ = ask_and_stay(connection, prober)
                with lock:
                    seen[status] += 1
            connection.close()

        with ThreadPoolExecutor(24) as pool:
            for done in [pool.submit(ask, time.monotonic() + 60) for _ in range(24)]:
                done.result()
        assert set(seen) == {200, 503} and min(seen.values()) >= 10, seen
        assert prober.times(3)
