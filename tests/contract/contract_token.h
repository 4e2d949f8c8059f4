// The token that run_contract.py prepared, as the cases of the contract suite see it: they never learn whose
// module it is, only what the probe found.
//
// One case at a time; the token is shared by all cases, and each leaves it as it found it. Aborts the program
// when the environment names no token.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/secret_bytes.h"
#include "hsm/crypto_module.h"

namespace skms::test {

/// From SKMS_CONTRACT_MODULE, _INIT_ARGS and _LABEL.
hsm::TokenOptions ContractOptions();
/// From SKMS_CONTRACT_PIN.
SecretBytes ContractPin();
hsm::PinSource ContractPinSource();

/// What the probe finds; the same for all cases.
const hsm::Capabilities& ContractCapabilities();

/// Prints "skipped: <this case>: token lacks <capability>" unless `has`. True: the case is to return.
bool Lacks(std::string_view capability, bool has);

/// The token, open and with our keys; nullptr where the probe says that no product can run on it: then the
/// skip is printed, and open_test.cpp proves the refusal.
std::unique_ptr<hsm::CryptoModule> OpenOrSkip();

}  // namespace skms::test
