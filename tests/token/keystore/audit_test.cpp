// The audit chain and what the token signs of it, against somebody who may write the database.
#include <doctest/doctest.h>

#include "base/delivery_receipt.h"
#include "base/jws.h"
#include "keystore/audit_checkpoint.h"
#include "keystore/audit_verifier.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using test_fixture::Must;
using test_fixture::StoreFixture;

class AuditFixture : public StoreFixture {
 public:
  void Append(int entries) {
    for (int i = 0; i < entries; ++i) Must(store->RecordRefusal({"deliver", "val-1", "drill", "r"}));
  }
  AuditCheckpoint Sign() { return Must(store->SignAudit()).value(); }
  std::vector<Bytes> Keys() {
    std::vector<Bytes> keys;
    for (AuditKey& key : Must(store->AuditKeys())) keys.push_back(std::move(key.spki));
    return keys;
  }
  AuditPage Page() { return Must(store->ReadAudit(0, 1000)); }
};

/// As a file has them: checkpoints after their entries.
Status Verify(const AuditPage& page, AuditVerifier& verifier) {
  auto checkpoint = page.checkpoints.begin();
  for (const AuditRecord& record : page.entries) {
    for (; checkpoint != page.checkpoints.end() && checkpoint->seq < record.seq; ++checkpoint)
      SKMS_TRYV(verifier.TakeCheckpoint(checkpoint->jws));
    SKMS_TRYV(verifier.Take(record));
  }
  for (; checkpoint != page.checkpoints.end(); ++checkpoint)
    SKMS_TRYV(verifier.TakeCheckpoint(checkpoint->jws));
  return verifier.Finish({.unsigned_tail = true});
}

Status Verify(const AuditPage& page, std::vector<Bytes> keys) {
  AuditVerifier verifier(std::move(keys));
  return Verify(page, verifier);
}

/// What somebody does who can write the database and hash, and cannot sign.
void Rehash(AuditPage& page) {
  std::string previous = page.entries.front().previous;
  for (AuditRecord& record : page.entries) {
    record.previous = previous;
    record.hash = previous = AuditHash(record);
  }
}

TEST_CASE("the token signs what is new, once, and the whole is verified by its public key alone") {
  AuditFixture f;
  f.Append(3);
  const AuditCheckpoint first = f.Sign();
  CHECK(first.seq == f.store->Audit().value().entries);
  CHECK(first.kid == "skms-sign-1");
  CHECK_FALSE(Must(f.store->SignAudit()));
  f.Append(2);
  CHECK(f.Sign().seq == first.seq + 2);
  f.Append(1);
  const AuditVerdict verdict = Must(f.store->VerifyAudit());
  CHECK(verdict.first == 1);
  CHECK(verdict.last == first.seq + 3);
  CHECK(verdict.signed_up_to == first.seq + 2);
  CHECK(verdict.checkpoints == 2);
  CHECK(Verify(f.Page(), f.Keys()).has_value());
  {
    // An entry that nobody signed is anybody's.
    AuditVerifier strict(f.Keys());
    REQUIRE(Verify(f.Page(), strict).has_value());
    CHECK(strict.Finish({}).error().detail.find("nothing is signed after entry") == 0);
    AuditPage made_up = f.Page();
    made_up.checkpoints.clear();
    AuditVerifier none(f.Keys());
    REQUIRE(Verify(made_up, none).has_value());
    CHECK(none.Finish({}).has_error());
  }
  const auto strange = Verify(f.Page(), {f.client.spki});
  REQUIRE(strange.has_error());
  CHECK(strange.error().detail.find("'skms-sign-1', which no key that is given vouches for") !=
        std::string::npos);
}

TEST_CASE("a chain that was changed and hashed anew does not pass its checkpoints") {
  AuditFixture f;
  f.Append(4);
  f.Sign();
  f.Append(4);
  f.Sign();
  const AuditPage whole = f.Page();
  const auto refused = [&](const AuditPage& page, const char* why) {
    const Status found = Verify(page, f.Keys());
    REQUIRE(found.has_error());
    CAPTURE(found.error().detail);
    CHECK(found.error().code == ErrorCode::kIntegrity);
    CHECK(found.error().detail.find(why) != std::string::npos);
  };
  AuditPage page = whole;
  page.entries[3].entry.outcome = "granted";
  refused(page, "entry 4 was changed");
  Rehash(page);
  refused(page, "the chain was made anew");
  page = whole;
  page.entries.erase(page.entries.begin() + 2);
  refused(page, "entry 4 stands where entry 3 belongs");
  for (std::size_t i = 2; i < page.entries.size(); ++i) --page.entries[i].seq;
  Rehash(page);
  refused(page, "signed");
  page = whole;
  std::swap(page.entries[2], page.entries[3]);
  refused(page, "entry 4 stands where entry 3 belongs");
  page = whole;
  page.entries.insert(page.entries.begin() + 2, page.entries[1]);
  refused(page, "put in or moved");
  page = whole;
  page.entries.pop_back();
  refused(page, "the tail was cut");
  page = whole;
  page.checkpoints.front().jws = page.checkpoints.back().jws;
  refused(page, "the tail was cut, or entries were dropped");
}

