#include <unistd.h>

#include <iostream>

#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/key_store.h"
#include "provisioning/commands.h"

namespace skms::provisioning {

Status RunInit(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const SecretBytes pin, appliance::ReadPin(configuration.token));
  const hsm::TokenOptions options{configuration.token.module, configuration.token.label,
                                  configuration.token.serial};
  SKMS_TRY(const auto module, hsm::CryptoModule::Provision(options, pin));
  const bool there = ::access(configuration.store.path.c_str(), F_OK) == 0;
  const SystemClock clock;
  SKMS_TRYV(keystore::KeyStore::Initialise({configuration.store.path}, *module, clock));
  const hsm::TokenKeyGenerations& keys = module->generations();
  std::cout << "token '" << module->info().label << "' serial " << module->info().serial << ": skms-kek-"
            << keys.kek << ", skms-mac-" << keys.mac << ", skms-sign-" << keys.sign << ", skms-transfer-"
            << keys.transfer << " ready\n"
            << "database " << configuration.store.path
            << (there ? ": was there, schema is current\n" : ": made\n")
            << "next: start skmsd, then skmsctl issuer add, principal add, service add\n";
  return Ok();
}

}  // namespace skms::provisioning
