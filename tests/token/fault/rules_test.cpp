// fail, delay, hang and hide, seen by an application of SoftHSM2 through the fault module.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

using std::chrono::milliseconds;

milliseconds TimeOf(const std::function<void()>& action) {
  const auto before = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - before);
}

std::vector<CK_MECHANISM_TYPE> Mechanisms(const FaultedToken& token) {
  CK_ULONG count = 0;
  REQUIRE(token->C_GetMechanismList(token.Slot(), nullptr, &count) == CKR_OK);
  std::vector<CK_MECHANISM_TYPE> list(count);
  REQUIRE(token->C_GetMechanismList(token.Slot(), list.data(), &count) == CKR_OK);
  CHECK(count == list.size());
  return list;
}

TEST_CASE("what is not ordered is forwarded") {
  const FaultedToken token;
  CHECK(token.Random(token.session) == CKR_OK);
  CHECK(token.Sign(token.session, token.MakeMacKey(token.session)) == CKR_OK);
  CK_SESSION_INFO info{};
  CHECK(token->C_GetSessionInfo(token.session, &info) == CKR_OK);
  CHECK(info.slotID == token.Slot());
  CK_FUNCTION_LIST* list = nullptr;
  CHECK(token->C_GetFunctionList(&list) == CKR_OK);
  CHECK((list->C_Sign == token->C_Sign));
}

TEST_CASE("fail answers by name or number, for as long as it was told") {
  const FaultedToken token;
  CHECK(token.Order("fail C_GenerateRandom CKR_DEVICE_ERROR after 2 times 3") == "ok");
  for (const CK_RV expected : {CKR_OK, CKR_OK, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_ERROR, CKR_OK})
    CHECK(token.Random(token.session) == expected);
  CHECK(token.Order("fail C_GenerateRandom 0x80000001") == "ok");
  for (int i = 0; i < 5; ++i) CHECK(token.Random(token.session) == 0x80000001UL);
  CHECK(token.Order("clear") == "ok");
  CHECK(token.Random(token.session) == CKR_OK);
}

TEST_CASE(
    "pace makes a call as long as it says, with what the module itself takes, and no more calls than it "
    "says") {
  const FaultedToken token;
  const auto before = token.Counters()["C_GenerateRandom"];
  CHECK(token.Order("pace C_GenerateRandom 60 times 2") == "ok");
  CHECK(token.Order("pace C_GenerateRandom 20 times 3") == "ok");
  CHECK(token.Lines("rules").size() == 2);
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) >= milliseconds(60));
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) >= milliseconds(60));
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) >= milliseconds(20));
  CHECK(token.Lines("rules").empty());
  // The wait is not the real module's.
  const auto after = token.Counters()["C_GenerateRandom"];
  CHECK(after.calls - before.calls == 3);
  CHECK(after.nanoseconds - before.nanoseconds < 60'000'000);
}

TEST_CASE("a failed call does not reach the real module") {
  const FaultedToken token;
  CHECK(token.Order("fail C_CloseSession CKR_DEVICE_ERROR times 1") == "ok");
  CHECK(token->C_CloseSession(token.session) == CKR_DEVICE_ERROR);
  CHECK(token.Random(token.session) == CKR_OK);
}

TEST_CASE("an asterisk is every function with a session, and no other") {
  const FaultedToken token;
  CHECK(token.Order("fail * CKR_DEVICE_ERROR") == "ok");
  CHECK(token.Random(token.session) == CKR_DEVICE_ERROR);
  CHECK(token->C_Logout(token.session) == CKR_DEVICE_ERROR);
  CK_SESSION_HANDLE another = CK_INVALID_HANDLE;
  CHECK(token.Open(another) == CKR_OK);
  CHECK(token->C_CloseSession(another) == CKR_DEVICE_ERROR);
}

TEST_CASE("of two failures the first ordered comes first, and the second is not used up meanwhile") {
  const FaultedToken token;
  CHECK(token.Order("fail C_GenerateRandom CKR_HOST_MEMORY times 1") == "ok");
  CHECK(token.Order("fail C_GenerateRandom CKR_DEVICE_MEMORY times 1") == "ok");
  CHECK(token.Lines("rules") == std::vector<std::string>{"fail C_GenerateRandom CKR_HOST_MEMORY times 1",
                                                         "fail C_GenerateRandom CKR_DEVICE_MEMORY times 1"});
  CHECK(token.Random(token.session) == CKR_HOST_MEMORY);
  CHECK(token.Random(token.session) == CKR_DEVICE_MEMORY);
  CHECK(token.Random(token.session) == CKR_OK);
  CHECK(token.Lines("rules").empty());
}

TEST_CASE("delay makes a call late, as often as it was told") {
  const FaultedToken token;
  CHECK(token.Order("delay C_GenerateRandom 120 times 1") == "ok");
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) >= milliseconds(120));
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) < milliseconds(120));
  CHECK(token.Order("delay * 60") == "ok");
  CHECK(TimeOf([&] { token.Random(token.session); }) >= milliseconds(60));
}

