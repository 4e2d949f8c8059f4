#include "provisioning/admin_client.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/skmsctl_run.h"

namespace skms::provisioning {

TEST_CASE("A successful answer without a body is an empty object") {
  const auto answer = DecodeAnswer(204, "");
  REQUIRE(answer.has_value());
  CHECK(answer.value().empty());
}

TEST_CASE("A problem's cause gives the error's kind, and its detail the words") {
  const auto answer = DecodeAnswer(409, R"({"cause":"already-exists","detail":"there is one"})");
  REQUIRE(answer.has_error());
  CHECK(answer.error().code == ErrorCode::kAlreadyExists);
  CHECK(answer.error().detail == "there is one");
}

TEST_CASE("An integrity failure of the daemon stays one, though its status is only 500") {
  CHECK(DecodeAnswer(500, R"({"cause":"integrity","detail":"d"})").error().code == ErrorCode::kIntegrity);
}

TEST_CASE("A refused user is told apart from a refused request") {
  CHECK(DecodeAnswer(403, R"({"cause":"not-an-administrator"})").error().code == ErrorCode::kUnauthenticated);
  CHECK(DecodeAnswer(403, R"({"cause":"permission-denied"})").error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("A problem without a known cause goes by its status") {
  CHECK(DecodeAnswer(404, R"({"cause":"RESOURCE_URI_STRUCTURE_NOT_FOUND"})").error().code ==
        ErrorCode::kNotFound);
  CHECK(DecodeAnswer(503, "{}").error().code == ErrorCode::kResourceExhausted);
  CHECK(DecodeAnswer(413, "{}").error().code == ErrorCode::kTooLarge);
  CHECK(DecodeAnswer(500, "").error().code == ErrorCode::kInternal);
}

TEST_CASE("An answer that is no JSON, or of other types, is an error and nothing worse") {
  CHECK(DecodeAnswer(200, "<html>").has_error());
  CHECK(DecodeAnswer(200, "[1]").has_error());
  CHECK(DecodeAnswer(500, "<html>").error().detail == "the daemon answered 500");
  CHECK(DecodeAnswer(400, R"({"cause":5,"detail":[]})").error().code == ErrorCode::kInvalidArgument);
  CHECK(DecodeAnswer(400, "\"text\"").error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("A socket that is not there is exit 4 and says how to start the daemon") {
  const auto run = test::Skmsctl({"status", "--socket", "/nonexistent/admin.sock"});
  CHECK(run.code == 4);
  CHECK(run.out.empty());
  CHECK(test::Has(run.err, "systemctl start skmsd"));
}

}  // namespace skms::provisioning
