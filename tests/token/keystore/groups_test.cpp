// Groups: who sees which version of the group's key after every change of its members.
#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore {
namespace {

using namespace test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words

GroupMember User(const std::string& id) { return {TargetKind::kUser, id}; }
GroupMember Ue(const std::string& id) { return {TargetKind::kUe, id}; }

class Groups : public StoreFixture {
 public:
  explicit Groups(JoinPolicy join = JoinPolicy::kFromCurrent) {
    static const Client group_server;
    static const Client other_server;
    for (const auto& [id, key] : {std::pair("gms-1", &group_server), std::pair("gms-2", &other_server)})
      Must(store->AddPrincipal(admin, {PrincipalId(id), "group-server", id, key->spki, "CN=gms", 0}));
    gms = {PrincipalId("gms-1"), group_server.spki, "req-g"};
    other_gms = {PrincipalId("gms-2"), other_server.spki, "req-o"};
    for (const char* id : {"s", "t"}) {
      Service service = ServiceNamed(id);
      service.scopes.push_back(TargetKind::kGroup);
      service.group_servers = {PrincipalId("gms-1")};
      service.join = join;
      id == std::string("s") ? Must(store->SetService(admin, service))
                             : Must(store->AddService(admin, service));
    }
  }

  GroupChanged Put(const std::vector<GroupMember>& members,
                   const std::vector<std::string>& services = {"s"}) {
    GroupDocument document{GroupId("g"), {}, members};
    for (const std::string& id : services) document.services.emplace_back(id);
    GroupChanged changed = Must(store->PutGroup(gms, document, {revision}));
    revision = changed.record.revision;
    return changed;
  }
  Result<GroupChanged> TryPut(const std::vector<GroupMember>& members, std::optional<std::int64_t> at,
                              const std::string& service = "s") {
    return store->PutGroup(gms, {GroupId("g"), {ValServiceId(service)}, members}, {at});
  }
  /// Version numbers of the group's key that a member gets.
  std::set<std::uint32_t> Sees(const GroupMember& member, const std::string& service = "s") {
    const auto answer = store->Deliver(Val1(), {ValServiceId(service), member.kind, member.id});
    std::set<std::uint32_t> seen;
    if (answer.has_error()) return seen;
    for (const DeliveredVersion& key : answer.value().keys) {
      if (key.version.selector.kind == TargetKind::kGroup) seen.insert(key.version.version);
    }
    return seen;
  }

  Requester gms;
  Requester other_gms;
  std::optional<std::int64_t> revision;
};

using Seen = std::set<std::uint32_t>;

}  // namespace

TEST_CASE("members get their group's key with their own, and others do not") {
  Groups f;
  const GroupChanged made = f.Put({User("alice"), Ue("drone-7")});
  CHECK(made.created);
  CHECK_FALSE(made.rekeyed);
  REQUIRE(made.keys.size() == 1);
  const auto keys = Must(f.store->Deliver(f.Val1(), ForUser("alice"))).keys;
  REQUIRE(keys.size() == 2);
  CHECK(keys[0].version.selector.kind == TargetKind::kUser);
  CHECK(keys[1].version.kid == made.keys[0].kid);
  CHECK(keys[1].version.selector.target == "g");
  CHECK(keys[1].wrapped.has_value());
  CHECK(f.Sees(Ue("drone-7")) == Seen{1});
  CHECK(f.Sees(User("drone-7")).empty());
  CHECK(f.Sees(User("bob")).empty());
  CHECK(f.Sees(User("alice"), "t").empty());
  CHECK(f.store->Deliver(f.Val1(), {ValServiceId("s"), TargetKind::kGroup, "g"}).error().code ==
        ErrorCode::kPermissionDenied);
}

TEST_CASE(
    "a member who is removed gets nothing newer than what he had, and the key is new before the answer") {
  Groups f;
  f.Put({User("alice"), User("mallory")});
  CHECK(f.Sees(User("mallory")) == Seen{1});
  const GroupChanged changed = f.Put({User("alice")});
  CHECK(changed.rekeyed);
  REQUIRE(changed.keys.size() == 1);
  CHECK(changed.keys[0].version == 2);
  CHECK(f.Sees(User("mallory")).empty());
  CHECK(f.Sees(User("alice")) == Seen{1, 2});
  CHECK(Must(f.store->ShowKey(changed.keys[0].kid)).state == KeyState::kActive);
  CHECK(f.Number("SELECT count(*) FROM key_versions WHERE target = 'g' AND state = 'active'") == 1);
  // Nor after he is let in again does he see what was said meanwhile.
  f.Put({User("alice")});
  Must(f.store->RekeyGroup(f.gms, GroupId("g"), "drill", {}));
  f.Put({User("alice"), User("mallory")});
  CHECK(f.Sees(User("mallory")) == Seen{3});
  CHECK(f.Sees(User("alice")) == Seen{1, 2, 3});
}

