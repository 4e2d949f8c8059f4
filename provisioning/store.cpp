// skmsctl store: where the keys, the directory and the audit chain are kept.
#include <unistd.h>

#include <boost/program_options.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/database_url.h"
#include "keystore/store_move.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/token_opening.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;

/// For locks of the database that is not in use yet: two processes on this host may mean to move to it.
constexpr const char* kMoving = ".moving";

}  // namespace

void DescribeStoreMove(OptionsDescription& options) {
  options.add_options()("to", po::value<std::string>()->value_name("URL")->required(),
                        "postgresql://user@host/name: a database that is there, empty, and this user's");
}

Status RunStoreMove(const Session& session, const Options& options) {
  const auto url = options["to"].as<std::string>();
  if (const Status checked = keystore::CheckPostgresqlUrl(url); checked.has_error())
    return InvalidArgument("--to " + checked.error().detail);
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  const keystore::StoreLocation from{configuration.store.path, configuration.store.url};
  const keystore::StoreLocation to{from.path + kMoving, url};
  SKMS_TRYV(CheckUser(from.path, "store move"));
  SKMS_TRY(std::vector<hsm::TokenMember> members, TokenMembers(configuration));
  SKMS_TRY(const std::unique_ptr<hsm::CryptoModule> module, hsm::CryptoModule::Open(std::move(members)));
  const SystemClock clock;
  const keystore::Requester by{keystore::PrincipalId("admin:" + std::to_string(::getuid())), {}, "", true};
  const auto moved = keystore::MoveStore(from, to, *module, clock, by);
  ::unlink((to.path + ".lock").c_str());
  if (moved.has_error()) return moved.error();
  const keystore::DatabaseCheck& found = moved.value().found;
  if (session.json) {
    PrintJson({{"from", moved.value().from},
               {"to", moved.value().to},
               {"rows", found.rows.rows},
               {"entries", found.entries},
               {"chain", "whole"}});
    return Ok();
  }
  std::cout << Printable(moved.value().to) << " holds all of " << Printable(moved.value().from) << ": "
            << found.rows.rows << " rows and " << found.entries
            << " audit entries, each checked there\n"
               "next: set store.url in "
            << Printable(configuration.path)
            << ", then start skmsd; what was moved stays where it was, and no daemon starts with it again\n";
  return Ok();
}

}  // namespace skms::provisioning
