#include "keystore/token_signature.h"

#include "base/jws.h"

namespace skms::keystore {

std::string SignKid(std::uint32_t generation) { return "skms-sign-" + std::to_string(generation); }

Result<std::string> SignJws(hsm::CryptoModule& module, std::uint32_t generation, const char* type,
                            std::string_view payload) {
  const std::string signed_part =
      JwsSignedPart({module.signature_algorithm(generation), SignKid(generation), type}, payload);
  SKMS_TRY(const Bytes signature, module.Sign(generation, AsBytes(signed_part)));
  return JwsText(signed_part, signature);
}

}  // namespace skms::keystore
