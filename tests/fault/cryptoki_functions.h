// The functions of PKCS#11 v2.40 as one table: everything that is per function (forwarding, counters, rules
// by name) is made from it.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace skms::fault {

/// What a function's first argument names: nothing of the token's, a slot, or a session.
enum class Scope { kLibrary, kSlot, kSession };

// X(name, scope) for each member of CK_FUNCTION_LIST.
// clang-format off
#define SKMS_FUNCTIONS(X) \
  X(C_Initialize, kLibrary) X(C_Finalize, kLibrary) X(C_GetInfo, kLibrary) X(C_GetFunctionList, kLibrary) \
  X(C_GetSlotList, kLibrary) X(C_WaitForSlotEvent, kLibrary) \
  X(C_GetSlotInfo, kSlot) X(C_GetTokenInfo, kSlot) X(C_GetMechanismList, kSlot) X(C_GetMechanismInfo, kSlot) \
  X(C_InitToken, kSlot) X(C_OpenSession, kSlot) X(C_CloseAllSessions, kSlot) \
  X(C_InitPIN, kSession) X(C_SetPIN, kSession) X(C_CloseSession, kSession) X(C_GetSessionInfo, kSession) \
  X(C_GetOperationState, kSession) X(C_SetOperationState, kSession) X(C_Login, kSession) X(C_Logout, kSession) \
  X(C_CreateObject, kSession) X(C_CopyObject, kSession) X(C_DestroyObject, kSession) \
  X(C_GetObjectSize, kSession) X(C_GetAttributeValue, kSession) X(C_SetAttributeValue, kSession) \
  X(C_FindObjectsInit, kSession) X(C_FindObjects, kSession) X(C_FindObjectsFinal, kSession) \
  X(C_EncryptInit, kSession) X(C_Encrypt, kSession) X(C_EncryptUpdate, kSession) X(C_EncryptFinal, kSession) \
  X(C_DecryptInit, kSession) X(C_Decrypt, kSession) X(C_DecryptUpdate, kSession) X(C_DecryptFinal, kSession) \
  X(C_DigestInit, kSession) X(C_Digest, kSession) X(C_DigestUpdate, kSession) X(C_DigestKey, kSession) \
  X(C_DigestFinal, kSession) X(C_SignInit, kSession) X(C_Sign, kSession) X(C_SignUpdate, kSession) \
  X(C_SignFinal, kSession) X(C_SignRecoverInit, kSession) X(C_SignRecover, kSession) X(C_VerifyInit, kSession) \
  X(C_Verify, kSession) X(C_VerifyUpdate, kSession) X(C_VerifyFinal, kSession) X(C_VerifyRecoverInit, kSession) \
  X(C_VerifyRecover, kSession) X(C_DigestEncryptUpdate, kSession) X(C_DecryptDigestUpdate, kSession) \
  X(C_SignEncryptUpdate, kSession) X(C_DecryptVerifyUpdate, kSession) X(C_GenerateKey, kSession) \
  X(C_GenerateKeyPair, kSession) X(C_WrapKey, kSession) X(C_UnwrapKey, kSession) X(C_DeriveKey, kSession) \
  X(C_SeedRandom, kSession) X(C_GenerateRandom, kSession) X(C_GetFunctionStatus, kSession) \
  X(C_CancelFunction, kSession)
// clang-format on

#define SKMS_ENUMERATOR(name, scope) k##name,
enum class Function : std::size_t { SKMS_FUNCTIONS(SKMS_ENUMERATOR) kCount };
#undef SKMS_ENUMERATOR

inline constexpr std::size_t kFunctionCount = static_cast<std::size_t>(Function::kCount);

struct FunctionRow {
  std::string_view name;
  Scope scope;
};

#define SKMS_ROW(name, scope) FunctionRow{#name, Scope::scope},
inline constexpr std::array<FunctionRow, kFunctionCount> kFunctions = {SKMS_FUNCTIONS(SKMS_ROW)};
#undef SKMS_ROW

constexpr const FunctionRow& RowOf(Function function) {
  return kFunctions[static_cast<std::size_t>(function)];
}

constexpr std::optional<Function> FunctionNamed(std::string_view name) {
  for (std::size_t i = 0; i < kFunctionCount; ++i) {
    if (kFunctions[i].name == name) return static_cast<Function>(i);
  }
  return std::nullopt;
}

}  // namespace skms::fault
