// How long backups lie beside the database, and how many.
#include "appliance/backup_keeper.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <thread>

#include "tests/token/keystore/store_fixture.h"

namespace skms::appliance {
namespace {

using namespace keystore::test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words
using std::chrono::hours;
using std::chrono::milliseconds;

class BackupFixture : public StoreFixture {
 public:
  explicit BackupFixture(std::uint32_t warn_free_mib = 0) {
    configuration.store.path = options().path;
    configuration.audit.warn_free_mib = warn_free_mib;
  }
  std::string directory() const { return options().path + ".backups"; }
  std::size_t Lying() const {
    std::size_t count = 0;
    std::error_code none;
    for (const auto& one : std::filesystem::directory_iterator(directory(), none))
      count += one.exists() ? 1U : 0U;
    return count;
  }
  Configuration configuration;
};

}  // namespace

TEST_CASE("a backup that nobody fetched goes before the next one is made") {
  BackupFixture f;
  BackupKeeper keeper(*f.store, f.configuration, "1.0", hours(1));
  keeper.Start();
  const std::string first = Must(keeper.Make(f.admin, false)).id;
  const std::string second = Must(keeper.Make(f.admin, false)).id;
  CHECK(f.Lying() == 1);
  CHECK(keeper.Read(first, 0).error().code == ErrorCode::kNotFound);
  CHECK_FALSE(Must(keeper.Read(second, 0)).empty());
}

TEST_CASE("it goes in time, without another") {
  BackupFixture f;
  BackupKeeper keeper(*f.store, f.configuration, "1.0", milliseconds(200));
  keeper.Start();
  const std::string id = Must(keeper.Make(f.admin, false)).id;
  for (int i = 0; i < 1000 && f.Lying() > 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  CHECK(f.Lying() == 0);
  CHECK(keeper.Read(id, 0).error().code == ErrorCode::kNotFound);
}

TEST_CASE("it goes when the daemon ends, which makes none any more") {
  BackupFixture f;
  BackupKeeper keeper(*f.store, f.configuration, "1.0", hours(1));
  keeper.Start();
  Must(keeper.Make(f.admin, false));
  keeper.Interrupt();
  CHECK(keeper.Make(f.admin, false).error().code == ErrorCode::kResourceExhausted);
  keeper.Stop();
  CHECK_FALSE(std::filesystem::exists(f.directory()));
}

TEST_CASE("none is begun where the disk would have less left than it shall") {
  BackupFixture f(1000000000);
  BackupKeeper keeper(*f.store, f.configuration, "1.0", hours(1));
  keeper.Start();
  const auto refused = keeper.Make(f.admin, false);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::kStorage);
  CHECK(refused.error().detail.find("audit.warn_free_mib") != std::string::npos);
  CHECK(f.Lying() == 0);
}

}  // namespace skms::appliance
