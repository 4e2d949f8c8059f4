// A PKCS#11 module that forwards to another and counts the calls of each function: shows what a request costs
// a token.
//
// SKMS_SHIM_MODULE names the module behind it, SKMS_SHIM_COUNTERS a file that gets one "name=count" line a
// function, written at C_Finalize. SKMS_SHIM_UNWRAP makes it a token that does not do at C_UnwrapKey what it
// is asked: "forgetful" makes every key SENSITIVE=false but lets it be set after, "deaf" does not let it be
// set either and says CKR_OK. For tests and benchmarks only. Thread-safe.
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

// Every function of CK_FUNCTION_LIST 2.40, in its order.
// clang-format off
#define SKMS_ALL_FUNCTIONS(X) \
  X(C_Initialize) X(C_Finalize) X(C_GetInfo) X(C_GetFunctionList) X(C_GetSlotList) X(C_GetSlotInfo) \
  X(C_GetTokenInfo) X(C_GetMechanismList) X(C_GetMechanismInfo) X(C_InitToken) X(C_InitPIN) \
  X(C_SetPIN) X(C_OpenSession) X(C_CloseSession) X(C_CloseAllSessions) X(C_GetSessionInfo) \
  X(C_GetOperationState) X(C_SetOperationState) X(C_Login) X(C_Logout) X(C_CreateObject) \
  X(C_CopyObject) X(C_DestroyObject) X(C_GetObjectSize) X(C_GetAttributeValue) X(C_SetAttributeValue) \
  X(C_FindObjectsInit) X(C_FindObjects) X(C_FindObjectsFinal) X(C_EncryptInit) X(C_Encrypt) \
  X(C_EncryptUpdate) X(C_EncryptFinal) X(C_DecryptInit) X(C_Decrypt) X(C_DecryptUpdate) \
  X(C_DecryptFinal) X(C_DigestInit) X(C_Digest) X(C_DigestUpdate) X(C_DigestKey) X(C_DigestFinal) \
  X(C_SignInit) X(C_Sign) X(C_SignUpdate) X(C_SignFinal) X(C_SignRecoverInit) X(C_SignRecover) \
  X(C_VerifyInit) X(C_Verify) X(C_VerifyUpdate) X(C_VerifyFinal) X(C_VerifyRecoverInit) \
  X(C_VerifyRecover) X(C_DigestEncryptUpdate) X(C_DecryptDigestUpdate) X(C_SignEncryptUpdate) \
  X(C_DecryptVerifyUpdate) X(C_GenerateKey) X(C_GenerateKeyPair) X(C_WrapKey) X(C_UnwrapKey) \
  X(C_DeriveKey) X(C_SeedRandom) X(C_GenerateRandom) X(C_GetFunctionStatus) X(C_CancelFunction) \
  X(C_WaitForSlotEvent)
// clang-format on

enum Index : std::size_t {
#define SKMS_INDEX(name) k##name,
  SKMS_ALL_FUNCTIONS(SKMS_INDEX)
#undef SKMS_INDEX
      kCount
};

constexpr std::array<const char*, kCount> kNames = {
#define SKMS_NAME(name) #name,
    SKMS_ALL_FUNCTIONS(SKMS_NAME)
#undef SKMS_NAME
};

CK_FUNCTION_LIST* real = nullptr;
CK_FUNCTION_LIST shim;
std::array<std::atomic<unsigned long>, kCount> counters;

void WriteCounters() {
  const char* path = std::getenv("SKMS_SHIM_COUNTERS");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  if (path == nullptr) return;
  const std::string fresh = std::string(path) + ".new";
  {
    std::ofstream out(fresh);
    for (std::size_t i = 0; i < kCount; ++i) out << kNames[i] << '=' << counters[i].load() << '\n';
  }
  std::rename(fresh.c_str(), path);
}

std::string UnwrapMode() {
  const char* mode = std::getenv("SKMS_SHIM_UNWRAP");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return mode == nullptr ? "" : mode;
}

CK_RV ForgetfulUnwrap(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with,
                      CK_BYTE* wrapped, CK_ULONG size, CK_ATTRIBUTE* attributes, CK_ULONG count,
                      CK_OBJECT_HANDLE* key) {
  std::vector<CK_ATTRIBUTE> changed(attributes, attributes + count);
  CK_BBOOL no = CK_FALSE;
  for (CK_ATTRIBUTE& attribute : changed) {
    if (attribute.type == CKA_SENSITIVE) attribute.pValue = &no;
  }
  counters[kC_UnwrapKey].fetch_add(1, std::memory_order_relaxed);
  return real->C_UnwrapKey(session, mechanism, with, wrapped, size, changed.data(), count, key);
}

CK_RV DeafSetAttributeValue(CK_SESSION_HANDLE /*session*/, CK_OBJECT_HANDLE /*object*/,
                            CK_ATTRIBUTE* /*attributes*/, CK_ULONG /*count*/) {
  counters[kC_SetAttributeValue].fetch_add(1, std::memory_order_relaxed);
  return CKR_OK;
}

/// One forwarding function for each member of the list, made from the member's own type.
template <std::size_t index, auto member>
struct Forward;

template <std::size_t index, class... Arguments, CK_RV (*CK_FUNCTION_LIST::*member)(Arguments...)>
struct Forward<index, member> {
  static CK_RV Call(Arguments... arguments) {
    counters[index].fetch_add(1, std::memory_order_relaxed);
    const CK_RV rv = (real->*member)(arguments...);
    if constexpr (index == kC_Finalize) WriteCounters();
    return rv;
  }
};

void FillShim() {
  shim.version = real->version;
#define SKMS_FORWARD(name) shim.name = &Forward<k##name, &CK_FUNCTION_LIST::name>::Call;
  SKMS_ALL_FUNCTIONS(SKMS_FORWARD)
#undef SKMS_FORWARD
}

CK_RV LoadReal() {
  const char* path = std::getenv("SKMS_SHIM_MODULE");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  if (path == nullptr) return CKR_GENERAL_ERROR;
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return CKR_GENERAL_ERROR;
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  return get == nullptr ? CKR_GENERAL_ERROR : get(&real);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  if (real == nullptr) {
    const CK_RV rv = LoadReal();
    if (rv != CKR_OK) return rv;
    FillShim();
    if (!UnwrapMode().empty()) shim.C_UnwrapKey = &ForgetfulUnwrap;
    if (UnwrapMode() == "deaf") shim.C_SetAttributeValue = &DeafSetAttributeValue;
  }
  *list = &shim;
  return CKR_OK;
}
