#include <iostream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/database_inspection.h"
#include "keystore/key_store.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

struct Prepared {
  std::unique_ptr<hsm::CryptoModule> module;
  bool made_keys = false;
};

Result<Prepared> PrepareToken(const appliance::Configuration& configuration) {
  SKMS_TRY(std::vector<hsm::TokenMember> members, TokenMembers(configuration));
  // Only what lacks keys is provisioned: after any other failure, a wrong PIN above all, nothing is tried
  // again. Of several tokens the first gets keys, and only if none has any: the others join it.
  const hsm::TokenMember first = members.front();
  auto complete = hsm::CryptoModule::Open(std::move(members));
  if (complete.has_value()) return Prepared{std::move(complete).value(), false};
  if (complete.error().code != ErrorCode::kTokenBlank) return std::move(complete).error();
  SKMS_TRY(auto provisioned, hsm::CryptoModule::Provision(first.options, first.pin));
  return Prepared{std::move(provisioned), true};
}

}  // namespace

Status RunInit(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  const std::string& database = configuration.store.path;
  SKMS_TRYV(CheckUser(database, "init"));
  SKMS_TRY(const Prepared token, PrepareToken(configuration));
  const keystore::StoreLocation location{database, configuration.store.url};
  SKMS_TRY(const bool was_there, keystore::IsThere(location));
  const SystemClock clock;
  SKMS_TRYV(keystore::KeyStore::Initialise({location.path, 0, location.url}, *token.module, clock));

  const hsm::TokenKeyGenerations keys = token.module->generations();
  const hsm::TokenInfo info = token.module->info();
  if (session.json) {
    PrintJson({{"token", {{"label", info.label}, {"serial", info.serial}}},
               {"tokenKeys",
                {{"kek", keys.kek}, {"mac", keys.mac}, {"sign", keys.sign}, {"transfer", keys.transfer}}},
               {"madeTokenKeys", token.made_keys},
               {"database", keystore::NameOf(location)},
               {"madeDatabase", !was_there}});
    return Ok();
  }
  std::cout << "token '" << Printable(info.label) << "', serial " << Printable(info.serial) << ": skms-kek-"
            << keys.kek << ", skms-mac-" << keys.mac << ", skms-sign-" << keys.sign << ", skms-transfer-"
            << keys.transfer
            << (token.made_keys ? " are ready; what was missing was made\n" : " were there already\n")
            << "database " << Printable(keystore::NameOf(location))
            << (was_there ? " was there already; its schema is current\n" : " was made\n")
            << "next: start skmsd, then: skmsctl issuer add, skmsctl principal add, skmsctl service add\n";
  return Ok();
}

}  // namespace skms::provisioning