TEST_CASE("a removal also drops the version that was made ahead, which the removed one may hold") {
  Groups f;
  Service service = Must(f.store->FindService(ValServiceId("s")));
  service.rotation = {30 * kDaySeconds, 0, 7 * kDaySeconds, 0};
  Must(f.store->SetService(f.admin, service));
  f.Put({User("alice"), User("mallory")});
  f.clock.Advance(std::chrono::hours(24 * 24));
  CHECK(Must(f.store->RunRotation(10)).made >= 1);
  CHECK(f.Sees(User("mallory")) == Seen{1, 2});
  f.Put({User("alice")});
  CHECK(f.Sees(User("alice")) == Seen{1, 3});
  CHECK(f.Number(
            "SELECT count(*) FROM key_versions WHERE target = 'g' AND version = 2 AND state = 'destroyed'") ==
        1);
}

TEST_CASE("who joins sees the key from then on; the policy may show him all, or make a new one") {
  struct Row {
    JoinPolicy join;
    Seen newcomer;
    Seen member;
  };
  for (const Row& row :
       {Row{JoinPolicy::kFromCurrent, {2}, {1, 2}}, Row{JoinPolicy::kAllVersions, {1, 2}, {1, 2}},
        Row{JoinPolicy::kRekey, {3}, {1, 2, 3}}}) {
    CAPTURE(Name(row.join));
    Groups f(row.join);
    f.Put({User("alice")});
    Must(f.store->RekeyGroup(f.gms, GroupId("g"), "drill", {}));
    const GroupChanged changed = f.Put({User("alice"), User("bob")});
    CHECK(changed.rekeyed == (row.join == JoinPolicy::kRekey));
    CHECK(f.Sees(User("bob")) == row.newcomer);
    CHECK(f.Sees(User("alice")) == row.member);
    f.Reopen();
    CHECK(f.Sees(User("bob")) == row.newcomer);
  }
}

TEST_CASE("deleting a group ends its key, and who makes it again starts after it") {
  Groups f;
  f.Put({User("alice")});
  const auto planned = Must(f.store->DeleteGroup(f.gms, GroupId("g"), {f.revision}, true));
  CHECK_FALSE(planned.record.deleted);
  CHECK(f.Sees(User("alice")) == Seen{1});
  CHECK(Must(f.store->DeleteGroup(f.gms, GroupId("g"), {f.revision})).record.deleted);
  CHECK(f.Sees(User("alice")).empty());
  CHECK(f.Text("SELECT state FROM key_versions WHERE target = 'g' AND version = 1") == "deactivated");
  CHECK(f.store->ShowGroup(f.gms, GroupId("g")).error().code == ErrorCode::kNotFound);
  CHECK(f.store->DeleteGroup(f.gms, GroupId("g"), {f.revision}).error().code == ErrorCode::kNotFound);
  f.revision.reset();
  CHECK(f.Put({User("alice")}).created);
  CHECK(f.Sees(User("alice")) == Seen{3});
}

TEST_CASE("an earlier group of the same id keeps its keys to itself, whatever the policy") {
  Groups f(JoinPolicy::kAllVersions);
  f.Put({User("alice")});
  Must(f.store->DeleteGroup(f.gms, GroupId("g"), {f.revision}));
  f.revision.reset();
  f.Put({User("bob")});
  CHECK(f.Sees(User("bob")) == Seen{3});
  f.Put({User("bob"), User("carol")});
  CHECK(f.Sees(User("carol")) == Seen{3});
  const auto answers = Must(f.store->DeliverGroup(f.gms, GroupId("g")));
  REQUIRE(answers.at(0).keys.size() == 1);
  CHECK(answers[0].keys[0].version.version == 3);
}

