// Pages of keys beside a model that filters all of them, and the walk through those under former token keys.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

/// Where the octets of UTF-8 carry when a text is counted up, or jump.
const std::vector<std::string> kEnds = {"\xC2\xBF",         "\xDF\xBF",        "\xE0\xA0\x80",
                                        "\xED\x9F\xBF",     "\xEE\x80\x80",    "\xEF\xBF\xBF",
                                        "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};

auto OrderOf(const KeyVersion& version) {
  return std::tuple(version.selector.service.value(), std::string(Name(version.selector.kind)),
                    version.selector.target, version.version);
}

class Listed : public StoreFixture {
 public:
  Listed() {
    Service service = ServiceNamed("t");
    service.scopes = ServiceNamed("s").scopes;
    service.rotation = {kDaySeconds, 0, 0, 0};
    Must(store->AddService(admin, service));
    Make(ForService("s"));
    for (const std::string id : {"s", "t"}) {
      for (const std::string user : {"a", "ab", "abc", "b", "~"}) Make(ForUser(user, id));
      for (const std::string& end : kEnds) {
        Make(ForUser("a" + end, id));
        Make(ForUser("a" + end + "c", id));
      }
    }
    for (const std::string ue : {"a", "ab"}) Make(ForUe(ue));
    Make(ForUser("ab"));
    Make(ForUser("ab"));
    Step(1, "suspend");
    Step(3, "compromise");
    Step(8, "deactivate");
    Step(12, "suspend");
    KeyListQuery everything;
    everything.limit = 1000;
    all = Must(store->ListKeys(everything));
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return OrderOf(a) < OrderOf(b); });
  }

  /// As a page would have it that has room for all.
  std::vector<std::string> Expected(const KeyListQuery& query) const {
    std::vector<std::string> kids;
    for (const KeyVersion& one : all) {
      if (query.service && one.selector.service != *query.service) continue;
      if (query.state && one.state != *query.state) continue;
      if (query.expiring_before && (!one.not_after || *one.not_after >= *query.expiring_before)) continue;
      if (one.selector.target.compare(0, query.target_prefix.size(), query.target_prefix) != 0) continue;
      kids.push_back(one.kid.value());
    }
    return kids;
  }

  /// Page by page.
  std::vector<std::string> Found(KeyListQuery query) const {
    std::vector<std::string> kids;
    for (;;) {
      const auto page = Must(store->ListKeys(query));
      for (const KeyVersion& one : page) kids.push_back(one.kid.value());
      if (page.size() < query.limit) return kids;
      query.after_kid = kids.back();
    }
  }

  std::vector<KeyVersion> all;

 private:
  void Make(const Selector& selector) { made_.push_back(Must(store->Rotate(admin, selector)).kid); }
  void Step(std::size_t which, const std::string& action) {
    Must(store->ChangeKey(admin, made_.at(which), {action, "test", false, false}));
  }

  std::vector<Kid> made_;
};

}  // namespace

TEST_CASE("pages hold what a filter of all keys leaves, in order, each once") {
  Listed f;
  std::vector<std::string> prefixes{"", "a", "ab", "b", "~", "zz"};
  for (const std::string& end : kEnds) prefixes.insert(prefixes.end(), {end, "a" + end});
  int compared = 0;
  for (const std::string& prefix : prefixes) {
    for (const char* service : {"", "s", "t", "u"}) {
      for (const std::optional<KeyState> state :
           {std::optional<KeyState>(), std::optional(KeyState::kActive), std::optional(KeyState::kSuspended),
            std::optional(KeyState::kDeactivated)}) {
        for (const bool expiring : {false, true}) {
          KeyListQuery query;
          query.target_prefix = prefix;
          if (*service != '\0') query.service = ValServiceId(service);
          query.state = state;
          if (expiring) query.expiring_before = f.clock.NowSeconds() + 2 * kDaySeconds;
          query.limit = prefix.empty() || prefix == "a" ? 7 : 2;
          const auto expected = f.Expected(query);
          CHECK(f.Found(query) == expected);
          compared += static_cast<int>(expected.size());
        }
      }
    }
  }
  CHECK(compared > 500);
}

TEST_CASE("a page goes on behind a key of another service, and behind one outside the prefix") {
  Listed f;
  KeyListQuery query;
  query.after_kid = f.all.front().kid.value();
  query.limit = 1000;
  query.service = ValServiceId("t");
  CHECK(Must(f.store->ListKeys(query)).size() == f.Expected(query).size());
  query.service = ValServiceId("s");
  query.target_prefix = "b";
  CHECK(Must(f.store->ListKeys(query)).size() == 1);
  query.after_kid = f.all.back().kid.value();
  CHECK(Must(f.store->ListKeys(query)).empty());
}

