// The second half of the probe: asymmetric signing, EC, and mechanisms that later features choose by.
#pragma once

#include <vector>

#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

struct MechanismFindings {
  bool ec_p256 = false;
  bool ecdsa = false;
  bool rsa_pss = false;
  bool aes_gcm = false;
  bool aes_key_wrap = false;
  std::vector<CapabilityRow> rows;
};

Result<MechanismFindings> ProbeMechanisms(Token& token);

}  // namespace skms::hsm
