#include "api/http/negotiation.h"

#include <doctest/doctest.h>

namespace skms::http {
namespace {

bool Has(const char* if_none_match, std::string_view tag) {
  Request request;
  request.headers.Add("If-None-Match", if_none_match);
  return HasEntity(request, tag);
}

}  // namespace

TEST_CASE("an entity tag is found in a list, by weak comparison, and as a whole only") {
  CHECK(Has("\"a\"", "\"a\""));
  CHECK(Has("W/\"a\"", "\"a\""));
  CHECK(Has("\"a\"", "W/\"a\""));
  CHECK(Has("\"x\" ,W/\"a\"", "\"a\""));
  CHECK(Has("*", "\"a\""));
  CHECK_FALSE(HasEntity(Request{}, "\"a\""));
  for (const char* other :
       {"", ",", "\"b\"", "\"ab\"", "a", "\"a", "x\"a\"", "\"x\"a\"", "w/\"a\"", "W/ \"a\""}) {
    CAPTURE(other);
    CHECK_FALSE(Has(other, "\"a\""));
  }
}

TEST_CASE("an answer without change has the tag and no body") {
  const Response response = NotModified("\"a\"");
  CHECK(response.status == 304);
  CHECK(*response.headers.Find("ETag") == "\"a\"");
  CHECK(response.body.empty());
  CHECK(response.headers.Find("Content-Type") == nullptr);
}

}  // namespace skms::http
