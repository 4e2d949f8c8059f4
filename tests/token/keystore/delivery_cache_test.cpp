// Whole answers that are given again: never one that was made before a change which has been acknowledged.
#include "keystore/delivery_cache.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

struct Caching : StoreFixture {
  Caching() {
    answer_cache_bytes = 4U << 20U;
    Reopen();
    static const Client group_server;
    Must(store->AddPrincipal(admin,
                             {PrincipalId("gms"), "group-server", "gms", group_server.spki, "CN=gms", 0}));
    gms = {PrincipalId("gms"), group_server.spki, "req-g"};
    Must(store->SetService(admin, Policy(true)));
  }
  Service Policy(bool readable) const {
    Service service = ServiceNamed("s");
    service.scopes.push_back(TargetKind::kGroup);
    service.group_servers = {PrincipalId("gms")};
    service.access.provisioners = {PrincipalId("val-1")};
    service.rotation.crypto_period = 3600;
    if (!readable) service.readers.clear();
    return service;
  }
  void SetGroup(const std::vector<GroupMember>& members) {
    const GroupChanged changed =
        Must(store->PutGroup(gms, {GroupId("g"), {ValServiceId("s")}, members}, {revision}));
    revision = changed.record.revision;
  }
  DeliveryAnswer Ask(const Selector& selector) { return Must(store->Deliver(Val1(), selector)); }
  /// Whether the next answer is one that was there.
  bool IsKept(const Selector& selector) {
    Ask(selector);  // the first one makes the key, and so changes what it is made from
    const DeliveryAnswer first = Ask(selector);
    const DeliveryAnswer second = Ask(selector);
    return first.form && first.form == second.form;
  }
  std::vector<std::string> KidsOf(const DeliveryAnswer& answer) const {
    std::vector<std::string> kids;
    for (const DeliveredVersion& key : answer.keys) kids.push_back(key.version.kid.value());
    return kids;
  }

  Requester gms;
  std::optional<std::int64_t> revision;
};

TEST_CASE("an answer is given again as it is, with an entry of its own for each") {
  Caching f;
  f.Ask(ForUser("a"));
  const DeliveryAnswer first = f.Ask(ForUser("a"));
  Requester again = f.Val1();
  again.request_id = "req-again";
  const DeliveryAnswer second = Must(f.store->Deliver(again, ForUser("a")));
  REQUIRE(first.form);
  CHECK(second.form == first.form);
  CHECK(&*second.keys.begin() == &*first.keys.begin());
  CHECK(second.recorded.entries == first.recorded.entries + 1);
  CHECK(second.recorded.head != first.recorded.head);
  AuditQuery query;
  query.request_id = "req-again";
  const auto found = Must(f.store->SearchAudit(query));
  REQUIRE(found.size() == 1);
  CHECK(found[0].entry.action == "deliver");
  CHECK(found[0].entry.kid == first.keys[0].version.kid.value());
  CHECK(found[0].entry.target_kind == "user");
}

TEST_CASE("what somebody else may not have is not given to him, and he has answers of his own") {
  Caching f;
  f.Ask(ForUser("a"));
  CHECK(f.store->Deliver(f.Val2(), ForUser("a")).has_error());
  CHECK(f.Ask(ForUser("b")).form != f.Ask(ForUser("a")).form);
  CHECK(f.Ask(ForUe("a")).form != f.Ask(ForUser("a")).form);
}

TEST_CASE("plaintext is not kept, and neither is what ends") {
  Caching f;
  Service plain = f.ServiceNamed("plain");
  plain.delivery = Delivery::kTls;
  Must(f.store->AddService(f.admin, plain));
  CHECK_FALSE(f.Ask(ForService("plain")).form);
  CHECK_FALSE(f.IsKept(ForService("plain")));

  Service ending = f.ServiceNamed("ending");
  ending.rotation.crypto_period = 3600;
  Must(f.store->AddService(f.admin, ending));
  CHECK(f.IsKept(ForService("ending")));
  f.clock.Advance(std::chrono::hours(1));
  CHECK_FALSE(f.IsKept(ForService("ending")));
}

