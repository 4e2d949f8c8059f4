// Module: one PKCS#11 shared object, loaded and initialised.
//
// Thread-safe: C_Initialize is asked for OS locking. Owned by shared_ptr by everything that calls into it, so
// that C_Finalize runs only when no session is left (a module crashes when it is finalised under a call).
// Tokens of one module share it.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "hsm/pkcs11_api.h"

namespace skms::hsm {

class Module {
 public:
  /// The module at `path`: dlopen, C_GetFunctionList, C_Initialize, unless a token of this process has it in
  /// use. `init_args` goes where the standard has pReserved, for modules that want a parameter string there
  /// (NSS softoken); empty: a null pointer, as the standard demands. Waits while a former use of it is being
  /// finalised. Errors: kConfiguration (cannot be loaded, refuses `init_args`, or is in use with others; the
  /// detail says why), kConflict (in use by somebody else in this process), kTokenUnavailable (it
  /// lost its initialisation while another token of it is open), kToken.
  static Result<std::shared_ptr<Module>> Share(const std::string& path, const std::string& init_args);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  ~Module();

  CK_FUNCTION_LIST* operator->() const { return functions_; }
  /// Slots that hold a token.
  Result<std::vector<CK_SLOT_ID>> SlotsWithToken() const;

  /// A slot's login is the whole process's: it has one user here at a time. False: it has one.
  bool Claim(CK_SLOT_ID slot);
  void Release(CK_SLOT_ID slot) noexcept;

 private:
  static Result<std::unique_ptr<Module>> Load(const std::string& path, const std::string& init_args);
  static Result<std::shared_ptr<Module>> StillInitialised(std::shared_ptr<Module> shared);
  Module(void* library, CK_FUNCTION_LIST* functions) : library_(library), functions_(functions) {}
  void* library_;
  CK_FUNCTION_LIST* functions_;
  std::mutex claimed_mutex_;
  std::set<CK_SLOT_ID> claimed_;
};

}  // namespace skms::hsm
