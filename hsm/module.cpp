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

/// NSS's CK_C_INITIALIZE_ARGS has a string before pReserved: the same bytes as the standard's, and one
/// pointer more that it may read.
struct InitializeArguments {
  CK_C_INITIALIZE_ARGS standard{};
  void* after = nullptr;
};

Error InitializeError(const std::string& path, const std::string& init_args, CK_RV rv) {
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) return Conflict(path + ": already in use by this process");
  Error error = TokenError("C_Initialize", rv);
  if (rv != CKR_ARGUMENTS_BAD) return error;
  error.code = ErrorCode::kConfiguration;
  error.detail += init_args.empty() ? ": the module may need token.init_args"
                                    : ": the module does not take what token.init_args says";
  return error;
}

}  // namespace

Result<std::shared_ptr<Module>> Module::Load(const std::string& path, const std::string& init_args) {
  // Never unloaded: opencryptoki crashes in the C_Initialize after its second dlopen.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) return ConfigurationError("PKCS#11 module cannot be loaded: " + LoaderError());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) {
    ::dlclose(library);
    return ConfigurationError(path + ": not a PKCS#11 module (no C_GetFunctionList)");
  }
  std::string parameters = init_args;  // PKCS#11 takes a pointer to non-const
  InitializeArguments arguments;
  arguments.standard.flags = CKF_OS_LOCKING_OK;
  if (!parameters.empty()) arguments.standard.pReserved = parameters.data();
  const CK_RV rv = functions->C_Initialize(&arguments);
  if (rv != CKR_OK) {
    ::dlclose(library);
    return InitializeError(path, init_args, rv);
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
