#include "keystore/approvals.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "keystore/restore_authorisation.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using test_fixture::Must;
using test_fixture::StoreFixture;

Requester Person(int user) { return {PrincipalId("admin:" + std::to_string(user)), {}, "req", true}; }

ApprovalOrder Order(const std::string& body = R"({"action":"destroy","reason":"drill"})") {
  return {"destroy", "POST /admin/v1/keys/k1/transitions", body, "destroy version 1"};
}

constexpr ApprovalRules kTwo{2, 3600};
bool Anybody(const PrincipalId& /*person*/, const std::string& /*kind*/) { return true; }

struct Asked : StoreFixture {
  Approvals& approvals() { return store->approvals(); }
  Approval request = Must(approvals().Request(Person(1), Order(), kTwo));
  void Approve(int user) { Must(approvals().Approve(Person(user), request.id, request.digest)); }
  bool Use(const ApprovalRules& rules = kTwo) {
    return Must(approvals().Use(Person(1), Order(), rules, Anybody)).has_value();
  }
  std::string LastAction() const { return Text("SELECT action FROM audit ORDER BY seq DESC LIMIT 1"); }
  std::string LastReason() const { return Text("SELECT reason FROM audit ORDER BY seq DESC LIMIT 1"); }
};

TEST_CASE("a request is used once, after another person approved it, and every step is in the chain") {
  Asked f;
  CHECK(f.LastAction() == "approval.request");
  CHECK(f.LastReason() == "destroy: POST /admin/v1/keys/k1/transitions sha256=" + f.request.digest);
  CHECK_FALSE(f.Use());
  f.Approve(2);
  CHECK(f.LastAction() == "approval.approve");
  CHECK(f.Use());
  CHECK(f.LastAction() == "approval.use");
  CHECK(f.LastReason().find("approved-by=admin:2") != std::string::npos);
  CHECK(f.Number("SELECT count(*) FROM audit WHERE kid = '" + f.request.id + "'") == 3);
  CHECK_FALSE(f.Use());
  CHECK(Must(f.approvals().Show(f.request.id)).state == ApprovalState::kUsed);
}

TEST_CASE("the same request again is the same request, and the chain does not grow") {
  Asked f;
  const long long entries = f.Number("SELECT count(*) FROM audit");
  CHECK(Must(f.approvals().Request(Person(1), Order(), kTwo)).id == f.request.id);
  CHECK(f.Number("SELECT count(*) FROM audit") == entries);
  // Another's is his own.
  CHECK(Must(f.approvals().Request(Person(2), Order(), kTwo)).id != f.request.id);
}

