#include "hsm/module.h"

#include <dlfcn.h>

#include "base/log.h"
#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

// The text of dlerror is per thread in glibc; the check cannot know.
std::string LoaderError() {
  const char* text = ::dlerror();  // NOLINT(concurrency-mt-unsafe)
  return text == nullptr ? "unknown reason" : text;
}

}  // namespace

Result<std::shared_ptr<Module>> Module::Load(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return ConfigurationError("PKCS#11 module cannot be loaded: " + LoaderError());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) {
    ::dlclose(library);
    return ConfigurationError(path + ": not a PKCS#11 module (no C_GetFunctionList)");
  }
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV rv = functions->C_Initialize(&arguments);
  if (rv != CKR_OK) {
    ::dlclose(library);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) return Conflict(path + ": already in use by this process");
    return TokenError("C_Initialize", rv);
  }
  return std::shared_ptr<Module>(new Module(library, functions));
}

Module::~Module() {
  const CK_RV rv = functions_->C_Finalize(nullptr);
  if (rv != CKR_OK) LogWarning(TokenError("C_Finalize", rv).detail);
  ::dlclose(library_);
}

Result<std::vector<CK_SLOT_ID>> Module::SlotsWithToken() const {
  // The list may grow between the two calls; then ask again.
  for (int attempt = 0; attempt < 5; ++attempt) {
    CK_ULONG count = 0;
    CK_RV rv = functions_->C_GetSlotList(CK_TRUE, nullptr, &count);
    if (rv != CKR_OK) return TokenError("C_GetSlotList", rv);
    std::vector<CK_SLOT_ID> slots(count);
    rv = functions_->C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (rv == CKR_BUFFER_TOO_SMALL) continue;
    if (rv != CKR_OK) return TokenError("C_GetSlotList", rv);
    slots.resize(count);
    return slots;
  }
  return Error{ErrorCode::kTokenUnavailable, "C_GetSlotList: the list of slots keeps changing"};
}

}  // namespace skms::hsm
