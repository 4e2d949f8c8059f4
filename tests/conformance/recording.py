"""Reads what tests/support/answer_recorder.cpp wrote of one daemon, and judges each answer in it."""

import atexit
import collections
import functools
import pathlib
import re
import shutil
import struct
import tempfile

import pytest

from judge import NO_BODY, Verdict, check_problem, judge

HEAD = struct.Struct("=QcI")
END = b"\r\n\r\n"
# What a request that cannot be read as one may be answered with.
MALFORMED = range(400, 600)
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[^ \x00-\x20\x7f]*) HTTP/1\.[01]")
# Of a head that was refused before its end came.
REQUEST_START = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[^ \x00-\x20\x7f]*)")


class Exchange(collections.namedtuple("Exchange", "method target status headers body")):
    """One answer with the request line it is for; method None where the request cannot be read."""


def fields(lines):
    found = {}
    for line in lines:
        name, _, value = line.partition(b":")
        found[name.strip().decode("latin-1").lower()] = value.strip().decode("latin-1")
    return found


class Connection:
    """The two directions of one connection, cut into requests and answers."""

    def __init__(self):
        self.received = bytearray()
        self.sent = bytearray()
        self.requests = collections.deque()
        self.owed = 0  # octets of a request's body that are not there yet: its answer may come first
        self.readable = True

    def feed(self, what, octets):
        """The exchanges that these octets complete."""
        if what == b"<":
            self.received += octets
            self.take_requests()
            return
        self.sent += octets
        while (answer := self.take_answer()) is not None:
            if answer.status >= 200:
                yield answer

    def take_requests(self):
        """After one that cannot be read, nothing is a request any more."""
        while self.readable:
            skipped = min(self.owed, len(self.received))
            self.owed -= skipped
            del self.received[:skipped]
            if self.owed > 0 or (head := take_head(self.received)) is None:
                return
            line = REQUEST_LINE.fullmatch(head[0])
            self.requests.append(method_and_target(line))
            headers = fields(head[1:])
            length = headers.get("content-length", "0")
            self.readable = line is not None and length.isdecimal() and "transfer-encoding" not in headers
            self.owed = int(length) if self.readable else 0

    def take_answer(self):
        """The next answer that is there whole, interim ones too."""
        end = self.sent.find(END)
        if end < 0:
            return None
        line, *lines = bytes(self.sent[:end]).split(b"\r\n")
        status, headers = int(line.split()[1]), fields(lines)
        method, target = self.requests[0] if self.requests else method_and_target(REQUEST_START.match(self.received))
        without_body = method == "HEAD" or status < 200 or status in NO_BODY
        length = 0 if without_body else int(headers["content-length"])
        end += len(END)
        if len(self.sent) < end + length:
            return None
        body = bytes(self.sent[end:end + length]).decode()
        del self.sent[:end + length]
        if status >= 200 and self.requests:
            self.requests.popleft()
        return Exchange(method, target, status, headers, body)


def method_and_target(line):
    return (line[1].decode(), line[2].decode("latin-1")) if line else (None, None)


def take_head(octets):
    """The lines up to the empty one, taken out of `octets`; None as long as it has not come."""
    end = octets.find(END)
    if end < 0:
        return None
    lines = bytes(octets[:end]).split(b"\r\n")
    del octets[:end + len(END)]
    return lines


@functools.lru_cache(maxsize=20000)
def _judge(method, target, status, headers, body):
    if method is None:
        if status not in MALFORMED:
            raise Verdict(f"{status} for what is no request")
        check_problem(status, dict(headers), body, "a malformed request")
    else:
        judge(method, target, status, dict(headers), body)


class Recording:
    """The file of one daemon, read on from where the last reading ended."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.connections = {}

    def read(self):
        """The exchanges that have been completed since."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        position = 0
        while position + HEAD.size <= len(data):
            number, what, size = HEAD.unpack_from(data, position)
            if position + HEAD.size + size > len(data):
                break  # still being written, or cut short by a kill
            position += HEAD.size
            self.offset += HEAD.size + size
            connection = self.connections.setdefault(number, Connection())
            if what == b"x":
                del self.connections[number]
            else:
                yield from connection.feed(what, data[position:position + size])
            position += size

    def judge(self):
        """Raises Verdict for the first answer that may not be."""
        for exchange in self.read():
            headers = tuple(sorted((k, v) for k, v in exchange.headers.items() if k != "date"))
            try:
                _judge(exchange.method, exchange.target, exchange.status, headers, exchange.body)
            except Verdict as verdict:
                raise Verdict(f"{verdict}\n  answer to {exchange.method} {exchange.target}: {exchange.status} {exchange.body[:300]}") from None


recordings = []


@functools.cache
def folder():
    """Outlives the appliances' own directories, for a test's answers are judged when all of it has ended."""
    path = tempfile.mkdtemp(prefix="skms-recordings-")
    atexit.register(shutil.rmtree, path)
    return pathlib.Path(path)


def new_recording():
    recordings.append(Recording(folder() / str(len(recordings))))
    return recordings[-1]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """For the suites' conftest.py: no test passes with an answer that may not be, whoever got it."""
    for recording in recordings:
        recording.judge()