TEST_CASE("nobody approves his own request, nor twice, nor something else than he saw") {
  Asked f;
  CHECK(f.approvals().Approve(Person(1), f.request.id, f.request.digest).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(f.approvals().Refuse(Person(1), f.request.id, f.request.digest).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(f.approvals().Approve(Person(2), f.request.id, std::string(64, '0')).error().code ==
        ErrorCode::kPreconditionFailed);
  CHECK(f.approvals().Approve(Person(2), "apr-0123456789abcdef", f.request.digest).error().code ==
        ErrorCode::kNotFound);
  CHECK(f.approvals().Approve(Person(2), "' OR 1=1 --", f.request.digest).error().code ==
        ErrorCode::kNotFound);
  CHECK_FALSE(f.Use());
  f.Approve(2);
  CHECK(f.approvals().Approve(Person(2), f.request.id, f.request.digest).error().code ==
        ErrorCode::kConflict);
}

TEST_CASE("three of three: two others, each once; a quorum that was raised since counts") {
  Asked f;
  f.Approve(2);
  constexpr ApprovalRules kThree{3, 3600};
  CHECK_FALSE(f.Use(kThree));
  f.Approve(3);
  CHECK(f.Use(kThree));
}

TEST_CASE("a quorum that was lowered since does not let an older request through") {
  StoreFixture f;
  const Approval asked = Must(f.store->approvals().Request(Person(1), Order(), {3, 3600}));
  Must(f.store->approvals().Approve(Person(2), asked.id, asked.digest));
  CHECK_FALSE(Must(f.store->approvals().Use(Person(1), Order(), kTwo, Anybody)).has_value());
}

TEST_CASE("an approval is for exactly what was asked, and for who asked") {
  Asked f;
  f.Approve(2);
  CHECK_FALSE(Must(f.approvals().Use(Person(1), Order("{}"), kTwo, Anybody)).has_value());
  ApprovalOrder elsewhere = Order();
  elsewhere.operation = "POST /admin/v1/keys/k2/transitions";
  CHECK_FALSE(Must(f.approvals().Use(Person(1), elsewhere, kTwo, Anybody)).has_value());
  CHECK_FALSE(Must(f.approvals().Use(Person(2), Order(), kTwo, Anybody)).has_value());
  CHECK(f.Use());
}

TEST_CASE("it is for one kind, and for what it depends on") {
  Asked f;
  f.Approve(2);
  ApprovalOrder other = Order();
  other.kind = "strict-recipient";
  CHECK_FALSE(Must(f.approvals().Use(Person(1), other, kTwo, Anybody)).has_value());
  other = Order();
  other.summary += ", and more";
  CHECK_FALSE(Must(f.approvals().Use(Person(1), other, kTwo, Anybody)).has_value());
  CHECK(f.Use());
}

TEST_CASE("who may no longer decide does not count") {
  Asked f;
  f.Approve(2);
  std::string asked;
  const auto nobody = [&](const PrincipalId& person, const std::string& kind) {
    asked = person.value() + " " + kind;
    return false;
  };
  CHECK_FALSE(Must(f.approvals().Use(Person(1), Order(), kTwo, nobody)).has_value());
  CHECK(asked == "admin:2 destroy");
  CHECK(f.Use());
}

TEST_CASE("a hundred that have ended are kept, the newest") {
  Asked f;
  for (int i = 0; i < 102; ++i) {
    f.clock.Advance(std::chrono::seconds(1));
    const Approval one = Must(f.approvals().Request(Person(1), Order(std::to_string(i)), kTwo));
    Must(f.approvals().Withdraw(Person(1), one.id));
  }
  const std::vector<Approval> listed = Must(f.approvals().List());
  CHECK(listed.size() == 101);  // and the one that is open
  CHECK(listed[99].order.body == "2");
}

TEST_CASE("a row that was changed does not keep the former token keys from going") {
  Asked f;
  f.Tamper("UPDATE approvals SET quorum = 1");
  Must(f.store->RotateTokenKeys(f.admin));
  Must(f.approvals().Rewrap(f.module->generations()));
  CHECK(f.Number("SELECT count(*) FROM approvals") == 0);
  CHECK(f.LastAction() == "approval.drop");
}

TEST_CASE("what is refused, withdrawn or expired is over, and says so") {
  SUBCASE("refused") {
    Asked f;
    f.Approve(3);
    Must(f.approvals().Refuse(Person(2), f.request.id, f.request.digest));
    CHECK(f.LastAction() == "approval.refuse");
    CHECK_FALSE(f.Use());
    CHECK(f.approvals().Approve(Person(4), f.request.id, f.request.digest).error().detail ==
          "the request " + f.request.id + " is refused already");
  }
  SUBCASE("withdrawn, by who asked alone") {
    Asked f;
    f.Approve(2);
    CHECK(f.approvals().Withdraw(Person(2), f.request.id).error().code == ErrorCode::kPermissionDenied);
    Must(f.approvals().Withdraw(Person(1), f.request.id));
    CHECK(f.LastAction() == "approval.withdraw");
    CHECK_FALSE(f.Use());
    CHECK(f.approvals().Withdraw(Person(1), f.request.id).error().code == ErrorCode::kConflict);
  }
  SUBCASE("expired, whether it was approved or not") {
    Asked f;
    f.Approve(2);
    f.clock.Advance(std::chrono::seconds(3600));
    CHECK_FALSE(f.Use());
    CHECK(f.LastAction() == "approval.expire");
    CHECK(Must(f.approvals().Show(f.request.id)).state == ApprovalState::kExpired);
    // And it can be asked for anew.
    CHECK(Must(f.approvals().Request(Person(1), Order(), kTwo)).id != f.request.id);
  }
}

TEST_CASE("what has run out is ended where nobody asks for anything") {
  Asked f;
  Must(f.approvals().EndExpired());
  CHECK(f.LastAction() == "approval.request");
  f.clock.Advance(std::chrono::seconds(3600));
  Must(f.approvals().EndExpired());
  CHECK(f.LastAction() == "approval.expire");
}

TEST_CASE("what was not done under an approval may be tried again under it") {
  Asked f;
  f.Approve(2);
  const Approval used = *Must(f.approvals().Use(Person(1), Order(), kTwo, Anybody));
  Must(f.approvals().GiveBack(Person(1), used));
  CHECK(f.LastAction() == "approval.return");
  CHECK(f.Use());
  CHECK_FALSE(f.Use());
}

TEST_CASE("requests and approvals outlive a restart") {
  Asked f;
  f.Approve(2);
  f.Reopen();
  CHECK(f.Use());
}

TEST_CASE("who writes the database approves nothing: every column is under the MAC") {
  const char* const kForgeries[] = {"approvers = 'admin:3'",
                                    "requester = 'admin:2'",
                                    "body = '{}'",
                                    "digest = 'x'",
                                    "operation = 'DELETE /x'",
                                    "state = 'used'",
                                    "quorum = 1",
                                    "expires = expires + 86400",
                                    "created = created + 1",
                                    "kind = 'kek'",
                                    "summary = ''",
                                    "after_entry = after_entry + 1",
                                    "id = 'apr-0123456789abcdef'",
                                    "refused_by = 'admin:2'",
                                    "mac = 'AAAA'",
                                    "changed = changed + 1",
                                    "mac_generation = mac_generation + 1"};
  Asked f;
  f.Approve(2);
  f.Tamper("CREATE TABLE kept AS SELECT * FROM approvals");
  const Approval other = Must(f.approvals().Request(Person(3), Order("{}"), kTwo));
  for (const char* forgery : kForgeries) {
    CAPTURE(forgery);
    f.Tamper(std::string("UPDATE approvals SET ") + forgery + " WHERE id = '" + f.request.id + "'");
    // It counts for nothing, and keeps nothing else from going on.
    CHECK_FALSE(f.Use());
    const std::vector<Approval> listed = Must(f.approvals().List());
    REQUIRE(listed.size() == 1);
    CHECK(listed[0].id == other.id);
    if (std::string(forgery).rfind("id =", 0) != 0)
      CHECK(f.approvals().Show(f.request.id).error().code == ErrorCode::kIntegrity);
    Must(f.approvals().EndExpired());
    f.Tamper("DELETE FROM approvals WHERE id <> '" + other.id + "'");
    f.Tamper("INSERT INTO approvals SELECT * FROM kept");
  }
  CHECK(f.Use());
}

TEST_CASE("a row that is put back after its use, refusal or end is told by the chain") {
  const auto put_back = [](Asked& f, const auto& end) {
    f.Tamper("CREATE TABLE kept AS SELECT * FROM approvals");
    end();
    f.Close();
    f.Tamper("DELETE FROM approvals");
    f.Tamper("INSERT INTO approvals SELECT * FROM kept");
    f.Tamper("DROP TABLE kept");
    f.Reopen();
  };
  SUBCASE("used") {
    Asked f;
    f.Approve(2);
    put_back(f, [&] { REQUIRE(f.Use()); });
    const auto again = f.approvals().Use(Person(1), Order(), kTwo, Anybody);
    REQUIRE(again.has_error());
    CHECK(again.error().code == ErrorCode::kIntegrity);
    CHECK(again.error().detail.find("the audit chain says approval.use: it was put back") !=
          std::string::npos);
  }
  SUBCASE("refused") {
    Asked f;
    put_back(f, [&] { Must(f.approvals().Refuse(Person(2), f.request.id, f.request.digest)); });
    CHECK(f.approvals().Approve(Person(3), f.request.id, f.request.digest).error().code ==
          ErrorCode::kIntegrity);
  }
  SUBCASE("with its entries gone from the chain") {
    Asked f;
    f.Approve(2);
    put_back(f, [&] { REQUIRE(f.Use()); });
    f.Tamper("DELETE FROM audit WHERE kid = '" + f.request.id + "'");
    CHECK(f.approvals().Use(Person(1), Order(), kTwo, Anybody).error().code == ErrorCode::kConflict);
  }
}

TEST_CASE("so many requests are open at once, of one person and of all, and no more") {
  StoreFixture f;
  Approvals& approvals = f.store->approvals();
  std::size_t made = 0;
  for (int person = 1; made < Approvals::kMostOpen; ++person) {
    for (std::size_t i = 0; i < Approvals::kMostOpenOfOne && made < Approvals::kMostOpen; ++i, ++made)
      Must(approvals.Request(Person(person), Order(std::to_string(i)), kTwo));
    if (person == 1) {
      CHECK(approvals.Request(Person(1), Order("more"), kTwo).error().code == ErrorCode::kConflict);
      CHECK(Must(approvals.Request(Person(1), Order("0"), kTwo)).order.body == "0");
    }
  }
  CHECK(approvals.Request(Person(99), Order("more"), kTwo).error().code == ErrorCode::kConflict);
  f.clock.Advance(std::chrono::seconds(3600));
  CHECK(approvals.Request(Person(99), Order("more"), kTwo).has_value());
}

TEST_CASE("what has ended goes after 30 days") {
  Asked f;
  Must(f.approvals().Withdraw(Person(1), f.request.id));
  f.clock.Advance(std::chrono::hours(30 * 24));
  CHECK(Must(f.approvals().List()).size() == 1);
  f.clock.Advance(std::chrono::seconds(1));
  CHECK(Must(f.approvals().List()).empty());
}

TEST_CASE("approvals come under the next token keys with all the rest, and stay good") {
  Asked f;
  f.Approve(2);
  CHECK(Must(f.store->CountTokenKeyRows()).old == 0);
  Must(f.store->RotateTokenKeys(f.admin));
  const auto left = Must(f.store->CountTokenKeyRows()).old;
  RewrapCursor cursor;
  while (cursor.table != RewrapCursor::Table::kEnd) {
    RewrapRun run;
    Must(f.store->RewrapRows(
        cursor, 100, [] {}, run));
    CHECK(run.damaged == 0);
  }
  CHECK(left > 0);
  CHECK(Must(f.store->CountTokenKeyRows()).old == 0);
  Must(f.store->RetireTokenKeys(f.admin));
  CHECK(f.Use());
}

TEST_CASE("the authorisation of a restore is for one backup, until it expires, and the token's own") {
  Asked f;
  f.Approve(2);
  const Approval used = *Must(f.approvals().Use(Person(1), Order(), kTwo, Anybody));
  const std::string hash(64, 'a');
  const std::string jws = Must(SignRestoreAuthorisation(*f.module, hash, used));
  const std::int64_t now = f.clock.NowSeconds();
  const auto good = VerifyRestoreAuthorisation(*f.module, jws, hash, now);
  REQUIRE(good.has_value());
  CHECK(good.value().approval == used.id);
  CHECK(good.value().requested_by == "admin:1");
  CHECK(good.value().approved_by == "admin:2");
  const auto complaint = [&](const std::string& text, const std::string& of, std::int64_t at) {
    const auto verified = VerifyRestoreAuthorisation(*f.module, text, of, at);
    REQUIRE(verified.has_error());
    CHECK(verified.error().code == ErrorCode::kInvalidArgument);
    return verified.error().detail;
  };
  CHECK(complaint(jws, std::string(64, 'b'), now).find("it is for the backup with SHA-256 aaa") == 0);
  CHECK(complaint(jws, hash, used.expires).find("it has expired at ") == 0);
  CHECK(complaint("nothing", hash, now) == "it is no authorisation of a restore");
  const std::string other = Must(f.store->SignAudit())->jws;
  CHECK(complaint(other, hash, now) == "it is no authorisation of a restore");
  std::string forged = jws;
  forged[forged.size() - 10] = forged[forged.size() - 10] == 'A' ? 'B' : 'A';
  CHECK(complaint(forged, hash, now).find("it is signed by no key that a token") == 0);
}

}  // namespace
}  // namespace skms::keystore
