#include "hsm/module.h"

#include <dlfcn.h>

#include <condition_variable>
#include <map>
#include <mutex>

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

CK_RV Initialize(CK_FUNCTION_LIST* functions, const std::string& init_args) {
  std::string parameters = init_args;  // PKCS#11 takes a pointer to non-const
  InitializeArguments arguments;
  arguments.standard.flags = CKF_OS_LOCKING_OK;
  if (!parameters.empty()) arguments.standard.pReserved = parameters.data();
  return functions->C_Initialize(&arguments);
}

Error InitializeError(const std::string& path, const std::string& init_args, CK_RV rv) {
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) return Conflict(path + ": already in use by this process");
  Error error = TokenError("C_Initialize", rv);
  if (rv != CKR_ARGUMENTS_BAD) return error;
  error.code = ErrorCode::kConfiguration;
  error.detail += init_args.empty() ? ": the module may need token.init_args"
                                    : ": the module does not take what token.init_args says";
  return error;
}

/// The modules in use, by path. C_Initialize and C_Finalize are for the whole process, and tokens come and go
/// one by one: they share their module, and the last to go finalises it.
struct Loaded {
  std::weak_ptr<Module> module;
  std::string init_args;
};
std::mutex loaded_mutex;
std::condition_variable loaded_changed;
std::map<std::string, Loaded> loaded;

void Forget(const std::string& path) {
  {
    const std::lock_guard lock(loaded_mutex);
    loaded.erase(path);
  }
  loaded_changed.notify_all();
}

}  // namespace

Result<std::shared_ptr<Module>> Module::Share(const std::string& path, const std::string& init_args) {
  std::unique_lock lock(loaded_mutex);
  // What is not to be had is being initialised, or finalised. The calls themselves are made without the lock:
  // one module that hangs must not hold up another.
  for (;;) {
    const auto found = loaded.find(path);
    if (found == loaded.end()) break;
    if (std::shared_ptr<Module> shared = found->second.module.lock()) {
      const bool same = found->second.init_args == init_args;
      lock.unlock();
      if (same) return StillInitialised(std::move(shared));
      return ConfigurationError(path +
                                ": two tokens of one module need the same init_args; give the second " +
                                "a copy of the module under another path");
    }
    loaded_changed.wait(lock);
  }
  loaded[path] = {{}, init_args};
  lock.unlock();
  auto fresh = Load(path, init_args);
  if (fresh.has_error()) {
    Forget(path);
    return std::move(fresh).error();
  }
  const std::shared_ptr<Module> shared(std::move(fresh).value().release(), [path](Module* last) {
    std::default_delete<Module>()(last);
    Forget(path);
  });
  lock.lock();
  loaded[path].module = shared;
  lock.unlock();
  loaded_changed.notify_all();
  return shared;
}

Result<std::shared_ptr<Module>> Module::StillInitialised(std::shared_ptr<Module> shared) {
  CK_INFO info{};
  // Initialised again under tokens that are still open, it would give new sessions and objects the numbers
  // that those hold.
  if (shared->functions_->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED) {
    return Error{
        ErrorCode::kTokenUnavailable,
        "the module has lost its initialisation; it is initialised again once no other token of it is "
        "open"};
  }
  return shared;
}

Result<std::unique_ptr<Module>> Module::Load(const std::string& path, const std::string& init_args) {
  // Never unloaded: opencryptoki crashes in the C_Initialize after its second dlopen.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) return ConfigurationError("PKCS#11 module cannot be loaded: " + LoaderError());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) {
    ::dlclose(library);
    return ConfigurationError(path + ": not a PKCS#11 module (no C_GetFunctionList)");
  }
  const CK_RV rv = Initialize(functions, init_args);
  if (rv != CKR_OK) {
    ::dlclose(library);
    return InitializeError(path, init_args, rv);
  }
  return std::unique_ptr<Module>(new Module(library, functions));
}

Module::~Module() {
  const CK_RV rv = functions_->C_Finalize(nullptr);
  if (rv != CKR_OK) LogWarning(TokenError("C_Finalize", rv).detail);
  ::dlclose(library_);
}

bool Module::Claim(CK_SLOT_ID slot) {
  const std::lock_guard lock(claimed_mutex_);
  return claimed_.insert(slot).second;
}

void Module::Release(CK_SLOT_ID slot) noexcept {
  const std::lock_guard lock(claimed_mutex_);
  claimed_.erase(slot);
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
