// What the fault module counts.
#include <doctest/doctest.h>

#include <thread>

#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

TEST_CASE("counters tell calls, refusals and time in the real module apart") {
  const FaultedToken token;
  auto before = token.Counters()["C_GenerateRandom"];
  for (int i = 0; i < 3; ++i) CHECK(token.Random(token.session) == CKR_OK);
  auto forwarded = token.Counters()["C_GenerateRandom"];
  CHECK(forwarded.calls == before.calls + 3);
  CHECK(forwarded.refused == before.refused);
  CHECK(forwarded.nanoseconds > before.nanoseconds);
  CHECK(token.Order("fail C_GenerateRandom CKR_DEVICE_ERROR times 2") == "ok");
  for (int i = 0; i < 2; ++i) CHECK(token.Random(token.session) == CKR_DEVICE_ERROR);
  auto refused = token.Counters()["C_GenerateRandom"];
  CHECK(refused.calls == forwarded.calls + 2);
  CHECK(refused.refused == forwarded.refused + 2);
  CHECK(refused.nanoseconds == forwarded.nanoseconds);
  // A delay is ours, not the real module's time.
  CHECK(token.Order("delay C_GenerateRandom 200 times 1") == "ok");
  CHECK(token.Random(token.session) == CKR_OK);
  CHECK(token.Counters()["C_GenerateRandom"].nanoseconds < refused.nanoseconds + 200'000'000);
}

TEST_CASE("C_Finalize under a call is counted, and only then") {
  const FaultedToken token;
  const auto before = token.Counters();
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Counters()["finalize-under-call:"].calls == before.at("finalize-under-call:").calls);

  // Refused, so that SoftHSM is not really finalised under the call.
  CHECK(token.Order("fail C_Finalize CKR_GENERAL_ERROR times 1") == "ok");
  CHECK(token.Order("hang C_GetSessionInfo 600") == "ok");
  const auto calls = token.Counters()["C_GetSessionInfo"].calls;
  std::thread hanging([&] {
    CK_SESSION_INFO info{};
    token->C_GetSessionInfo(token.session, &info);
  });
  while (token.Counters()["C_GetSessionInfo"].calls == calls) std::this_thread::yield();
  CHECK(token->C_Finalize(nullptr) == CKR_GENERAL_ERROR);
  CHECK(token.Order("clear") == "ok");
  hanging.join();
  auto after = token.Counters();
  CHECK(after["finalize-under-call:"].calls == before.at("finalize-under-call:").calls + 1);
  CHECK(after["most-inside:"].calls >= 2);
}

TEST_CASE("a call that slept while the module was finalised does not go on in its next life") {
  const FaultedToken token;
  CHECK(token.Order("hang C_GetSessionInfo 600") == "ok");
  const auto calls = token.Counters()["C_GetSessionInfo"].calls;
  CK_RV rv = CKR_OK;
  std::thread hanging([&] {
    CK_SESSION_INFO info{};
    rv = token->C_GetSessionInfo(token.session, &info);
  });
  while (token.Counters()["C_GetSessionInfo"].calls == calls) std::this_thread::yield();
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Initialise() == CKR_OK);
  CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;
  CHECK(token.Open(fresh) == CKR_OK);
  CHECK(fresh == token.session);  // SoftHSM begins to count anew
  CHECK(token.Order("clear") == "ok");
  hanging.join();
  CHECK(rv == CKR_CRYPTOKI_NOT_INITIALIZED);
}

}  // namespace
}  // namespace skms::test
