#include "keystore/row_mac.h"

#include "base/encoding.h"

namespace skms::keystore {

Result<RowMac> MakeRowMac(hsm::CryptoModule& module, const RowFields& fields) {
  const std::uint32_t generation = module.generations().mac;
  SKMS_TRY(const hsm::Mac mac, module.ComputeMac(generation, fields.octets()));
  return RowMac{static_cast<int>(generation), ToBase64Url(mac)};
}

Status CheckRowMac(hsm::CryptoModule& module, const RowFields& fields, const RowMac& mac,
                   const std::string& row) {
  const auto octets = FromBase64Url(mac.text);
  const Error refused = IntegrityError(
      "the MAC of " + row + " does not fit: the row was changed outside skms, or made with another token");
  if (!octets || mac.generation < 1) return refused;
  Status verified = module.VerifyMac(static_cast<std::uint32_t>(mac.generation), fields.octets(), *octets);
  if (verified.has_value()) return Ok();
  const ErrorCode code = verified.error().code;
  if (code == ErrorCode::kIntegrity || code == ErrorCode::kNotFound) return refused;
  return verified;
}

}  // namespace skms::keystore