TEST_CASE("the key of a group that is gone is not rotated by the clock") {
  Groups f;
  Service service = Must(f.store->FindService(ValServiceId("s")));
  service.rotation = {30 * kDaySeconds, 0, 0, 0};
  Must(f.store->SetService(f.admin, service));
  f.Put({User("alice")});
  Must(f.store->DeleteGroup(f.gms, GroupId("g"), {f.revision}));
  f.clock.Advance(std::chrono::hours(24 * 400));
  CHECK(Must(f.store->RunRotation(10)).changes() == 0);
  f.revision.reset();
  f.Put({User("alice")});
  f.clock.Advance(std::chrono::hours(24 * 31));
  CHECK(Must(f.store->RunRotation(10)).made == 1);
}

TEST_CASE("each service of a group has a key of its own; one that comes back starts anew") {
  Groups f;
  f.Put({User("alice")}, {"s", "t"});
  CHECK(f.Sees(User("alice"), "s") == Seen{1});
  CHECK(f.Sees(User("alice"), "t") == Seen{1});
  f.Put({User("alice")}, {"s"});
  CHECK(f.Sees(User("alice"), "t").empty());
  f.Put({User("alice"), User("bob")}, {"s", "t"});
  CHECK(f.Sees(User("bob"), "t") == f.Sees(User("alice"), "t"));
  CHECK(f.Sees(User("alice"), "t").count(1) == 0);
  CHECK(f.Sees(User("alice"), "s") == Seen{1});
}

TEST_CASE("a change that names no revision, or an old one, is refused and changes nothing") {
  Groups f;
  f.Put({User("alice")});
  CHECK(f.TryPut({User("bob")}, std::nullopt).error().code == ErrorCode::kPreconditionRequired);
  CHECK(f.TryPut({User("bob")}, 99).error().code == ErrorCode::kPreconditionFailed);
  CHECK(f.store->DeleteGroup(f.gms, GroupId("g"), {}).error().code == ErrorCode::kPreconditionRequired);
  CHECK(f.store->PutGroup(f.gms, {GroupId("new"), {ValServiceId("s")}, {User("x")}}, {1}).error().code ==
        ErrorCode::kPreconditionFailed);
  CHECK(f.Sees(User("alice")) == Seen{1});
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'group.put' AND outcome = 'refused'") == 3);
  const GroupChanged same = f.Put({User("alice")});
  CHECK(same.record.revision == 1);
  CHECK_FALSE(same.rekeyed);
}

TEST_CASE("of two concurrent changes one is told that it came second, and no removal is lost") {
  Groups f;
  f.Put({User("alice"), User("bob"), User("carol")});
  std::optional<Result<GroupChanged>> first;
  std::optional<Result<GroupChanged>> second;
  std::thread one([&] { first = f.TryPut({User("alice"), User("bob")}, 1); });
  std::thread two([&] { second = f.TryPut({User("bob"), User("carol")}, 1); });
  one.join();
  two.join();
  CHECK(first->has_value() != second->has_value());
  const auto& refused = first->has_value() ? *second : *first;
  CHECK(refused.error().code == ErrorCode::kPreconditionFailed);
  CHECK(f.Sees(User(first->has_value() ? "carol" : "alice")).empty());
  CHECK(f.Sees(User("bob")) == Seen{1, 2});
}

TEST_CASE("what is no group document is refused") {
  Groups f;
  const auto code = [&](const std::vector<GroupMember>& members, const std::string& service = "s") {
    const auto put = f.TryPut(members, std::nullopt, service);
    REQUIRE(put.has_error());
    return put.error().code;
  };
  CHECK(code({}) == ErrorCode::kInvalidArgument);
  CHECK(code({User("a"), User("a")}) == ErrorCode::kInvalidArgument);
  CHECK(code({User("")}) == ErrorCode::kInvalidArgument);
  CHECK(code({{TargetKind::kClient, "c"}}) == ErrorCode::kInvalidArgument);
  CHECK(code({User("a")}, "unknown") == ErrorCode::kInvalidArgument);
  std::vector<GroupMember> many;
  for (std::size_t i = 0; i <= kMaxGroupMembers; ++i) many.emplace_back(User("u" + std::to_string(i)));
  CHECK(code(many) == ErrorCode::kInvalidArgument);
  CHECK(f.Number("SELECT count(*) FROM val_groups") == 0);
}