TEST_CASE("a change of one selector leaves the others' answers, and none of its own") {
  Caching f;
  REQUIRE(f.IsKept(ForUser("a")));
  REQUIRE(f.IsKept(ForUser("b")));
  const DeliveryAnswer a = f.Ask(ForUser("a"));
  const DeliveryAnswer b = f.Ask(ForUser("b"));
  f.Ask(ForUser("new"));  // a key is made
  const KeyVersion rotated = Must(f.store->Rotate(f.admin, ForUser("a")));
  CHECK(f.Ask(ForUser("b")).form == b.form);
  const DeliveryAnswer after = f.Ask(ForUser("a"));
  CHECK(after.form != a.form);
  CHECK(after.keys[0].version.kid == rotated.kid);
}

TEST_CASE("keys of groups, members and payloads change a member's answer at once") {
  Caching f;
  const Selector alice = ForUser("alice");
  CHECK(f.Ask(alice).keys.size() == 1);
  f.SetGroup({{TargetKind::kUser, "alice"}, {TargetKind::kUser, "bob"}});
  CHECK(f.Ask(alice).keys.size() == 2);
  CHECK(f.IsKept(alice));
  // A version of the group's key, by somebody who changes nothing else.
  Must(f.store->Rotate(f.admin, {ValServiceId("s"), TargetKind::kGroup, "g"}));
  CHECK(f.Ask(alice).keys.size() == 3);
  f.SetGroup({{TargetKind::kUser, "bob"}});
  CHECK(f.Ask(alice).keys.size() == 1);
}

TEST_CASE("who has no keys of his own and comes into another group gets its keys at once") {
  Caching f;
  Service groups_only = f.Policy(true);
  groups_only.scopes = {TargetKind::kService, TargetKind::kGroup};
  Must(f.store->SetService(f.admin, groups_only));
  const Selector alice = ForUser("alice");
  f.SetGroup({{TargetKind::kUser, "alice"}});
  CHECK(f.Ask(alice).keys.size() == 1);
  CHECK(f.IsKept(alice));
  const GroupDocument another{GroupId("another"), {ValServiceId("s")}, {{TargetKind::kUser, "bob"}}};
  const GroupChanged made = Must(f.store->PutGroup(f.gms, another, {}));
  CHECK(f.Ask(alice).keys.size() == 1);
  CHECK(f.IsKept(alice));
  GroupDocument with_alice = another;
  with_alice.members.push_back({TargetKind::kUser, "alice"});
  Must(f.store->PutGroup(f.gms, with_alice, {made.record.revision}));
  CHECK(f.Ask(alice).keys.size() == 2);
}

TEST_CASE("what processes only is given again, and each step of a life is seen at once") {
  Caching f;
  const Selector a = ForUser("a");
  const Kid kid(f.KidsOf(f.Ask(a)).at(0));
  CHECK(f.IsKept(a));
  f.clock.Advance(std::chrono::hours(1));
  // By the scheduler, which says itself whose keys it changes.
  while (Must(f.store->RunRotation(100)).changes() > 0) {
  }
  const DeliveryAnswer after = f.Ask(a);
  CHECK(after.keys.size() == 2);
  CHECK(after.keys[1].version.kid == kid);
  CHECK(after.keys[1].version.state == KeyState::kDeactivated);
  CHECK(f.IsKept(a));
  const Kid newer = after.keys[0].version.kid;
  Must(f.store->ChangeKey(f.admin, newer, {"suspend", "tried", false, false}));
  CHECK(f.Ask(a).keys[0].version.state != KeyState::kActive);
  Must(f.store->ChangeKey(f.admin, newer, {"resume", "tried", false, false}));
  CHECK(f.Ask(a).keys[0].version.state == KeyState::kActive);
  CHECK(f.IsKept(a));
  Must(f.store->ChangeKey(f.admin, kid, {"compromise", "tried", false, false}));
  CHECK(f.Ask(a).keys.size() == 1);
}

