// What the token signs when a restore was approved: which backup, who asked, who approved, until when. A
// restore runs beside no daemon that could be asked.
//
// Functions; thread-safe as the module is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "hsm/crypto_module.h"
#include "keystore/approvals.h"

namespace skms::keystore {

inline constexpr const char* kRestoreType = "skms-restore";  ///< typ of the JWS

struct RestoreAuthorisation {
  std::string hash;          ///< hex: the backup's SHA-256, as its statement has it
  std::string approval;      ///< id of the request
  std::string requested_by;  ///< "admin:1000"
  std::string approved_by;   ///< divided by commas
  std::int64_t expires = 0;  ///< seconds since 1970
};

/// The JWS, by the token key that signs the audit chain. `hash` is what `approval` was given for. Errors: the
/// token's.
Result<std::string> SignRestoreAuthorisation(hsm::CryptoModule& module, const std::string& hash,
                                             const Approval& approval);

/// Errors: kInvalidArgument (it is none, no key of these tokens signed it, it speaks of another backup, it
/// has expired at `now`), the token's.
Result<RestoreAuthorisation> VerifyRestoreAuthorisation(hsm::CryptoModule& module, std::string_view jws,
                                                        const std::string& hash, std::int64_t now);

}  // namespace skms::keystore