TEST_CASE("another group server sees no group that is not wholly his") {
  Groups f;
  f.Put({User("alice")}, {"s", "t"});
  Service service = Must(f.store->FindService(ValServiceId("s")));
  service.group_servers.emplace_back("gms-2");
  Must(f.store->SetService(f.admin, service));
  const GroupId id("g");
  CHECK(f.store->ShowGroup(f.other_gms, id).error().code == ErrorCode::kNotFound);
  CHECK(f.store->DeliverGroup(f.other_gms, id).error().code == ErrorCode::kNotFound);
  CHECK(f.store->RekeyGroup(f.other_gms, id, "x", {}).error().code == ErrorCode::kNotFound);
  CHECK(f.store->DeleteGroup(f.other_gms, id, {f.revision}).error().code == ErrorCode::kNotFound);
  CHECK(f.store->PutGroup(f.other_gms, {id, {ValServiceId("s")}, {User("mallory")}}, {f.revision})
            .error()
            .code == ErrorCode::kNotFound);
  CHECK(f.store->PutGroup(f.Val1(), {GroupId("h"), {ValServiceId("s")}, {User("x")}}, {}).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(f.Sees(User("alice")) == Seen{1});
}

TEST_CASE("the group server gets the keys of each service, wrapped for itself") {
  Groups f;
  f.Put({User("alice")}, {"s", "t"});
  const auto answers = Must(f.store->DeliverGroup(f.gms, GroupId("g")));
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].service->id.value() == "s");
  REQUIRE(answers[1].keys.size() == 1);
  CHECK(answers[1].keys[0].wrapped.has_value());
  CHECK(f.Number("SELECT count(*) FROM audit WHERE action = 'deliver' AND actor = 'gms-1'") == 2);
}

TEST_CASE("ten thousand members are one transaction, and one who leaves is one rekey") {
  Groups f;
  std::vector<GroupMember> members;
  for (std::size_t i = 0; i < kMaxGroupMembers; ++i) members.emplace_back(User("user-" + std::to_string(i)));
  f.Put(members);
  CHECK(f.Number("SELECT count(*) FROM group_members") == 10000);
  CHECK(f.Sees(User("user-9999")) == Seen{1});
  members.pop_back();
  CHECK(f.Put(members).keys.size() == 1);
  CHECK(f.Sees(User("user-9999")).empty());
  CHECK(f.Sees(User("user-5")) == Seen{1, 2});
  f.Put({User("user-5")});
  CHECK(f.Number("SELECT count(*) FROM group_members") == 1);
  CHECK(f.Sees(User("user-5")) == Seen{1, 2, 3});
}

TEST_CASE("members who were written into the database by hand get nothing") {
  for (const std::string edit : {"INSERT INTO group_members VALUES ('g', 0, 'user', 'mallory', '')",
                                 "UPDATE group_members SET member = 'mallory' WHERE member = 'bob'",
                                 "UPDATE group_members SET since = '' WHERE member = 'late'"}) {
    CAPTURE(edit);
    Groups f;
    f.Put({User("alice"), User("bob")});
    Must(f.store->RekeyGroup(f.gms, GroupId("g"), "drill", {}));
    f.Put({User("alice"), User("bob"), User("late")});
    f.Tamper(edit);
    const std::string asked = edit.find("late") != std::string::npos ? "late" : "mallory";
    CHECK(f.store->Deliver(f.Val1(), ForUser(asked)).error().code == ErrorCode::kIntegrity);
    CHECK(f.store->ShowGroup(f.gms, GroupId("g")).error().code == ErrorCode::kIntegrity);
  }
}

TEST_CASE("a removed member's rows and the group's put back by hand do not open the newer key") {
  Groups f;
  f.Put({User("alice"), User("mallory")});
  const std::string digests = f.Text("SELECT digests FROM val_groups");
  const std::string mac = f.Text("SELECT mac FROM val_groups");
  f.Put({User("alice")});
  f.Tamper("UPDATE val_groups SET revision = 1, members = 2, digests = '" + digests + "', mac = '" + mac +
           "'");
  f.Tamper("INSERT INTO group_members VALUES ('g', 0, 'user', 'mallory', '')");
  CHECK(f.store->Deliver(f.Val1(), ForUser("mallory")).error().code == ErrorCode::kIntegrity);
}

}  // namespace skms::keystore
