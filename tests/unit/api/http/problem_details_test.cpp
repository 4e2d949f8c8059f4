#include "api/http/problem_details.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace skms::http {
namespace {

using nlohmann::json;

TEST_CASE("every error code has a status, and no unknown one is a success") {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const ErrorCode one = static_cast<ErrorCode>(code);
    CAPTURE(Name(one));
    const ProblemDetails problem = ProblemFor(one);
    CHECK(problem.status >= 400);
    CHECK_FALSE(problem.title.empty());
    CHECK((problem.status == 503) == (problem.retry_after > 0));
    CHECK((problem.status == 401) == !problem.www_authenticate.empty());
  }
  CHECK(ProblemFor(ErrorCode::kNotFound).status == 404);
  CHECK(ProblemFor(ErrorCode::kPermissionDenied).status == 403);
  CHECK(ProblemFor(ErrorCode::kRecipientUnusable).status == 403);
  CHECK(ProblemFor(ErrorCode::kTokenUnavailable).status == 503);
  CHECK(ProblemFor(ErrorCode::kResourceExhausted).cause == "NF_CONGESTION");
  CHECK(ProblemFor(ErrorCode::kIntegrity).status == 500);
  CHECK(ProblemFor(ErrorCode::kStorage).status == 500);
  CHECK(ProblemFor(ErrorCode::kNewerSchema).status == 500);
  CHECK(ProblemFor(ErrorCode::kUnsupported).status == 501);
}

TEST_CASE("a problem becomes problem+json with only what is set") {
  ProblemDetails problem;
  problem.status = 405;
  problem.title = "Method Not Allowed";
  problem.allow = "GET";
  const Response response = ToResponse(problem, "0123");
  CHECK(*response.headers.Find("Content-Type") == "application/problem+json");
  CHECK(*response.headers.Find("Cache-Control") == "no-store");
  CHECK(*response.headers.Find("Allow") == "GET");
  CHECK(response.headers.Find("Retry-After") == nullptr);
  CHECK(json::parse(response.body) ==
        json{{"status", 405}, {"title", "Method Not Allowed"}, {"instance", "urn:request:0123"}});
}

TEST_CASE("invalid parameters, causes and error codes travel; broken octets do not break the JSON") {
  ProblemDetails problem;
  problem.status = 400;
  problem.title = "Bad Request";
  problem.cause = "INVALID_QUERY_PARAM";
  problem.error_code = "04";
  problem.invalid_params.push_back({"a\xFF", "reason"});
  const json body = json::parse(ToResponse(problem, "").body);
  CHECK(body.at("cause") == "INVALID_QUERY_PARAM");
  CHECK(body.at("errorCode") == "04");
  CHECK(body.at("invalidParams").at(0).at("reason") == "reason");
  CHECK_FALSE(body.contains("instance"));
}

}  // namespace
}  // namespace skms::http