TEST_CASE("a recipient and a payload that come or go are seen at once") {
  Caching f;
  const Selector a = ForUser("a");
  CHECK(f.IsKept(a));
  Must(f.store->AddRecipient(f.admin,
                             {RecipientId("r"), PrincipalId("val-1"), hsm::RsaRecipient{f.stranger.spki}}));
  CHECK(f.Ask(a).keys[0].recipient == "r");
  CHECK(f.IsKept(a));
  Must(f.store->RemoveRecipient(f.admin, RecipientId("r")));
  CHECK(f.Ask(a).keys[0].recipient != "r");
  CHECK(f.IsKept(a));

  ProvisionOrder order;
  order.selector = a;
  order.sent = SecretBytes::CopyOf(AsBytes("a payload"));
  order.granted = true;
  const Provisioned provisioned = Must(f.store->Provision(f.Val1(), order));
  CHECK(f.Ask(a).payloads.size() == 1);
  CHECK_FALSE(f.IsKept(a));
  Must(f.store->RemovePayload(f.admin, provisioned.id));
  CHECK(f.Ask(a).payloads.empty());
  CHECK(f.IsKept(a));
}

TEST_CASE("a server that takes no entries gives no answer again") {
  Caching f;
  CHECK(f.IsKept(ForUser("a")));
  f.RefuseEntries();
  CHECK(f.store->Deliver(f.Val1(), ForUser("a")).error().code == ErrorCode::kStorage);
  f.AcceptEntries();
  CHECK(f.Ask(ForUser("a")).form);
}

/// What a change has made of the rules, in the order of their acknowledgements.
class Rules {
 public:
  using Step = std::uint64_t;

  Step now() const { return step_; }
  void Forbid(const std::string& kid) {
    const std::lock_guard lock(mutex_);
    forbidden_[kid] = ++step_;
  }
  /// What was forbidden may come again from now on.
  void Allow(const std::string& what) {
    const std::lock_guard lock(mutex_);
    forbidden_.erase(what);
  }
  bool Forbade(const std::string& kid, Step before) const {
    const std::lock_guard lock(mutex_);
    const auto found = forbidden_.find(kid);
    return found != forbidden_.end() && found->second <= before;
  }

 private:
  std::atomic<Step> step_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Step> forbidden_;
};