TEST_CASE("clear wakes what hangs, which is then forwarded") {
  const FaultedToken token;
  CHECK(token.Order("hang C_GenerateRandom 600") == "ok");
  const auto before = token.Counters()["C_GenerateRandom"].calls;
  CK_RV rv = CKR_GENERAL_ERROR;
  const milliseconds took = TimeOf([&] {
    std::thread caller([&] { rv = token.Random(token.session); });
    while (token.Counters()["C_GenerateRandom"].calls == before) std::this_thread::yield();
    CHECK(token.Order("clear") == "ok");
    caller.join();
  });
  CHECK(rv == CKR_OK);
  CHECK(took < milliseconds(60000));
}

TEST_CASE("a hang ends by itself, too") {
  const FaultedToken token;
  CHECK(token.Order("hang C_GenerateRandom 1 times 1") == "ok");
  CHECK(TimeOf([&] { CHECK(token.Random(token.session) == CKR_OK); }) >= milliseconds(1000));
}

TEST_CASE("a hidden mechanism is in no list and can be used by no function") {
  const FaultedToken token;
  const auto all = Mechanisms(token);
  REQUIRE(std::count(all.begin(), all.end(), CKM_SHA256_HMAC) == 1);
  const CK_OBJECT_HANDLE key = token.MakeMacKey(token.session);
  CHECK(token.Order("hide CKM_SHA256_HMAC") == "ok");
  CHECK(token.Order("hide 0x350") == "ok");  // CKM_GENERIC_SECRET_KEY_GEN
  const auto shown = Mechanisms(token);
  CHECK(shown.size() == all.size() - 2);
  CHECK(std::count(shown.begin(), shown.end(), CKM_SHA256_HMAC) == 0);
  CK_MECHANISM_INFO info{};
  CHECK(token->C_GetMechanismInfo(token.Slot(), CKM_SHA256_HMAC, &info) == CKR_MECHANISM_INVALID);
  CHECK(token->C_GetMechanismInfo(token.Slot(), CKM_SHA384_HMAC, &info) == CKR_OK);
  CHECK(token.Sign(token.session, key) == CKR_MECHANISM_INVALID);
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  CHECK(token->C_VerifyInit(token.session, &mechanism, key) == CKR_MECHANISM_INVALID);
  CK_MECHANISM generate{CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  CHECK(token->C_GenerateKey(token.session, &generate, nullptr, 0, &made) == CKR_MECHANISM_INVALID);
  CHECK(token.Order("clear") == "ok");
  CHECK(token.Sign(token.session, key) == CKR_OK);
  CHECK(Mechanisms(token) == all);
}

TEST_CASE("a list of mechanisms that does not fit is told to be too small") {
  const FaultedToken token;
  CHECK(token.Order("hide CKM_AES_GCM") == "ok");
  CK_MECHANISM_TYPE one = 0;
  CK_ULONG count = 1;
  CHECK(token->C_GetMechanismList(token.Slot(), &one, &count) == CKR_BUFFER_TOO_SMALL);
  CHECK(count == Mechanisms(token).size());
}

TEST_CASE("every function that names a mechanism refuses a hidden one") {
  const FaultedToken token;
  CHECK(token.Order("hide CKM_AES_GCM") == "ok");
  CK_MECHANISM gcm{CKM_AES_GCM, nullptr, 0};
  CK_OBJECT_HANDLE one = 1;
  CK_OBJECT_HANDLE other = 1;
  CK_BYTE octets[64] = {};
  CK_ULONG size = sizeof octets;
  const CK_SESSION_HANDLE with = token.session;
  CHECK(token->C_EncryptInit(with, &gcm, one) == CKR_MECHANISM_INVALID);
  CHECK(token->C_DecryptInit(with, &gcm, one) == CKR_MECHANISM_INVALID);
  CHECK(token->C_DigestInit(with, &gcm) == CKR_MECHANISM_INVALID);
  CHECK(token->C_SignRecoverInit(with, &gcm, one) == CKR_MECHANISM_INVALID);
  CHECK(token->C_VerifyRecoverInit(with, &gcm, one) == CKR_MECHANISM_INVALID);
  CHECK(token->C_GenerateKeyPair(with, &gcm, nullptr, 0, nullptr, 0, &one, &other) == CKR_MECHANISM_INVALID);
  CHECK(token->C_WrapKey(with, &gcm, one, other, octets, &size) == CKR_MECHANISM_INVALID);
  CHECK(token->C_UnwrapKey(with, &gcm, one, octets, size, nullptr, 0, &other) == CKR_MECHANISM_INVALID);
  CHECK(token->C_DeriveKey(with, &gcm, one, nullptr, 0, &other) == CKR_MECHANISM_INVALID);
}

}  // namespace
}  // namespace skms::test
