// What comes in: queries, JSON, Accept.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/http/query.h"

namespace skms::http {
namespace {

using Pairs = QueryParameters;

TEST_CASE("a query is split, then decoded once; plus stays plus") {
  CHECK(ParseQuery("").value().empty());
  CHECK(ParseQuery("a=1&b=2").value() == Pairs{{"a", "1"}, {"b", "2"}});
  CHECK(ParseQuery("a=1&a=2").value() == Pairs{{"a", "1"}, {"a", "2"}});
  CHECK(ParseQuery("a&b=").value() == Pairs{{"a", ""}, {"b", ""}});
  CHECK(ParseQuery("&a=1&&").value() == Pairs{{"a", "1"}});
  CHECK(ParseQuery("a=1%262%3D3&b=x+y").value() == Pairs{{"a", "1&2=3"}, {"b", "x+y"}});
  CHECK(ParseQuery("a=%2541").value() == Pairs{{"a", "%41"}});
  CHECK(ParseQuery("a=b=c").value() == Pairs{{"a", "b=c"}});
  CHECK(ParseQuery("%C3%A9=%E2%82%AC").value() == Pairs{{"\xC3\xA9", "\xE2\x82\xAC"}});
}

TEST_CASE("broken escapes, control characters and octets that are not UTF-8 are refused by name") {
  for (const char* query :
       {"a=%", "a=%4", "a=%zz", "a=%00", "a=%0A", "a=%7F", "a=%FF", "a=%C0%AF", "a=%ED%A0%80"}) {
    CAPTURE(query);
    const auto parsed = ParseQuery(query);
    REQUIRE(parsed.has_error());
    CHECK(parsed.error().code == ErrorCode::kInvalidArgument);
    CHECK(parsed.error().detail == "a");
  }
  CHECK(ParseQuery("%FF=1").error().detail.empty());
}

TEST_CASE("JSON is strict about doubles, depth, size, UTF-8 and what follows it") {
  CHECK(ParseJson(R"({"a":[1,{"b":null}]})").value()["a"][1]["b"].is_null());
  CHECK(ParseJson(R"({"a":{"x":1},"b":{"x":1}})").has_value());
  for (const char* text : {"", "{", R"({"a":1,"a":1})", R"([{"a":1,"b":2,"a":3}])", R"({"a":1} x)", "nul",
                           "{'a':1}", "\"\xFF\"", "[1,]", "NaN"}) {
    CAPTURE(text);
    CHECK(ParseJson(text).error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(ParseJson("[[[1]]]", {.max_bytes = 100, .max_depth = 4}).has_value());
  CHECK(ParseJson("[[[[[1]]]]]", {.max_bytes = 100, .max_depth = 4}).has_error());
  CHECK(ParseJson(std::string(100000, '['), {.max_bytes = 200000, .max_depth = 4}).has_error());
  CHECK(ParseJson("\"123456789\"", {.max_bytes = 10}).error().code == ErrorCode::kTooLarge);
}

TEST_CASE("objects after more values than accepted are refused, not read into what was left") {
  std::string many = "[";
  for (int i = 0; i < 20001; ++i) many += "[],";
  const std::string text = many + R"({"a":1,"a":2},{"b":{}}])";
  REQUIRE(text.size() < JsonLimits{}.max_bytes);
  CHECK(ParseJson(text).error().code == ErrorCode::kInvalidArgument);
  const JsonLimits few{.max_values = 2};
  CHECK(ParseJson(R"([1,2,3,4,{"a":{"b":[{"c":1}]}}])", few).error().code == ErrorCode::kInvalidArgument);
  CHECK(ParseJson(R"({"a":[1,2,3,4,{"b":1}],"b":{"c":1}})", few).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("Accept lets JSON through by name, by range, or by its absence") {
  const auto accepts = [](std::initializer_list<const char*> values) {
    Request request;
    for (const char* value : values) request.headers.Add("accept", value);
    return AcceptsJson(request);
  };
  CHECK(accepts({}));
  CHECK(accepts({"application/json"}));
  CHECK(accepts({"text/html, Application/JSON;q=0.1"}));
  CHECK(accepts({"text/html", "*/*"}));
  CHECK(accepts({"application/*;q=0.5"}));
  CHECK_FALSE(accepts({"text/html"}));
  CHECK_FALSE(accepts({"application/json;q=0"}));
  CHECK_FALSE(accepts({"application/jsonx"}));
  CHECK_FALSE(accepts({""}));
}

TEST_CASE("header names compare without case, and Set replaces all") {
  Headers headers;
  headers.Add("X-A", "1");
  headers.Add("x-a", "2");
  CHECK(headers.Count("X-a") == 2);
  CHECK(*headers.Find("x-A") == "1");
  headers.Set("X-A", "3");
  CHECK(headers.Count("x-a") == 1);
  CHECK(headers.Find("other") == nullptr);
}

}  // namespace
}  // namespace skms::http
