// What the token answered before is answered without it, and nothing else is.
#include "keystore/answer_cache.h"

#include <doctest/doctest.h>

#include <utility>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

Bytes OpenedBytes(const Client& client, const DeliveredVersion& key) {
  const SecretBytes plain = Opened(client, key);
  const ByteView octets = plain.ExposeSecret();
  return {octets.begin(), octets.end()};
}

struct CachingFixture : StoreFixture {
  explicit CachingFixture(std::size_t bytes = 1U << 20U) {
    answer_cache_bytes = bytes;
    Reopen();
  }
  std::uint64_t calls() const { return module->session_use().calls; }
  /// The key of a user as the reader opens it, and how many calls of the token that took.
  std::pair<Bytes, std::uint64_t> Ask(const std::string& user) {
    const std::uint64_t before = calls();
    const DeliveryAnswer answer = Must(store->Deliver(Val1(), ForUser(user)));
    REQUIRE(answer.keys.size() == 1);
    const std::uint64_t took = calls() - before;
    return {OpenedBytes(client, answer.keys[0]), took};
  }
};

TEST_CASE("a key that was delivered goes out again without the token, and is audited each time") {
  CachingFixture f;
  const auto [key, first] = f.Ask("a");
  CHECK(first > 0);
  const long long entries = f.Number("SELECT COUNT(*) FROM audit");
  const auto [same, again] = f.Ask("a");
  CHECK(again == 0);
  CHECK(same == key);
  CHECK(f.Number("SELECT COUNT(*) FROM audit") == entries + 1);
  CHECK(f.Ask("b").first != key);
}

TEST_CASE("without room for it the token is asked each time, and little room holds the last alone") {
  {
    CachingFixture none(0);
    none.Ask("a");
    CHECK(none.Ask("a").second > 0);
  }
  CachingFixture little(2600);  // half of it: a row and a ciphertext, and no whole answer
  little.Ask("a");
  CHECK(little.Ask("a").second == 0);
  little.Ask("b");
  CHECK(little.Ask("a").second > 0);
}

TEST_CASE("a change of state or policy holds at once") {
  CachingFixture f;
  const Bytes former = f.Ask("a").first;
  Must(f.store->Rotate(f.admin, ForUser("a")));
  const DeliveryAnswer after = Must(f.store->Deliver(f.Val1(), ForUser("a")));
  REQUIRE(after.keys.size() == 2);
  CHECK(OpenedBytes(f.client, after.keys[0]) != former);

  Service service = f.ServiceNamed("s");
  service.readers.clear();
  Must(f.store->SetService(f.admin, service));
  CHECK(f.store->Deliver(f.Val1(), ForUser("a")).has_error());
}

TEST_CASE("a key whose time is over is the token's again") {
  CachingFixture f;
  Service service = f.ServiceNamed("s");
  service.rotation.crypto_period = 3600;
  Must(f.store->SetService(f.admin, service));
  f.Ask("a");
  CHECK(f.Ask("a").second == 0);
  f.clock.Advance(std::chrono::hours(2));
  CHECK(f.Ask("a").second > 0);
}

TEST_CASE("another recipient gets a ciphertext of his own") {
  CachingFixture f;
  const Bytes key = f.Ask("a").first;
  Must(f.store->AddRecipient(f.admin,
                             {RecipientId("r"), PrincipalId("val-1"), hsm::RsaRecipient{f.stranger.spki}}));
  const DeliveryAnswer other = Must(f.store->Deliver(f.Val1(), ForUser("a")));
  CHECK(other.keys[0].recipient == "r");
  CHECK(OpenedBytes(f.stranger, other.keys[0]) == key);
}

TEST_CASE(
    "a ciphertext that was made with a key is said again, and not where it was asked for before the end") {
  const CachingFixture f;
  const hsm::KeySpec spec{hsm::KeyKind::kAes, 32};
  const hsm::Recipient to = hsm::RsaRecipient{f.client.spki};
  const hsm::Recipient other = hsm::RsaRecipient{f.stranger.spki};
  AnswerCache cache(1U << 20U);
  const std::uint64_t asked = cache.era();
  const hsm::GeneratedKey made = Must(f.module->GenerateWrapped(spec, hsm::Recipients::kAny, &to));
  cache.Learn(to, made.wrapped, spec, made.public_key, *made.delivered, asked);
  const std::uint64_t before = f.calls();
  CHECK(Must(cache.RewrapFor(*f.module, to, made.wrapped, spec, made.public_key)).encrypted_key ==
        made.delivered->encrypted_key);
  CHECK(f.calls() == before);
  CHECK(Must(cache.RewrapFor(*f.module, other, made.wrapped, spec, made.public_key)).encrypted_key !=
        made.delivered->encrypted_key);
  CHECK(f.calls() > before);
  cache.Clear();
  cache.Learn(to, made.wrapped, spec, made.public_key, *made.delivered, asked);
  CHECK(Must(cache.RewrapFor(*f.module, to, made.wrapped, spec, made.public_key)).encrypted_key !=
        made.delivered->encrypted_key);
}

TEST_CASE("what a retired MAC key vouched for is forgotten with it") {
  CachingFixture f;
  f.Ask("a");
  f.Tamper("CREATE TABLE kept AS SELECT * FROM key_versions");
  Must(f.store->RotateTokenKeys(f.admin));
  RewrapCursor cursor;
  RewrapRun run;
  while (cursor.table != RewrapCursor::Table::kEnd)
    Must(f.store->RewrapRows(
        cursor, 8, [] {}, run));
  f.Ask("a");
  f.Tamper("DELETE FROM key_versions");
  f.Tamper("INSERT INTO key_versions SELECT * FROM kept");
  CHECK(f.store->Deliver(f.Val1(), ForUser("a")).has_value());  // its MAC key is still there
  f.Tamper("DELETE FROM key_versions");
  Must(f.store->RetireTokenKeys(f.admin));
  f.Tamper("INSERT INTO key_versions SELECT * FROM kept");
  CHECK(f.store->Deliver(f.Val1(), ForUser("a")).error().code == ErrorCode::kIntegrity);
}

}  // namespace
}  // namespace skms::keystore
