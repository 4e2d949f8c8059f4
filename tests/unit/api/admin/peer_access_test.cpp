#include "api/admin/peer_access.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

namespace skms {

using admin::MayAdminister;

namespace {

constexpr uid_t kDaemon = 990;
constexpr gid_t kAdmins = 800;

http::PeerCredentials Peer(uid_t uid, gid_t gid) { return {1234, uid, gid}; }

std::vector<gid_t> NoGroups(uid_t /*user*/, gid_t /*primary*/) { return {}; }
/// User 1000 is in the group, 1001 is in others.
std::vector<gid_t> SomeGroups(uid_t user, gid_t primary) {
  return user == 1000 ? std::vector<gid_t>{primary, kAdmins} : std::vector<gid_t>{primary, 20, 801};
}

}  // namespace

TEST_CASE("Who may administer follows user, primary group and supplementary groups") {
  struct Row {
    uid_t uid;
    gid_t gid;
    bool without_group;
    bool with_group;
  };
  constexpr Row kRows[] = {
      {0, 0, true, true},                 // root
      {0, 5000, true, true},              // root in another group
      {kDaemon, 990, true, true},         // the daemon's own user
      {1000, 1000, false, true},          // a member by supplementary group
      {1001, 1001, false, false},         // a member of other groups
      {1002, kAdmins, false, true},       // a member by primary group
      {65534, 65534, false, false},       // nobody
      {4294967295U, 1001, false, false},  // an unmapped user
  };
  for (const Row& row : kRows) {
    CAPTURE(row.uid);
    CAPTURE(row.gid);
    CHECK(MayAdminister(Peer(row.uid, row.gid), kDaemon, std::nullopt, SomeGroups) == row.without_group);
    CHECK(MayAdminister(Peer(row.uid, row.gid), kDaemon, kAdmins, SomeGroups) == row.with_group);
  }
}

TEST_CASE("A peer without credentials may not, whatever is configured") {
  CHECK_FALSE(MayAdminister(std::nullopt, kDaemon, std::nullopt, SomeGroups));
  CHECK_FALSE(MayAdminister(std::nullopt, 0, 0, SomeGroups));
}

TEST_CASE("A user whose groups cannot be looked up may not") {
  CHECK_FALSE(MayAdminister(Peer(1000, 1000), kDaemon, kAdmins, NoGroups));
}

TEST_CASE("The host's user database gives a known user's groups, and none for an unknown one") {
  const std::vector<gid_t> groups = admin::GroupsOfUser(0, 0);
  CHECK(std::find(groups.begin(), groups.end(), 0) != groups.end());
  CHECK(admin::GroupsOfUser(3'999'999'999U, 12).empty());
}

}  // namespace skms
