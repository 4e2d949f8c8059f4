// From CK_RV to Error: the name, what it means for the caller, and whether the session can be used again.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skms::hsm {

/// "CKR_PIN_INCORRECT", or "0x80000001" for a value without a name.
std::string CkrName(unsigned long rv);

/// "C_Login: CKR_PIN_INCORRECT". `function` must be a string literal.
Error TokenError(std::string_view function, unsigned long rv);

/// True when the session may have an operation left active, or is gone: it must be closed, not returned to
/// the pool.
bool KillsSession(unsigned long rv);

/// What a CK_RV says of the whole token.
enum class Trouble {
  kNone,
  kDoubt,  ///< the device failed at something: try whether it still works
  kLost,   ///< this initialisation of the module, its login or its handles are gone
};
Trouble TroubleIn(unsigned long rv);

}  // namespace skms::hsm
