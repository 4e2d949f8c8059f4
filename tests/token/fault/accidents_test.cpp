// drop-sessions, logout, away, slots and forget, seen by an application of SoftHSM2 through the fault module.
#include <doctest/doctest.h>

#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

CK_STATE StateOf(const FaultedToken& token, CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info{};
  REQUIRE(token->C_GetSessionInfo(session, &info) == CKR_OK);
  return info.state;
}

CK_ULONG SlotCount(const FaultedToken& token, CK_BBOOL with_token) {
  CK_ULONG count = 0;
  REQUIRE(token->C_GetSlotList(with_token, nullptr, &count) == CKR_OK);
  return count;
}

TEST_CASE("dropped sessions are invalid to the real module, and new ones can be had") {
  const FaultedToken token;
  CHECK(token.Order("drop-sessions") == "ok");
  CHECK(token.Random(token.session) == CKR_SESSION_HANDLE_INVALID);
  CK_SESSION_HANDLE again = CK_INVALID_HANDLE;
  CHECK(token.Open(again) == CKR_OK);
  CHECK(token.Login(again) == CKR_OK);
  CHECK(token.Random(again) == CKR_OK);
}

TEST_CASE("logout ends the login of every session, and leaves the sessions") {
  const FaultedToken token;
  CHECK(StateOf(token, token.session) == CKS_RW_USER_FUNCTIONS);
  CHECK(token.Order("logout") == "ok");
  CHECK(StateOf(token, token.session) == CKS_RW_PUBLIC_SESSION);
  CHECK(token.Order("logout") == "error logout: nobody is logged in; log in first");
  CHECK(token.Login(token.session) == CKR_OK);
}

TEST_CASE("a token that is away is in no list, and its sessions are of a removed device") {
  const FaultedToken token;
  const CK_SLOT_ID slot = token.Slot();
  const CK_ULONG all = SlotCount(token, CK_FALSE);
  CHECK(token.Order("away 600") == "ok");
  CHECK(SlotCount(token, CK_TRUE) == 0);
  CHECK(SlotCount(token, CK_FALSE) == all);
  CK_SLOT_INFO slot_info{};
  CHECK(token->C_GetSlotInfo(slot, &slot_info) == CKR_OK);
  CHECK((slot_info.flags & CKF_TOKEN_PRESENT) == 0);
  CK_TOKEN_INFO info{};
  CHECK(token->C_GetTokenInfo(slot, &info) == CKR_TOKEN_NOT_PRESENT);
  CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;
  CHECK(token->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &fresh) == CKR_TOKEN_NOT_PRESENT);
  CHECK(token.Random(token.session) == CKR_DEVICE_REMOVED);

  CHECK(token.Order("clear") == "ok");
  CHECK(token.Slot() == slot);
  CHECK(token.Random(token.session) == CKR_SESSION_HANDLE_INVALID);
  CHECK(token.Open(fresh) == CKR_OK);
  CHECK(StateOf(token, fresh) == CKS_RW_PUBLIC_SESSION);
}

TEST_CASE("a token comes back after its time, under other slot ids when it was told so") {
  const FaultedToken token;
  const CK_SLOT_ID slot = token.Slot();
  CHECK(token.Order("away 1 slot +7") == "ok");
  CHECK(token.Random(token.session) == CKR_DEVICE_REMOVED);
  for (CK_ULONG count = 0; count == 0;) token->C_GetSlotList(CK_TRUE, nullptr, &count);
  CHECK(token.Slot() == slot + 7);
  CK_TOKEN_INFO info{};
  CHECK(token->C_GetTokenInfo(slot, &info) == CKR_SLOT_ID_INVALID);
  CHECK(token->C_GetTokenInfo(slot + 7, &info) == CKR_OK);
  CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;
  CHECK(token.Open(fresh) == CKR_OK);
  CK_SESSION_INFO session{};
  CHECK(token->C_GetSessionInfo(fresh, &session) == CKR_OK);
  CHECK(session.slotID == slot + 7);
  CHECK(token->C_CloseAllSessions(slot + 7) == CKR_OK);
  CHECK(token.Random(fresh) == CKR_SESSION_HANDLE_INVALID);
}

TEST_CASE("no more sessions than slots says; a closed one makes room, however it was closed") {
  const FaultedToken token;
  CK_SESSION_HANDLE second = CK_INVALID_HANDLE;
  CK_SESSION_HANDLE third = CK_INVALID_HANDLE;
  CHECK(token.Order("slots 2") == "ok");
  CHECK(token.Open(second) == CKR_OK);
  CHECK(token.Open(third) == CKR_SESSION_COUNT);
  CHECK(token->C_CloseSession(second) == CKR_OK);
  CHECK(token.Open(second) == CKR_OK);
  CHECK(token.Open(third) == CKR_SESSION_COUNT);
  CHECK(token->C_CloseAllSessions(token.Slot()) == CKR_OK);
  CHECK(token.Open(second) == CKR_OK);
  CHECK(token.Open(third) == CKR_OK);
  CHECK(token.Order("drop-sessions") == "ok");
  CHECK(token.Open(second) == CKR_OK);
  CHECK(token.Open(third) == CKR_OK);
  CK_SESSION_HANDLE fourth = CK_INVALID_HANDLE;
  CHECK(token.Open(fourth) == CKR_SESSION_COUNT);
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Open(second) == CKR_OK);
  CHECK(token.Open(third) == CKR_OK);
  CHECK(token.Open(fourth) == CKR_SESSION_COUNT);
  CHECK(token.Order("clear") == "ok");
  CHECK(token.Open(fourth) == CKR_OK);
}

TEST_CASE("a forgetful library knows nothing until it is initialised, and then begins anew") {
  const FaultedToken token;
  CHECK(token.Order("forget") == "ok");
  CHECK(token.Random(token.session) == CKR_CRYPTOKI_NOT_INITIALIZED);
  CK_INFO info{};
  CHECK(token->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED);
  CHECK(token->C_Finalize(nullptr) == CKR_CRYPTOKI_NOT_INITIALIZED);
  CHECK(token.Order("clear") == "ok");  // what is lost stays lost
  CHECK(token.Random(token.session) == CKR_CRYPTOKI_NOT_INITIALIZED);
  // Had the real module not been finalised, it would be CKR_CRYPTOKI_ALREADY_INITIALIZED.
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Random(token.session) == CKR_SESSION_HANDLE_INVALID);
  CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;
  CHECK(token.Open(fresh) == CKR_OK);
  CHECK(token.Login(fresh) == CKR_OK);
  CHECK(token.Initialise() == CKR_CRYPTOKI_ALREADY_INITIALIZED);
}

}  // namespace
}  // namespace skms::test
