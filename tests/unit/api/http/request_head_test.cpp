#include "api/http/request_head.h"

#include <doctest/doctest.h>

#include <string>

namespace skms::http {
namespace {

int StatusOf(const std::string& octets, const Limits& limits = {}) {
  CAPTURE(octets);
  RequestHead head;
  const auto problem = CheckHead(octets, limits, head);
  return problem ? problem->status : 200;
}

std::string Get(const std::string& fields) { return "GET /a?b=c HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"; }
std::string Post(const std::string& fields) { return "POST /a HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"; }

TEST_CASE("a plain head passes, and cpp-httplib is not shown what it would act on") {
  RequestHead head;
  const std::string octets =
      Get("Accept: */*\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\nContent-Length: 0\r\n");
  CHECK_FALSE(CheckHead(octets, {}, head).has_value());
  CHECK(head.method == "GET");
  CHECK(head.target == "/a?b=c");
  CHECK(head.body_bytes == 0);
  CHECK(head.for_httplib == "GET /a?b=c HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
}

TEST_CASE("a body is announced by one decimal length") {
  RequestHead head;
  CHECK_FALSE(CheckHead(Post("Content-Length: 12\r\nExpect: 100-continue\r\n"), {}, head).has_value());
  CHECK(head.body_bytes == 12);
  CHECK(head.expects_continue);
  CHECK(StatusOf(Post("")) == 411);
  CHECK(StatusOf(Post("Transfer-Encoding: chunked\r\n")) == 411);
  CHECK(StatusOf(Post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")) == 400);
  CHECK(StatusOf(Post("Content-Length: 1\r\nContent-Length: 1\r\n")) == 400);
  for (const char* length : {"", "+1", "-1", "1x", "0x1", "1 1", "1,1"}) {
    CHECK(StatusOf(Post("Content-Length: " + std::string(length) + "\r\n")) == 400);
  }
  CHECK(StatusOf(Post("Content-Length: 65536\r\n")) == 200);
  CHECK(StatusOf(Post("Content-Length: 65537\r\n")) == 413);
  CHECK(StatusOf(Post("Content-Length: 99999999999999999999\r\n")) == 413);
  CHECK(StatusOf(Get("Content-Length: 1\r\n")) == 400);
  CHECK(StatusOf(Get("Transfer-Encoding: chunked\r\n")) == 411);
  CHECK(StatusOf(Post("Content-Length: 1\r\nContent-Encoding: gzip\r\n")) == 415);
  CHECK(StatusOf(Post("Content-Length: 1\r\nExpect: tea\r\n")) == 400);
}

TEST_CASE("request lines that two readers may read differently are refused") {
  for (const char* line :
       {"GET", "GET /", "GET  HTTP/1.1", " / HTTP/1.1", "GET /a b HTTP/1.1", "GET a HTTP/1.1",
        "GET * HTTP/1.1", "G(T / HTTP/1.1", "GET /\x01 HTTP/1.1", "GET /\xC3\xA9 HTTP/1.1"}) {
    CHECK(StatusOf(std::string(line) + "\r\nHost: h\r\n\r\n") == 400);
  }
  CHECK(StatusOf("GET / HTTP/2.0\r\nHost: h\r\n\r\n") == 505);
  CHECK(StatusOf("GET / HTTP/1.1 \r\nHost: h\r\n\r\n") != 200);
  CHECK(StatusOf("BREW / HTTP/1.1\r\nHost: h\r\n\r\n") == 501);
  CHECK(StatusOf("GET / HTTP/1.0\r\n\r\n") == 200);
}

TEST_CASE("field lines that two readers may read differently are refused") {
  for (const char* field : {"A : b\r\n", " A: b\r\n", "A: b\r\n c\r\n", "A\r\n", ": b\r\n", "A: b\nC: d\r\n",
                            "A: b\rC: d\r\n", "A(: b\r\n", "Host: h\r\n"}) {
    CHECK(StatusOf(Get(field)) == 400);
  }
  CHECK(StatusOf(Get(std::string("A: b\0c\r\n", 8))) == 400);
  CHECK(StatusOf("GET / HTTP/1.1\r\n\r\n") == 400);
}

TEST_CASE("limits bite on targets, single lines and the number of fields") {
  Limits limits;
  limits.max_target_bytes = 10;
  limits.max_header_fields = 3;
  CHECK(StatusOf("GET /123456789 HTTP/1.1\r\nHost: h\r\n\r\n", limits) == 200);
  CHECK(StatusOf("GET /1234567890 HTTP/1.1\r\nHost: h\r\n\r\n", limits) == 414);
  CHECK(StatusOf("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n", limits) == 200);
  CHECK(StatusOf("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits) == 431);
  CHECK(StatusOf(Get("A: " + std::string(9000, 'x') + "\r\n")) == 431);
  CHECK(OversizeProblem("GET /aaaa").status == 414);
  CHECK(OversizeProblem("GET / HTTP/1.1\r\nA: b").status == 431);
}

}  // namespace
}  // namespace skms::http
