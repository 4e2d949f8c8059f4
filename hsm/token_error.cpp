#include "hsm/token_error.h"

#include <array>
#include <cstdio>

#include "hsm/pkcs11_api.h"

namespace skms::hsm {
namespace {

struct CkrRow {
  CK_RV rv;
  const char* name;
  ErrorCode code;
  bool kills_session;
  Trouble trouble = Trouble::kNone;
};

#define SKMS_CKR(name, code, kills) \
  CkrRow { name, #name, ErrorCode::code, kills, Trouble::kNone }
#define SKMS_CKR_TROUBLE(name, code, trouble) \
  CkrRow { name, #name, ErrorCode::code, true, Trouble::trouble }
// What is not here is kToken and kills the session: an unknown failure leaves an unknown state.
constexpr CkrRow kRows[] = {
    SKMS_CKR(CKR_CANCEL, kToken, true),
    SKMS_CKR_TROUBLE(CKR_HOST_MEMORY, kTokenUnavailable, kDoubt),
    SKMS_CKR_TROUBLE(CKR_SLOT_ID_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR_TROUBLE(CKR_GENERAL_ERROR, kToken, kDoubt),
    SKMS_CKR_TROUBLE(CKR_FUNCTION_FAILED, kToken, kDoubt),
    SKMS_CKR(CKR_ARGUMENTS_BAD, kToken, false),
    SKMS_CKR(CKR_ACTION_PROHIBITED, kToken, false),
    SKMS_CKR(CKR_ATTRIBUTE_READ_ONLY, kToken, false),
    SKMS_CKR(CKR_ATTRIBUTE_SENSITIVE, kToken, false),
    SKMS_CKR(CKR_ATTRIBUTE_TYPE_INVALID, kToken, false),
    SKMS_CKR(CKR_ATTRIBUTE_VALUE_INVALID, kToken, false),
    SKMS_CKR(CKR_DATA_INVALID, kToken, true),
    SKMS_CKR(CKR_DATA_LEN_RANGE, kToken, true),
    SKMS_CKR_TROUBLE(CKR_DEVICE_ERROR, kTokenUnavailable, kDoubt),
    SKMS_CKR_TROUBLE(CKR_DEVICE_MEMORY, kTokenUnavailable, kDoubt),
    SKMS_CKR_TROUBLE(CKR_DEVICE_REMOVED, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_ENCRYPTED_DATA_INVALID, kToken, true),
    SKMS_CKR(CKR_FUNCTION_NOT_SUPPORTED, kUnsupported, false),
    SKMS_CKR_TROUBLE(CKR_KEY_HANDLE_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_KEY_SIZE_RANGE, kToken, false),
    SKMS_CKR(CKR_KEY_TYPE_INCONSISTENT, kToken, false),
    SKMS_CKR(CKR_KEY_FUNCTION_NOT_PERMITTED, kToken, false),
    SKMS_CKR(CKR_KEY_NOT_WRAPPABLE, kToken, false),
    SKMS_CKR(CKR_KEY_UNEXTRACTABLE, kToken, false),
    SKMS_CKR(CKR_MECHANISM_INVALID, kUnsupported, false),
    SKMS_CKR(CKR_MECHANISM_PARAM_INVALID, kUnsupported, false),
    SKMS_CKR_TROUBLE(CKR_OBJECT_HANDLE_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_OPERATION_ACTIVE, kToken, true),
    SKMS_CKR(CKR_OPERATION_NOT_INITIALIZED, kToken, true),
    SKMS_CKR(CKR_PIN_INCORRECT, kPinIncorrect, false),
    SKMS_CKR(CKR_PIN_INVALID, kPinIncorrect, false),
    SKMS_CKR(CKR_PIN_LEN_RANGE, kPinIncorrect, false),
    SKMS_CKR(CKR_PIN_EXPIRED, kPinIncorrect, false),
    SKMS_CKR(CKR_PIN_LOCKED, kPinIncorrect, false),
    SKMS_CKR_TROUBLE(CKR_SESSION_CLOSED, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_SESSION_COUNT, kResourceExhausted, true),
    SKMS_CKR_TROUBLE(CKR_SESSION_HANDLE_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_SESSION_READ_ONLY, kToken, false),
    SKMS_CKR(CKR_SIGNATURE_INVALID, kIntegrity, false),
    SKMS_CKR(CKR_SIGNATURE_LEN_RANGE, kIntegrity, false),
    SKMS_CKR(CKR_TEMPLATE_INCOMPLETE, kToken, false),
    SKMS_CKR(CKR_TEMPLATE_INCONSISTENT, kToken, false),
    SKMS_CKR_TROUBLE(CKR_TOKEN_NOT_PRESENT, kTokenUnavailable, kLost),
    SKMS_CKR_TROUBLE(CKR_TOKEN_NOT_RECOGNIZED, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_TOKEN_WRITE_PROTECTED, kToken, false),
    SKMS_CKR_TROUBLE(CKR_UNWRAPPING_KEY_HANDLE_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_USER_ALREADY_LOGGED_IN, kToken, false),
    SKMS_CKR_TROUBLE(CKR_USER_NOT_LOGGED_IN, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_USER_PIN_NOT_INITIALIZED, kTokenBlank, false),
    SKMS_CKR(CKR_WRAPPED_KEY_INVALID, kIntegrity, false),
    SKMS_CKR(CKR_WRAPPED_KEY_LEN_RANGE, kIntegrity, false),
    SKMS_CKR_TROUBLE(CKR_WRAPPING_KEY_HANDLE_INVALID, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_BUFFER_TOO_SMALL, kToken, true),
    SKMS_CKR_TROUBLE(CKR_CRYPTOKI_NOT_INITIALIZED, kTokenUnavailable, kLost),
    SKMS_CKR(CKR_CRYPTOKI_ALREADY_INITIALIZED, kToken, false),
};
#undef SKMS_CKR_TROUBLE
#undef SKMS_CKR

const CkrRow* Find(CK_RV rv) {
  for (const CkrRow& row : kRows) {
    if (row.rv == rv) return &row;
  }
  return nullptr;
}

}  // namespace

std::string CkrName(unsigned long rv) {
  if (rv == CKR_OK) return "CKR_OK";
  if (const CkrRow* row = Find(rv)) return row->name;
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%08lX", rv);
  return text.data();
}

Error TokenError(std::string_view function, unsigned long rv) {
  const CkrRow* row = Find(rv);
  return {row == nullptr ? ErrorCode::kToken : row->code, std::string(function) + ": " + CkrName(rv), rv,
          function};
}

bool KillsSession(unsigned long rv) {
  if (rv == CKR_OK) return false;
  const CkrRow* row = Find(rv);
  return row == nullptr || row->kills_session;
}

Trouble TroubleIn(unsigned long rv) {
  const CkrRow* row = Find(rv);
  // A code that nobody knows may mean anything.
  if (row == nullptr) return rv == CKR_OK ? Trouble::kNone : Trouble::kDoubt;
  return row->trouble;
}

}  // namespace skms::hsm
