// Module: one PKCS#11 shared object, loaded and initialised.
//
// Thread-safe: C_Initialize is asked for OS locking. Owned by shared_ptr by everything that calls into it, so
// that C_Finalize runs only when no session is left (a module crashes when it is finalised under a call).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "hsm/pkcs11_api.h"

namespace skms::hsm {

class Module {
 public:
  /// dlopen, C_GetFunctionList, C_Initialize. `init_args` goes where the standard has pReserved, for modules
  /// that want a parameter string there (NSS softoken); empty: a null pointer, as the standard demands.
  /// Errors: kConfiguration (cannot be loaded, or refuses `init_args`; the detail says why), kConflict
  /// (already in use by this process), kToken.
  static Result<std::shared_ptr<Module>> Load(const std::string& path, const std::string& init_args);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  ~Module();

  CK_FUNCTION_LIST* operator->() const { return functions_; }
  /// Slots that hold a token.
  Result<std::vector<CK_SLOT_ID>> SlotsWithToken() const;

 private:
  Module(void* library, CK_FUNCTION_LIST* functions) : library_(library), functions_(functions) {}
  void* library_;
  CK_FUNCTION_LIST* functions_;
};

}  // namespace skms::hsm
