"""The recording of a daemon's answers: cut where HTTP says, and complete."""

import socket
import struct
import time

import pytest

from judge import Verdict
from recording import Connection, Recording, recordings


def exchanges(*parts):
    connection = Connection()
    return [(e.method, e.target, e.status, e.body) for what, octets in parts for e in connection.feed(what, octets)]


def answer(status, body=b"", more=b""):
    return b"HTTP/1.1 %d x\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(body), body)


def test_answers_find_their_requests():
    pipelined = b"GET /a HTTP/1.1\r\n\r\nPOST /b?c HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzHEAD /d HTTP/1.1\r\n\r\n"
    head = b"HTTP/1.1 200 x\r\nContent-Length: 70\r\n\r\n"
    for cut in range(len(pipelined)):
        found = exchanges((b"<", pipelined[:cut]), (b"<", pipelined[cut:]), (b">", answer(200, b"A")), (b">", answer(403, b"B") + head))
        assert found == [("GET", "/a", 200, "A"), ("POST", "/b?c", 403, "B"), ("HEAD", "/d", 200, "")], cut


def test_an_answer_may_come_before_the_body_and_in_pieces():
    whole = answer(401, b"no")
    parts = [(b"<", b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")] + [(b">", whole[n:n + 1]) for n in range(len(whole))]
    assert exchanges(*parts) == [("POST", "/a", 401, "no")]


def test_a_head_may_be_refused_before_its_end():
    assert exchanges((b"<", b"GET /a?" + b"y" * 9000), (b">", answer(414))) == [("GET", "/a?" + "y" * 9000, 414, "")]
    assert exchanges((b"<", b"GET /a HTTP/1.1\r\nX: " + b"y" * 9000), (b">", answer(431))) == [("GET", "/a", 431, "")]


def test_interim_answers_are_no_answers():
    assert exchanges((b"<", b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n"), (b">", b"HTTP/1.1 100 Continue\r\n\r\n"),
                     (b"<", b"x"), (b">", answer(204))) == [("POST", "/a", 204, "")]


@pytest.mark.parametrize("request_", [
    b"GET  /a HTTP/1.1\r\n\r\n", b"GET /a\r\n\r\n", b"\r\n\r\n", b"GET /a b HTTP/1.1\r\n\r\n", b"GET /\x01 HTTP/1.1\r\n\r\n", b"no head at all"])
def test_what_is_no_request_has_no_method(request_):
    assert exchanges((b"<", request_), (b">", answer(400, b"x"))) == [(None, None, 400, "x")]


def test_a_recording_that_is_cut_short_or_grows(tmp_path):
    def record(number, what, octets):
        return struct.pack("=QcI", number, what, len(octets)) + octets

    path = tmp_path / "recording"
    whole = record(1, b"<", b"GET /nowhere HTTP/1.1\r\n\r\n") + record(1, b">", answer(200, b"{}", b"Content-Type: application/json\r\n"))
    recording = Recording(path)
    recording.judge()  # not there yet
    path.write_bytes(whole[:-1])
    recording.judge()
    path.write_bytes(whole)
    with pytest.raises(Verdict, match="no OpenAPI file knows"):
        recording.judge()
    recording.judge()  # told once
    path.write_bytes(whole + record(1, b"x", b"") + record(1, b">", answer(200)))
    with pytest.raises(Verdict, match="what is no request"):
        recording.judge()


def seen():
    """All exchanges of the daemon that was started last, from the beginning."""
    return list(Recording(recordings[-1].path).read())


def was_seen(what):
    """The recorder writes after it has sent, so a client may have its answer before the file does."""
    until = time.monotonic() + 5
    while not any(what(e) for e in seen()):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_every_way_to_ask_is_recorded(shared):
    assert was_seen(lambda e: e.target == "/admin/v1/status" and e.status == 200)
    shared.get("val-service-id=nowhere&valUserId=curl")
    assert was_seen(lambda e: "valUserId=curl" in e.target)
    assert shared.skmc("--service", "nowhere", "--user", "skmc").returncode != 0
    assert was_seen(lambda e: "skmc" in e.target and e.target.startswith("/ss-kir/"))
    shared.ask_admin("/admin/v1/services")
    assert was_seen(lambda e: e.target == "/admin/v1/services")
    # A client that breaks off leaves nothing behind that would hide the next one.
    with socket.create_connection(("127.0.0.1", shared.port)):
        pass
    shared.get("val-service-id=nowhere&valUserId=after")
    assert was_seen(lambda e: "valUserId=after" in e.target)
