// Fills an appliance's database with key records, each with a real key of the token and real MACs, a batch a
// transaction: the scheduler's benchmark needs a million of them, which requests would take an hour to make.
//
// The daemon must not run. Some records are made so old that their rotation is due.
#include <soci/soci.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <memory>
#include <vector>

#include "appliance/config/configuration.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "hsm/crypto_module.h"
#include "keystore/database.h"
#include "keystore/key_records.h"
#include "keystore/key_store.h"

namespace {

namespace po = boost::program_options;
using namespace skms;            // NOLINT(google-build-using-namespace): a program of one purpose
using namespace skms::keystore;  // NOLINT(google-build-using-namespace)

struct Wanted {
  std::string service;
  long records = 0;
  long due = 0;             ///< of them, spread evenly
  std::int64_t period = 0;  ///< seconds, of the service
  std::int64_t overlap = 0;
};

Result<StoredKeyVersion> Make(hsm::CryptoModule& module, const Wanted& wanted, long number, bool due,
                              std::int64_t now) {
  SKMS_TRY(const Bytes random, module.Random(16));
  SKMS_TRY(hsm::GeneratedKey key, module.GenerateWrapped({hsm::KeyKind::kAes, 32}));
  StoredKeyVersion row;
  std::string kid = ToBase64Url(random);
  if (kid.front() == '-') kid.front() = 'A';
  row.version.kid = Kid(kid);
  row.version.selector = {ValServiceId(wanted.service), TargetKind::kUser, "seed-" + std::to_string(number)};
  row.version.profile = "aes-256";
  row.version.created = due ? now - wanted.period : now;
  row.version.not_before = row.version.created;
  row.version.not_after = row.version.not_before + wanted.period + wanted.overlap;
  row.version.wrapped = std::move(key.wrapped);
  SKMS_TRY(row.mac, MakeRowMac(module, FieldsOf(row.version)));
  return row;
}

Status Seed(const appliance::Configuration& configuration, const Wanted& wanted) {
  constexpr long kBatch = 2000;
  hsm::TokenOptions options;
  options.module_path = configuration.token.module;
  options.init_args = configuration.token.init_args;
  options.label = configuration.token.label;
  SKMS_TRY(const std::unique_ptr<hsm::CryptoModule> module,
           hsm::CryptoModule::Open(options, [&] { return appliance::ReadPin(configuration.token); }));
  SKMS_TRY(const std::unique_ptr<Database> database,
           Database::Open(keystore::StoreLocation{configuration.store.path, configuration.store.url}));
  const std::int64_t now = SystemClock().NowSeconds();
  const long each = wanted.due > 0 ? std::max(1L, wanted.records / wanted.due) : wanted.records + 1;
  for (long done = 0; done < wanted.records; done += kBatch) {
    std::vector<StoredKeyVersion> rows;
    for (long n = done; n < std::min(done + kBatch, wanted.records); ++n) {
      SKMS_TRY(StoredKeyVersion row, Make(*module, wanted, n, n % each == 0, now));
      rows.push_back(std::move(row));
    }
    SKMS_TRYV(database->Write([&](soci::session& session) -> Status {
      for (const StoredKeyVersion& row : rows) InsertVersion(session, row);
      return Ok();
    }));
  }
  return database->EmptyLog();
}

int Run(int argc, char** argv) {
  std::string path;
  Wanted wanted;
  po::options_description options("Options");
  options.add_options()("config", po::value(&path)->required())(
      "service", po::value(&wanted.service)->required())("records", po::value(&wanted.records)->required())(
      "due", po::value(&wanted.due)->required())("period", po::value(&wanted.period)->required())(
      "overlap", po::value(&wanted.overlap)->required());
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);
  const auto configuration = appliance::LoadConfiguration(path);
  const Status seeded =
      configuration.has_error() ? Status(configuration.error()) : Seed(configuration.value(), wanted);
  if (seeded.has_value()) return 0;
  std::cerr << "skms_bench_seed_records: " << seeded.error().Describe() << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skms_bench_seed_records: " << error.what() << '\n';
    return 2;
  }
}