/// Asks without end while others change things, and counts what it should not have got.
class Hunters {
 public:
  Hunters(Caching& fixture, const Rules& rules, std::size_t threads) : fixture_(fixture), rules_(rules) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Hunt(i); });
  }
  Hunters(const Hunters&) = delete;
  Hunters& operator=(const Hunters&) = delete;
  ~Hunters() { End(); }

  void End() {
    ended_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  static Selector Hunted(std::size_t which) { return ForUser("hunted-" + std::to_string(which % 3)); }

  std::atomic<std::uint64_t> phase{0};  ///< odd: nobody may read; grows when that is so, and before it ends
  std::atomic<int> stale{0};
  std::atomic<int> let_in{0};
  std::atomic<int> kept_out{0};
  std::atomic<int> given_again{0};

  /// Returns when one of these has grown by `more`.
  static void Await(const std::atomic<int>& count, int more) {
    const int enough = count + more;
    for (int i = 0; i < 60000 && count < enough; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE(count >= enough);
  }

 private:
  void Hunt(std::size_t which) {
    std::map<std::string, std::shared_ptr<AnswerFormPlace>> former;
    while (!ended_) {
      const Rules::Step began = rules_.now();
      const std::uint64_t phase_before = phase;
      const Selector selector = Hunted(which++);
      const auto answer = fixture_.store->Deliver(fixture_.Val1(), selector);
      if (phase_before % 2 == 1 && phase == phase_before) ++(answer.has_error() ? kept_out : let_in);
      if (answer.has_error()) continue;
      std::shared_ptr<AnswerFormPlace>& last = former[selector.target];
      if (answer.value().form && answer.value().form == last) ++given_again;
      last = answer.value().form;
      std::vector<std::string> got;
      for (const DeliveredVersion& key : answer.value().keys) {
        got.push_back(key.version.kid.value());
        got.push_back(key.version.kid.value() + " " + std::string(Name(key.version.state)));
      }
      if (answer.value().payloads.empty()) got.push_back("no payload of " + selector.target);
      for (const std::string& what : got) {
        if (rules_.Forbade(what, began)) ++stale;
      }
    }
  }

  Caching& fixture_;
  const Rules& rules_;
  std::atomic<bool> ended_{false};
  std::vector<std::thread> threads_;
};

TEST_CASE("nobody who asks after a change is acknowledged gets what was before it") {
  Caching f;
  Rules rules;
  for (std::size_t i = 0; i < 3; ++i) f.Ask(Hunters::Hunted(i));
  Hunters hunters(f, rules, 4);
  for (std::size_t turn = 0; turn < 120; ++turn) {
    const Selector selector = Hunters::Hunted(turn / 6);
    switch (turn % 6) {
      case 0: {  // a version is compromised and not delivered any more
        const Kid kid(f.KidsOf(f.Ask(selector)).at(0));
        Must(f.store->ChangeKey(f.admin, kid, {"compromise", "hunted", true, false}));
        rules.Forbid(kid.value());
        break;
      }
      case 1: {  // policy
        Must(f.store->SetService(f.admin, f.Policy(false)));
        ++hunters.phase;
        if (turn / 6 % 2 ==
            1) {  // and whoever could read is gone, and comes back as somebody whom no policy names
          Service nobodys = f.Policy(false);
          nobodys.access.provisioners.clear();
          Must(f.store->SetService(f.admin, nobodys));
          Must(f.store->RemovePrincipal(f.admin, PrincipalId("val-1")));
          Hunters::Await(hunters.kept_out, 8);
          Must(f.store->AddPrincipal(
              f.admin, {PrincipalId("val-1"), "val-server", "val-1", f.client.spki, "CN=val-1", 0}));
        }
        Hunters::Await(hunters.kept_out, 8);
        ++hunters.phase;
        Must(f.store->SetService(f.admin, f.Policy(true)));
        break;
      }
      case 2: {  // the members of a group; its key is made anew when one goes
        f.SetGroup({{TargetKind::kUser, selector.target}, {TargetKind::kUser, "other"}});
        std::vector<std::string> kids = f.KidsOf(f.Ask(selector));
        f.SetGroup({{TargetKind::kUser, "other"}});
        for (const std::string& own : f.KidsOf(f.Ask(selector))) std::erase(kids, own);
        REQUIRE_FALSE(kids.empty());
        for (const std::string& of_group : kids) rules.Forbid(of_group);
        break;
      }
      case 3: {  // the scheduler ends a version
        const Kid kid(f.KidsOf(f.Ask(selector)).at(0));
        f.clock.Advance(std::chrono::hours(1));
        while (Must(f.store->RunRotation(100)).changes() > 0) {
        }
        rules.Forbid(kid.value() + " active");
        break;
      }
      case 4: {  // a payload comes, and goes
        ProvisionOrder order;
        order.selector = selector;
        order.sent = SecretBytes::CopyOf(AsBytes("a payload"));
        order.granted = true;
        const Provisioned provisioned = Must(f.store->Provision(f.Val1(), order));
        rules.Forbid("no payload of " + selector.target);
        f.Ask(selector);
        rules.Allow("no payload of " + selector.target);
        Must(f.store->RemovePayload(f.admin, provisioned.id));
        break;
      }
      default:  // and nothing at all, so that answers are kept
        Hunters::Await(hunters.given_again, 3);
    }
  }
  hunters.End();
  CHECK(hunters.stale == 0);
  CHECK(hunters.let_in == 0);
}

}  // namespace
}  // namespace skms::keystore
