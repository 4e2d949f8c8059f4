// What the token signs in this server's name: JWS by the key of one generation, skms-sign-<n>. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "hsm/crypto_module.h"

namespace skms::keystore {

/// Name of the signing key of that generation, as `kid`.
std::string SignKid(std::uint32_t generation);

/// `type`: the `typ` of the statement (base/jws.h). Errors: the token's.
Result<std::string> SignJws(hsm::CryptoModule& module, std::uint32_t generation, const char* type,
                            std::string_view payload);

}  // namespace skms::keystore