TEST_CASE("a cut tail with its checkpoints shows by a checkpoint that was kept elsewhere") {
  AuditFixture f;
  f.Append(2);
  f.Sign();
  AuditPage cut = f.Page();
  f.Append(2);
  const std::string kept = f.Sign().jws;
  CHECK(Verify(cut, f.Keys()).has_value());
  AuditVerifier verifier(f.Keys());
  REQUIRE(verifier.MustReach(kept).has_value());
  const auto found = Verify(cut, verifier);
  REQUIRE(found.has_error());
  CHECK(found.error().detail.find("the tail was cut") == 0);
  AuditVerifier whole(f.Keys());
  REQUIRE(whole.MustReach(kept).has_value());
  CHECK(Verify(f.Page(), whole).has_value());
  // Rewritten up to the end, without checkpoints at all.
  AuditPage anew = f.Page();
  anew.checkpoints.clear();
  anew.entries[1].entry.reason = "another";
  Rehash(anew);
  AuditVerifier other(f.Keys());
  REQUIRE(other.MustReach(kept).has_value());
  CHECK(Verify(anew, other).error().detail.find("the chain was made anew") == 0);
  AuditVerifier keyless({f.client.spki});
  REQUIRE(keyless.MustReach(kept).has_value());
  CHECK(Verify(f.Page(), keyless).error().detail.find("the kept checkpoint is signed by no key") == 0);
}

TEST_CASE("a receipt passes for the entry of its own delivery alone") {
  AuditFixture f;
  f.Append(2);
  const DeliveryAnswer answer = Must(f.store->Deliver(f.Val1(), test_fixture::ForService()));
  REQUIRE(answer.recorded.entries > 0);
  f.Append(1);
  f.Sign();
  const AuditPage page = f.Page();
  const AuditRecord& entry = page.entries.at(static_cast<std::size_t>(answer.recorded.entries) - 1);
  CHECK(entry.hash == answer.recorded.head);
  DeliveryReceipt receipt;
  receipt.issuer = "https://skms.test";
  receipt.subject = entry.entry.actor;
  receipt.request_id = entry.entry.request_id;
  receipt.service = entry.entry.service;
  receipt.kids = entry.entry.kid;
  receipt.entry = entry.seq;
  receipt.entry_hash = entry.hash;
  const auto outcome = [&](const DeliveryReceipt& said) -> Status {
    AuditVerifier verifier(f.Keys());
    SKMS_TRYV(verifier.MustHoldReceipt(Must(f.store->SignReceipt(said))));
    return Verify(page, verifier);
  };
  CHECK(outcome(receipt).has_value());
  const auto refused = [&](DeliveryReceipt other, const char* why) {
    const Status found = outcome(other);
    REQUIRE(found.has_error());
    CHECK(found.error().detail.find(why) != std::string::npos);
  };
  DeliveryReceipt other = receipt;
  other.subject = "val-2";
  refused(other, "which is of something else");
  other = receipt;
  other.kids = "another";
  refused(other, "which is of something else");
  other = receipt;
  other.entry = entry.seq + 1;
  other.entry_hash = page.entries.at(static_cast<std::size_t>(entry.seq)).hash;
  refused(other, "which is of something else");
  other.entry_hash = entry.hash;
  refused(other, "the chain was made anew");
  other.entry = entry.seq + 100;
  refused(other, "the tail was cut");
}

