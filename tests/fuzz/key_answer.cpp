// What a server, or somebody in its place, answers to skmc and libskmc.
#include "client/key_answer.h"

#include "base/encoding.h"
#include "client/printable.h"
#include "client/problem.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

using client::KeyAnswer;
using client::KeyQuery;

const char* const kSkmsUri = "https://skms.test";

void CheckDecoded(const Result<KeyAnswer>& answer, const KeyQuery& query) {
  if (answer.has_error()) {
    const ErrorCode code = answer.error().code;
    Require(code == ErrorCode::kIntegrity || code == ErrorCode::kNotFound, "a bad answer is told as one",
            answer.error().detail);
    Require(!answer.error().detail.empty(), "and why", answer.error().detail);
    return;
  }
  Require(!answer.value().keys.empty() || !answer.value().payloads.empty(), "an answer holds something");
  for (const client::ReceivedKey& key : answer.value().keys) {
    Require(key.group == query.group, "no key of another group comes along", key.group);
    Require(key.plaintext.empty() || key.encrypted_key.empty(), "a key has one form", key.kid);
    Require(key.not_before >= 0 && key.not_after >= 0, "times are times", key.kid);
  }
}

void CheckProblem(std::string_view input) {
  std::string_view body = input;
  const std::string_view after = TakeUntil(body, '\n');
  for (const long status : {307L, 400L, 403L, 503L}) {
    const client::Problem problem = client::ReadProblem(
        {status, {{"retry-after", std::string(after)}, {"location", std::string(after)}}, std::string(body)});
    Require(problem.status == status, "the status is HTTP's, whatever the body says");
    const Error error = client::ErrorOf(problem);
    Require(!error.detail.empty(), "a refusal can be told");
    const std::string shown = client::Printable(error.detail);
    Require(!HasControl(shown) && IsValidUtf8(shown), "what is printed cannot steer a terminal", shown);
    for (std::size_t i = 0; i + 1 < shown.size(); ++i)
      Require(shown[i] != '\xc2' || static_cast<unsigned char>(shown[i + 1]) >= 0xa0, "nor by a C1 character",
              shown);
  }
}

void CheckKeyAnswer(std::string_view input) {
  const std::string body(input);
  const KeyQuery service{.service = "s"};
  const KeyQuery user{.service = "s", .user = "u"};
  KeyQuery group = user;
  group.group = "g";
  const KeyQuery ue_client{.service = "s", .client = "c"};
  for (const KeyQuery& query : {service, user, group, ue_client}) {
    if (query.client.empty()) CheckDecoded(client::DecodeAnswer(body, query), query);
    CheckDecoded(client::DecodeKmResponse(body, query, kSkmsUri), query);
  }
  CheckProblem(input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(key_answer, skms::fuzz::CheckKeyAnswer)
