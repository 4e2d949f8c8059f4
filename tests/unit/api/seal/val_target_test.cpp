#include "api/seal/val_target.h"

#include <doctest/doctest.h>

#include <string>

namespace skms::seal {
namespace {

using keystore::Selector;
using keystore::TargetKind;

Selector Accepted(const std::string& query) {
  CAPTURE(query);
  const auto decoded = DecodeSelector(query);
  REQUIRE(std::holds_alternative<Selector>(decoded));
  return std::get<Selector>(decoded);
}

http::ProblemDetails Refused(const std::string& query) {
  CAPTURE(query);
  const auto decoded = DecodeSelector(query);
  REQUIRE(std::holds_alternative<http::ProblemDetails>(decoded));
  const auto& problem = std::get<http::ProblemDetails>(decoded);
  CHECK(problem.status == 400);
  CHECK(problem.error_code == "04");
  REQUIRE(problem.invalid_params.size() == 1);
  return problem;
}

constexpr const char* kJsonUser = "val-service-id=s&val-tgt-ue=%7B%22valUserId%22%3A%22u%22%7D";

TEST_CASE("a service alone, and both forms of a target, are understood") {
  CHECK(Accepted("val-service-id=uav.c2") ==
        Selector{keystore::ValServiceId("uav.c2"), TargetKind::kService, ""});
  CHECK(Accepted(kJsonUser) == Selector{keystore::ValServiceId("s"), TargetKind::kUser, "u"});
  CHECK(Accepted("valUserId=sip%3Aa%40b&val-service-id=s").target == "sip:a@b");
  CHECK(Accepted("val-service-id=s&valUeId=d").kind == TargetKind::kUe);
  CHECK(Accepted("val-service-id=s&val-tgt-ue=%7B%22valUeId%22%3A%22d%22%2C%22x%22%3A1%7D").target == "d");
  CHECK(Accepted("val-service-id=%C3%A9").service.value() == "\xC3\xA9");
}

TEST_CASE("a missing, empty, doubled, over-long or non-UTF-8 service is refused with its cause") {
  CHECK(Refused("").cause == "MANDATORY_QUERY_PARAM_MISSING");
  CHECK(Refused("valUserId=u").cause == "MANDATORY_QUERY_PARAM_MISSING");
  CHECK(Refused("val-service-id=").cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=a&val-service-id=a").cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=" + std::string(256, 'a')).cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=%FF").cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=%0d%0aX").cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=%zz").cause == "MANDATORY_QUERY_PARAM_INCORRECT");
  CHECK(Accepted("val-service-id=" + std::string(255, 'a')).service.value().size() == 255);
}

TEST_CASE("a target that is ambiguous or malformed is refused, never ignored") {
  CHECK(Refused(std::string(kJsonUser) + "&valUserId=u").invalid_params[0].param == "val-tgt-ue");
  CHECK(Refused("val-service-id=s&valUserId=u&valUeId=d").cause == "OPTIONAL_QUERY_PARAM_INCORRECT");
  CHECK(Refused("val-service-id=s&valUserId=").invalid_params[0].param == "valUserId");
  CHECK(Refused("val-service-id=s&valUserId=%C0%AF").invalid_params[0].param == "valUserId");
  for (const char* text :
       {"", "%7B", "%5B%5D", "null", "%22u%22", "%7B%7D", "%7B%22valUserId%22%3A1%7D",
        "%7B%22valUserId%22%3A%22%22%7D", "%7B%22valUserId%22%3A%22u%22%2C%22valUeId%22%3A%22d%22%7D",
        "%7B%22valUserId%22%3A%22u%22%2C%22valUserId%22%3A%22v%22%7D"}) {
    CAPTURE(text);
    CHECK(Refused(std::string("val-service-id=s&val-tgt-ue=") + text).cause ==
          "OPTIONAL_QUERY_PARAM_INCORRECT");
  }
}

TEST_CASE("a misspelt parameter is refused instead of giving the service's key") {
  CHECK(Refused("val-service-id=s&val-tgt-eu=%7B%7D").cause == "INVALID_QUERY_PARAM");
  CHECK(Refused("val-service-id=s&valuserid=u").cause == "INVALID_QUERY_PARAM");
}

}  // namespace
}  // namespace skms::seal
