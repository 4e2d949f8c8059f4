// Fills an appliance's database with key records, each with a real key of the token and a real MAC, a batch a
// transaction: benchmarks need millions of them, which requests would take hours to make.
//
// The daemon must not run. Some records are made so old that their rotation is due.
#include <soci/soci.h>

#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <future>
#include <iostream>
#include <memory>
#include <thread>
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

constexpr long kBatch = 2000;

struct Wanted {
  std::string service;
  long first = 0;  ///< number of the first one
  long records = 0;
  long due = 0;             ///< of them, spread evenly
  std::int64_t period = 0;  ///< seconds, of the service
  std::int64_t overlap = 0;
};

class Seeding {
 public:
  Seeding(hsm::CryptoModule& module, Database& database, const Wanted& wanted)
      : module_(module),
        database_(database),
        wanted_(wanted),
        now_(SystemClock().NowSeconds()),
        each_(wanted.due > 0 ? std::max(1L, wanted.records / wanted.due) : 0) {}

  /// The token works in several threads, while the database writes.
  Status Run() {
    std::vector<std::future<Status>> workers;
    for (unsigned i = 0; i <= std::max(1U, std::thread::hardware_concurrency()); ++i)
      workers.push_back(std::async(std::launch::async, [this] { return Work(); }));
    Status all = Ok();
    for (std::future<Status>& worker : workers) {
      Status one = worker.get();
      if (one.has_error()) all = std::move(one);
    }
    SKMS_TRYV(std::move(all));
    return database_.EmptyLog();
  }

 private:
  Status Work() {
    for (;;) {
      const long begin = next_.fetch_add(kBatch);
      if (begin >= wanted_.records) return Ok();
      const long end = std::min(begin + kBatch, wanted_.records);
      std::vector<StoredKeyVersion> rows;
      for (long n = begin; n < end; ++n) {
        SKMS_TRY(StoredKeyVersion row, Make(n));
        rows.push_back(std::move(row));
      }
      SKMS_TRYV(database_.Write([&](soci::session& session) -> Status {
        for (const StoredKeyVersion& row : rows) InsertVersion(session, row);
        return Ok();
      }));
    }
  }

  Result<StoredKeyVersion> Make(long number) {
    SKMS_TRY(const Bytes random, module_.Random(16));
    SKMS_TRY(hsm::GeneratedKey key, module_.GenerateWrapped({hsm::KeyKind::kAes, 32}));
    StoredKeyVersion row;
    std::string kid = ToBase64Url(random);
    if (kid.front() == '-') kid.front() = 'A';
    row.version.kid = Kid(kid);
    row.version.selector = {ValServiceId(wanted_.service), TargetKind::kUser,
                            "seed-" + std::to_string(wanted_.first + number)};
    row.version.profile = "aes-256";
    row.version.created = each_ > 0 && number % each_ == 0 ? now_ - wanted_.period : now_;
    row.version.not_before = row.version.created;
    row.version.not_after = row.version.not_before + wanted_.period + wanted_.overlap;
    row.version.wrapped = std::move(key.wrapped);
    SKMS_TRY(row.mac, MakeRowMac(module_, FieldsOf(row.version)));
    return row;
  }

  hsm::CryptoModule& module_;
  Database& database_;
  const Wanted& wanted_;
  const std::int64_t now_;
  const long each_;  ///< of so many, one is due; 0: none
  std::atomic<long> next_{0};
};

Status Seed(const appliance::Configuration& configuration, const Wanted& wanted) {
  hsm::TokenOptions options;
  options.module_path = configuration.token.module;
  options.init_args = configuration.token.init_args;
  options.label = configuration.token.label;
  SKMS_TRY(const std::unique_ptr<hsm::CryptoModule> module,
           hsm::CryptoModule::Open(options, [&] { return appliance::ReadPin(configuration.token); }));
  SKMS_TRY(const std::unique_ptr<Database> database,
           Database::Open(keystore::StoreLocation{configuration.store.path, configuration.store.url}));
  return Seeding(*module, *database, wanted).Run();
}

int Run(int argc, char** argv) {
  std::string path;
  Wanted wanted;
  po::options_description options("Options");
  options.add_options()("config", po::value(&path)->required())(
      "service", po::value(&wanted.service)->required())("records", po::value(&wanted.records)->required())(
      "first", po::value(&wanted.first))("due", po::value(&wanted.due)->required())(
      "period", po::value(&wanted.period)->required())("overlap", po::value(&wanted.overlap)->required());
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