TEST_CASE("a page behind no key, or by a prefix that no identity has, is refused with what is wrong") {
  StoreFixture f;
  KeyListQuery query;
  query.after_kid = "nobody";
  const auto behind = f.store->ListKeys(query);
  REQUIRE(behind.has_error());
  CHECK(behind.error().code == ErrorCode::kInvalidArgument);
  CHECK(behind.error().detail.find("'nobody'") != std::string::npos);
  query = {};
  query.target_prefix = "\xC3";
  CHECK(f.store->ListKeys(query).error().code == ErrorCode::kInvalidArgument);
}

namespace {

/// Rows that are under the token keys in use, before `kid` in their order.
void AddThousands(const StoreFixture& f, const std::string& kid) {
  f.Tamper(
      "INSERT INTO key_versions (kid, service, target_kind, target, version, profile, state, created, "
      "not_before,"
      " superseded, group_revision, released, changed_by, reason, kek_generation, wrap_format, wrapped, "
      "public_key,"
      " mac_generation, mac)"
      " WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 9000)"
      " SELECT '!' || n, service, target_kind, 'more-' || n, version, profile, state, created, not_before, "
      "superseded,"
      " group_revision, released, changed_by, reason, kek_generation + 1, wrap_format, wrapped, public_key,"
      " mac_generation + 1, mac FROM key_versions, numbers WHERE kid = '" +
      kid + "'");
}

/// Steps to the end of the walk, and rows that were brought under the keys in use.
std::pair<int, std::int64_t> Walk(StoreFixture& f) {
  RewrapCursor cursor;
  std::int64_t rewrapped = 0;
  int steps = 0;
  for (; cursor.table != RewrapCursor::Table::kEnd && steps < 100; ++steps) {
    RewrapRun run;
    Must(f.store->RewrapRows(
        cursor, 16, [] {}, run));
    rewrapped += run.rewrapped;
  }
  return {steps, rewrapped};
}

}  // namespace

TEST_CASE("one row under former keys is found behind thousands that are not, some thousand at a time") {
  StoreFixture f;
  const Kid kid = Must(f.store->Rotate(f.admin, ForUser("alice"))).kid;
  Must(f.store->RotateTokenKeys(f.admin));
  AddThousands(f, kid.value());
  const auto [steps, rewrapped] = Walk(f);
  CHECK(steps < 40);
  CHECK(steps > 6);  // the directory, groups, payloads, and three or more through the keys
  CHECK(rewrapped > 0);
  CHECK(Must(f.store->CountTokenKeyRows()).old == 0);
  CHECK(f.Number("SELECT mac_generation FROM key_versions WHERE kid = '" + kid.value() + "'") == 2);
}

TEST_CASE("a kid that is no text does not lead the walk round and round") {
  StoreFixture f;
  SKMS_OF_SQLITE(f);
  for (int i = 0; i < 40; ++i) Must(f.store->Rotate(f.admin, ForUser("other-" + std::to_string(i))));
  for (const std::string octets : {"00", "7A"}) {
    const Kid kid = Must(f.store->Rotate(f.admin, ForUser("alice-" + octets))).kid;
    f.Tamper("UPDATE key_versions SET kid = X'" + octets + "' WHERE kid = '" + kid.value() + "'");
  }
  Must(f.store->RotateTokenKeys(f.admin));
  CHECK(Walk(f).first < 20);
  CHECK(Must(f.store->CountTokenKeyRows()).old == 2);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE mac_generation = 2") == 40);
}

TEST_CASE("a service or a kind that is no text ends a list with what is wrong") {
  for (const std::string edit :
       {"service = X'7A'", "service = X'00'", "target_kind = X'00'", "target_kind = X'7A'"}) {
    StoreFixture f;
    SKMS_OF_SQLITE(f);
    for (int i = 0; i < 3; ++i) Must(f.store->Rotate(f.admin, ForUser("u" + std::to_string(i))));
    f.Tamper("UPDATE key_versions SET " + edit + " WHERE target = 'u1'");
    const auto page = f.store->ListKeys({});
    REQUIRE(page.has_error());
    CHECK(page.error().code == ErrorCode::kIntegrity);
  }
}

}  // namespace skms::keystore
