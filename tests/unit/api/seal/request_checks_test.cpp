#include "api/seal/request_checks.h"

#include <doctest/doctest.h>

#include "base/date_time.h"

namespace skms::seal {
namespace {

http::Request WithHeader(const char* name, std::string value) {
  http::Request request;
  request.headers.Add(name, std::move(value));
  return request;
}

TEST_CASE("the time window is closed on both sides and silent without the header") {
  const std::int64_t now = *ParseDateTime("2026-11-24T11:00:00Z");
  CHECK_FALSE(CheckTimestamp(http::Request{}, now, 5000).has_value());
  CHECK_FALSE(
      CheckTimestamp(WithHeader("nb-api-sender-timestamp", "2026-11-24T10:59:55Z"), now, 5000).has_value());
  CHECK_FALSE(
      CheckTimestamp(WithHeader("Nb-Api-Sender-Timestamp", "2026-11-24T11:00:05Z"), now, 5000).has_value());

  const auto old =
      CheckTimestamp(WithHeader("Nb-Api-Sender-Timestamp", "2026-11-24T10:59:54.999Z"), now, 5000);
  REQUIRE(old.has_value());
  CHECK(old->status == 403);
  CHECK(old->error_code == "04");
  CHECK(
      CheckTimestamp(WithHeader("Nb-Api-Sender-Timestamp", "2026-11-24T11:00:05.001Z"), now, 5000)->status ==
      403);
  CHECK(CheckTimestamp(WithHeader("Nb-Api-Sender-Timestamp", "yesterday"), now, 5000)->status == 400);

  http::Request twice = WithHeader("Nb-Api-Sender-Timestamp", "2026-11-24T11:00:00Z");
  twice.headers.Add("Nb-Api-Sender-Timestamp", "2026-11-24T11:00:00Z");
  CHECK(CheckTimestamp(twice, now, 5000)->status == 400);
}

TEST_CASE("the Host must be ours, with or without the default port") {
  const ApiRoot root = ParseApiRoot("https://KMS.example/seal");
  CHECK(root.authority == "kms.example:443");
  CHECK(root.prefix == "/seal");
  CHECK_FALSE(CheckTarget(WithHeader("Host", "kms.example"), root).has_value());
  CHECK_FALSE(CheckTarget(WithHeader("host", "Kms.Example:443"), root).has_value());
  CHECK(CheckTarget(WithHeader("Host", "kms.example:8443"), root)->status == 400);
  CHECK(CheckTarget(WithHeader("Host", "other.example"), root).has_value());
  CHECK(CheckTarget(http::Request{}, root).has_value());

  const ApiRoot v6 = ParseApiRoot("https://[::1]:8443");
  CHECK(v6.authority == "[::1]:8443");
  CHECK(v6.prefix.empty());
  CHECK(ParseApiRoot("https://[::1]").authority == "[::1]:443");
}

}  // namespace
}  // namespace skms::seal
