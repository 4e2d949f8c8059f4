#include "hsm/token_error.h"

#include <doctest/doctest.h>

#include "hsm/pkcs11_api.h"
#include "hsm/token_keys.h"

namespace skms::hsm {
namespace {

TEST_CASE("a failure names the function and the CKR_, and carries both") {
  const Error error = TokenError("C_Login", CKR_PIN_INCORRECT);
  CHECK(error.detail == "C_Login: CKR_PIN_INCORRECT");
  CHECK(error.code == ErrorCode::kPinIncorrect);
  CHECK(error.rv == CKR_PIN_INCORRECT);
  CHECK(error.function == "C_Login");
  CHECK(CkrName(CKR_OK) == "CKR_OK");
  CHECK(CkrName(0x80000123) == "0x80000123");
}

TEST_CASE("what the failure means decides what a caller does") {
  for (const CK_RV rv :
       {CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_HANDLE_INVALID,
        CKR_USER_NOT_LOGGED_IN, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_KEY_HANDLE_INVALID}) {
    CHECK(TokenError("C_X", rv).code == ErrorCode::kTokenUnavailable);
  }
  CHECK(TokenError("C_X", CKR_SESSION_COUNT).code == ErrorCode::kResourceExhausted);
  CHECK(TokenError("C_X", CKR_WRAPPED_KEY_INVALID).code == ErrorCode::kIntegrity);
  CHECK(TokenError("C_X", CKR_MECHANISM_INVALID).code == ErrorCode::kUnsupported);
  CHECK(TokenError("C_X", 0x80000001).code == ErrorCode::kToken);
}

TEST_CASE("a session whose state is unknown is not used again") {
  for (const CK_RV rv : {CKR_OPERATION_ACTIVE, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_SESSION_CLOSED,
                         CKR_DEVICE_ERROR, CK_RV{0x80000001}}) {
    CHECK(KillsSession(rv));
  }
  for (const CK_RV rv : {CKR_OK, CKR_ATTRIBUTE_READ_ONLY, CKR_KEY_UNEXTRACTABLE, CKR_MECHANISM_INVALID}) {
    CHECK_FALSE(KillsSession(rv));
  }
}

TEST_CASE("labels of our keys are told from others") {
  CHECK(TokenKeyLabel("kek", 12) == "skms-kek-12");
  CHECK(GenerationIn("skms-kek-12", "kek") == 12);
  for (const char* label : {"skms-kek-", "skms-kek-0", "skms-kek-01", "skms-kek-1x", "skms-kek-+1",
                            "skms-mac-1", "SKMS-kek-1", "skms-kek-99999999999", "xskms-kek-1", ""}) {
    CAPTURE(label);
    CHECK(GenerationIn(label, "kek") == 0);
  }
}

}  // namespace
}  // namespace skms::hsm
