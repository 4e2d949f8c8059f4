// What the admin API has others approve, asked in memory by several users.
#include <doctest/doctest.h>

#include "tests/token/api_admin/admin_fixture.h"

namespace skms {
namespace {

using nlohmann::json;
using test::AdminFixture;
using test::BodyOf;

constexpr uid_t kAlice = 0;  // the fixture's administrators are root by number; the next is another
constexpr uid_t kBob = 1001;
constexpr gid_t kAdmins = 800;

struct Guarded : AdminFixture {
  explicit Guarded(std::vector<std::string> required = {"destroy", "kek"}) {
    admin::AdminDependencies dependencies{.store = *store,
                                          .module = *module,
                                          .clock = clock,
                                          .access = {kAdmins, false, {}},
                                          .approvals = {std::move(required), {2, 3600}},
                                          .skms_id = "skms-test",
                                          .version = "0.0",
                                          .started = 1'800'000'000,
                                          .healthy = [] { return true; }};
    admin::RegisterAdminApi(guarded, std::move(dependencies));
    Ask("POST", "/admin/v1/services", {{"id", "s"}});
  }
  http::Response As(uid_t user, const std::string& method, const std::string& path,
                    const std::string& body = "") {
    http::Request request;
    request.method = method;
    request.path = path;
    request.body = body;
    http::RequestContext context;
    context.credentials = http::PeerCredentials{1, user, kAdmins};
    return guarded.Handle(request, context);
  }
  /// A version that may be destroyed.
  std::string Deactivated() {
    const json made = BodyOf(As(kAlice, "POST", "/admin/v1/keys/rotate", R"({"service":"s"})"));
    const std::string kid = made.at("kid");
    As(kAlice, "POST", "/admin/v1/keys/" + kid + "/transitions", R"({"action":"deactivate","reason":"r"})");
    return kid;
  }
  std::string StateOf(const std::string& kid) {
    return BodyOf(As(kAlice, "GET", "/admin/v1/keys/" + kid)).at("state");
  }
  void Approve(uid_t user, const json& asked) {
    const std::string id = asked.at("approval").at("id");
    const json body{{"digest", asked.at("approval").at("digest")}};
    CHECK(As(user, "POST", "/admin/v1/approvals/" + id + "/approve", body.dump()).status == 200);
  }
  http::Api guarded{http::Limits{}};
};

constexpr const char* kDestroy = R"({"action":"destroy","reason":"r"})";

TEST_CASE("a key is destroyed once, after another approved exactly that, however it is spelt") {
  Guarded f;
  const std::string kid = f.Deactivated();
  const std::string path = "/admin/v1/keys/" + kid + "/transitions";
  const auto asked = f.As(kAlice, "POST", path, kDestroy);
  REQUIRE(asked.status == 202);
  const json request = BodyOf(asked).at("approval");
  CHECK(request.at("operation") == "POST " + path);
  CHECK(request.at("body") == kDestroy);
  CHECK(f.StateOf(kid) == "deactivated");
  // Members in another order, blanks, an escaped path: the same.
  std::string escaped = "/admin/v1/keys/";
  for (const char c : kid) {
    constexpr const char* kHex = "0123456789ABCDEF";
    escaped += {'%', kHex[(static_cast<unsigned char>(c)) >> 4], kHex[static_cast<unsigned char>(c) & 15]};
  }
  const auto again =
      f.As(kAlice, "POST", escaped + "/transitions", R"({ "reason": "r", "action": "destroy" })");
  REQUIRE(again.status == 202);
  CHECK(BodyOf(again).at("approval").at("id") == request.at("id"));
  f.Approve(kBob, BodyOf(asked));
  // Approved, and asked for by somebody else, or otherwise: not that.
  CHECK(f.As(kBob, "POST", path, kDestroy).status == 202);
  CHECK(f.As(kAlice, "POST", path, R"({"action":"destroy","reason":"other"})").status == 202);
  CHECK(f.StateOf(kid) == "deactivated");
  CHECK(f.As(kAlice, "POST", path, kDestroy).status == 200);
  CHECK(f.StateOf(kid) == "destroyed");
  CHECK(f.As(kAlice, "POST", path, kDestroy).status == 409);
}

TEST_CASE("what changes nothing, or could not be done, needs no approval") {
  Guarded f;
  const std::string kid = f.Deactivated();
  const std::string path = "/admin/v1/keys/" + kid + "/transitions";
  CHECK(f.As(kAlice, "POST", path, R"({"action":"destroy","reason":"r","dryRun":true})").status == 200);
  CHECK(f.StateOf(kid) == "deactivated");
  CHECK(f.As(kAlice, "POST", path, R"({"action":"destroy"})").status == 400);
  CHECK(f.As(kAlice, "POST", "/admin/v1/keys/none/transitions", kDestroy).status == 404);
  CHECK(f.As(kAlice, "POST", path, "{").status == 400);
  CHECK(BodyOf(f.As(kAlice, "GET", "/admin/v1/approvals")).at("approvals").empty());
}

TEST_CASE("a kind that is not asked for is done at once") {
  Guarded keks({"kek"});
  const std::string other = keks.Deactivated();
  CHECK(keks.As(kAlice, "POST", "/admin/v1/keys/" + other + "/transitions", kDestroy).status == 200);
}

TEST_CASE("a policy under which versions are destroyed is a destruction") {
  Guarded f;
  const auto put = [&](std::uint32_t kept) {
    json service = BodyOf(f.As(kAlice, "GET", "/admin/v1/services/s"));
    service["versionsKept"] = kept;
    return f.As(kAlice, "PUT", "/admin/v1/services/s", service.dump());
  };
  const auto asked = put(5);
  REQUIRE(asked.status == 202);
  CHECK(BodyOf(asked).at("approval").at("kind") == "destroy");
  f.Approve(kBob, BodyOf(asked));
  CHECK(put(5).status == 204);
  CHECK(put(5).status == 204);  // nothing changes
  CHECK(put(6).status == 204);
  CHECK(put(0).status == 204);
  CHECK(put(5).status == 202);
}

TEST_CASE("what was approved and could not be done may be done under the same approval") {
  Guarded f;
  const auto asked = f.As(kAlice, "POST", "/admin/v1/token-keys/retire");
  REQUIRE(asked.status == 202);
  f.Approve(kBob, BodyOf(asked));
  for (int i = 0; i < 2; ++i) CHECK(f.As(kAlice, "POST", "/admin/v1/token-keys/retire").status == 409);
  const std::string id = BodyOf(asked).at("approval").at("id");
  CHECK(BodyOf(f.As(kAlice, "GET", "/admin/v1/approvals/" + id)).at("state") == "approved");
}

TEST_CASE("nobody approves or withdraws what is not his to, and the digest must be the one he saw") {
  Guarded f;
  const json request = BodyOf(f.As(kAlice, "POST", "/admin/v1/token-keys/rotate")).at("approval");
  const std::string path = "/admin/v1/approvals/" + request.at("id").get<std::string>();
  const std::string digest = json{{"digest", request.at("digest")}}.dump();
  const auto own = f.As(kAlice, "POST", path + "/approve", digest);
  CHECK(own.status == 403);
  CHECK(BodyOf(own).at("cause") == "permission-denied");
  CHECK(f.As(kBob, "POST", path + "/approve", R"({"digest":"0"})").status == 412);
  CHECK(f.As(kBob, "POST", path + "/approve", "{}").status == 400);
  CHECK(f.As(kBob, "POST", path + "/withdraw").status == 403);
  CHECK(f.As(kBob, "POST", "/admin/v1/approvals/apr-0000000000000000/approve", digest).status == 404);
  CHECK(f.As(kBob, "POST", path + "/refuse", digest).status == 200);
  CHECK(f.As(kBob, "POST", path + "/approve", digest).status == 409);
  CHECK(f.As(kAlice, "POST", path + "/withdraw").status == 409);
}

}  // namespace
}  // namespace skms