TEST_CASE("the token signs nothing that was changed behind the daemon's back") {
  const std::string insert = "INSERT INTO audit_checkpoints SELECT ";
  const std::string edits[] = {
      "DELETE FROM audit_checkpoints",
      "UPDATE audit_checkpoints SET jws = substr(jws, 1, length(jws) - 4) || 'AAAA'",
      insert + "number + 1, seq + 1000, 0, 'e30.e30.AAAA' FROM audit_checkpoints",
      insert + "9223372036854775807, seq, 0, jws || 'AAAA' FROM audit_checkpoints",
      "DELETE FROM audit WHERE seq > 6",
      "UPDATE audit SET reason = 'another' WHERE seq = (SELECT max(seq) FROM audit) - 1",
  };
  for (const std::string& edit : edits) {
    CAPTURE(edit);
    AuditFixture f;
    f.Append(4);
    f.Sign();
    f.Append(3);
    f.Tamper(edit);
    const auto refused = f.store->SignAudit();
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("nobody's word but an entry's counts for what was archived") {
  AuditFixture f;
  f.Append(4);
  const AuditCheckpoint closing = f.Sign();
  f.Append(2);
  f.Tamper("INSERT INTO meta (name, value) VALUES ('audit_archived', '" + std::to_string(closing.seq) + "')");
  CHECK(f.store->VerifyAudit().error().detail.find("no entry says that it was archived") !=
        std::string::npos);
  f.Tamper("UPDATE meta SET value = '1000000000000000' WHERE name = 'audit_archived'");
  CHECK(f.store->VerifyAudit().error().code == ErrorCode::kIntegrity);
}

TEST_CASE("what was archived is gone, and what is left begins with what the token signed") {
  AuditFixture f;
  f.Append(4);
  const AuditCheckpoint closing = f.Sign();
  const AuditPage archived = f.Page();
  f.Append(3);
  CHECK(f.store->ArchiveAudit(f.admin, closing.seq - 1, closing.hash).error().code == ErrorCode::kConflict);
  CHECK(f.store->ArchiveAudit(f.admin, closing.seq, std::string(64, '0')).error().code ==
        ErrorCode::kConflict);
  REQUIRE(f.store->ArchiveAudit(f.admin, closing.seq, closing.hash).has_value());
  CHECK(f.store->ArchiveAudit(f.admin, closing.seq, closing.hash).error().code == ErrorCode::kConflict);
  // Also while only some of it is deleted, as after a crash in the middle.
  CHECK(Must(f.store->DeleteArchivedAudit(2)) == 2);
  CHECK(Must(f.store->VerifyAudit()).first == closing.seq + 1);
  while (Must(f.store->DeleteArchivedAudit(2)) > 0) {
  }
  const AuditVerdict verdict = Must(f.store->VerifyAudit());
  CHECK(verdict.first == closing.seq + 1);
  CHECK(verdict.last == closing.seq + 4);  // the archiving is an entry, too
  f.Append(1);
  f.Sign();
  const AuditPage rest = f.Page();
  CHECK(rest.entries.front().seq == closing.seq + 1);
  CHECK(Verify(rest, f.Keys()).has_value());
  AuditPage unanchored = rest;
  unanchored.checkpoints.erase(unanchored.checkpoints.begin());
  CHECK(Verify(unanchored, f.Keys()).error().detail.find("it begins with entry") == 0);
  // Both parts, one after the other.
  AuditVerifier both(f.Keys());
  REQUIRE(Verify(archived, both).has_value());
  CHECK(Verify(rest, both).has_value());
  CHECK(both.verdict().first == 1);
}

TEST_CASE("the chain is searched by who, what, how it ended and when; a user by his pseudonym") {
  AuditFixture f;
  const std::int64_t before = f.clock.NowMilliseconds();
  f.clock.Advance(std::chrono::seconds(10));
  REQUIRE(f.store->Deliver(f.Val1(), test_fixture::ForService("nowhere")).has_error());
  const Selector user{ValServiceId("nowhere"), TargetKind::kUser, "alice"};
  REQUIRE(f.store->Deliver(f.Val1(), user).has_error());
  const auto count = [&](const AuditQuery& query) { return Must(f.store->SearchAudit(query)).size(); };
  AuditQuery query;
  query.since_ms = before + 1;
  CHECK(count(query) == 2);
  query.before_ms = before + 2;
  CHECK(count(query) == 0);
  query = {};
  query.target_pseudonym = f.store->AuditPseudonym({{}, TargetKind::kUser, "alice"});
  REQUIRE(count(query) == 1);
  CHECK(Must(f.store->SearchAudit(query)).front().entry.service == "nowhere");
  query = {};
  query.action = "service.";
  query.outcome = "granted";
  CHECK(count(query) == 1);
  query.outcome = "refused";
  CHECK(count(query) == 0);
  query = {};
  query.actor = "val-1";
  query.limit = 1;
  const auto page = Must(f.store->SearchAudit(query));
  REQUIRE(page.size() == 1);
  query.after = page.front().seq;
  CHECK(count(query) == 1);
}

}  // namespace
}  // namespace skms::keystore
