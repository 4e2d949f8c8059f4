#include <doctest/doctest.h>

#include "tests/token/api_admin/admin_fixture.h"

namespace skms {

using nlohmann::json;
using test::AdminFixture;
using test::BodyOf;

TEST_CASE("A refused change is in the audit chain, with what was asked") {
  AdminFixture f;
  const auto before = f.store->Audit().value().entries;
  CHECK(f.Ask("DELETE", "/admin/v1/services/none").status == 404);
  CHECK(f.store->Audit().value().entries == before + 1);
  CHECK(f.Ask("GET", "/admin/v1/services/none").status == 404);
  CHECK(f.store->Audit().value().entries == before + 1);
}

TEST_CASE("Whoever is neither root nor the daemon's user gets 403 on every resource, and it is audited") {
  AdminFixture fixture;
  const auto before = fixture.store->Audit().value().entries;
  const http::PeerCredentials stranger{1, 4'000'000, 4'000'000};
  int asked = 0;
  for (const auto& [method, asked_path] :
       {std::pair("GET", "/healthz"), std::pair("GET", "/readyz"), std::pair("GET", "/admin/v1/status"),
        std::pair("GET", "/admin/v1/services"), std::pair("POST", "/admin/v1/services"),
        std::pair("PUT", "/admin/v1/services/s"), std::pair("DELETE", "/admin/v1/services/s"),
        std::pair("POST", "/admin/v1/principals"), std::pair("POST", "/admin/v1/recipients"),
        std::pair("POST", "/admin/v1/issuers"), std::pair("GET", "/admin/v1/keys"),
        std::pair("GET", "/admin/v1/keys/k"), std::pair("POST", "/admin/v1/keys/rotate"),
        std::pair("GET", "/admin/v1/token"), std::pair("GET", "/admin/v1/transfer-key"),
        std::pair("GET", "/admin/v1/audit/verification")}) {
    const std::string path = asked_path;  // clang 14 captures no structured binding
    CAPTURE(path);
    const auto refused = fixture.Ask(method, path, {{"id", "s"}}, stranger);
    CHECK(refused.status == 403);
    CHECK(BodyOf(refused)["cause"] == "not-an-administrator");
    CHECK(fixture.Ask(method, path, {{"id", "s"}}, std::nullopt).status == 403);
    asked += 2;
  }
  CHECK(fixture.store->Services().empty());
  CHECK(fixture.store->Audit().value().entries == before + asked);
}

TEST_CASE("A service is added, shown, changed and removed") {
  AdminFixture fixture;
  const auto added =
      fixture.Ask("POST", "/admin/v1/services", {{"id", "uav.c2"}, {"scopes", {"service", "user"}}});
  CHECK(added.status == 201);
  CHECK(BodyOf(added)["profile"] == "aes-256");

  json service = BodyOf(fixture.Ask("GET", "/admin/v1/services/uav.c2"));
  CHECK(service["scopes"] == json{"service", "user"});
  service["generateOnRequest"] = false;
  CHECK(fixture.Ask("PUT", "/admin/v1/services/uav.c2", service).status == 204);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/services/uav.c2")) == service);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/services"))["services"] == json::array({service}));

  CHECK(fixture.Ask("DELETE", "/admin/v1/services/uav.c2").status == 204);
  CHECK(fixture.Ask("GET", "/admin/v1/services/uav.c2").status == 404);
  CHECK(fixture.Ask("DELETE", "/admin/v1/services/uav.c2").status == 404);
}

TEST_CASE("A service's id may hold any characters, percent-encoded in its path") {
  AdminFixture fixture;
  CHECK(fixture.Ask("POST", "/admin/v1/services", {{"id", "a/b ü"}}).status == 201);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/services/a%2Fb%20%C3%BC"))["id"] == "a/b ü");
}

TEST_CASE("Adding what is there is 409, and a service may not be renamed by its body") {
  AdminFixture fixture;
  CHECK(fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}}).status == 201);
  const auto again = fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}});
  CHECK(again.status == 409);
  CHECK(BodyOf(again)["cause"] == "already-exists");
  const auto other = fixture.Ask("PUT", "/admin/v1/services/s", {{"id", "t"}});
  CHECK(other.status == 400);
  CHECK(BodyOf(other)["invalidParams"][0]["param"] == "/id");
  CHECK(fixture.Ask("PUT", "/admin/v1/services/t", {{"id", "t"}}).status == 404);
}

TEST_CASE("Bodies that are not strict JSON are 400 and change nothing") {
  AdminFixture fixture;
  for (const char* body : {"", "{", "[]", R"({"id":"s","id":"t"})", "{\"id\":\"\xff\"}", R"({"id":"s"}x)",
                           R"({"id":"s","policy":"open"})", R"({"id":""})", R"({"id":5})"}) {
    CAPTURE(body);
    const auto answer = fixture.AskText("POST", "/admin/v1/services", body);
    CHECK(answer.status == 400);
    CHECK(*answer.headers.Find("Content-Type") == "application/problem+json");
  }
  CHECK(fixture.store->Services().empty());
}

TEST_CASE("A wrong member is named in invalidParams and in the detail") {
  AdminFixture fixture;
  const json problem = BodyOf(fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}, {"delivery", "mail"}}));
  REQUIRE(problem["invalidParams"].size() == 1);
  CHECK(problem["invalidParams"][0]["param"] == "/delivery");
  CHECK(problem["detail"].get<std::string>().find("wrapped, tls") != std::string::npos);
}

TEST_CASE("Rotation makes the next version, and the list and the entry show it without material") {
  AdminFixture fixture;
  fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}, {"scopes", {"service", "user"}}});
  const auto first = fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}});
  const auto second = fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}});
  CHECK(first.status == 201);
  CHECK(BodyOf(second)["version"] == 2);
  CHECK(fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}, {"userId", "u"}}).status == 201);

  const auto list = fixture.Ask("GET", "/admin/v1/keys?service=s");
  CHECK(BodyOf(list)["keys"].size() == 3);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/keys?limit=1"))["keys"].size() == 1);
  const json former = BodyOf(fixture.Ask("GET", "/admin/v1/keys/" + BodyOf(first)["kid"].get<std::string>()));
  CHECK(former["state"] == "deactivated");
  for (const char* member : {"wrapped", "wrappedKey", "material", "k", "publicKey"}) {
    CAPTURE(member);
    CHECK_FALSE(former.contains(member));
    CHECK(list.body.find('"' + std::string(member) + '"') == std::string::npos);
  }
}

TEST_CASE("A key is led through its life, and what it may not do is 409 with what it may") {
  AdminFixture fixture;
  fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}, {"scopes", {"service", "user"}}});
  const json made = BodyOf(fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}}));
  const std::string path = "/admin/v1/keys/" + made["kid"].get<std::string>();
  const auto step = [&](const char* action) {
    return fixture.Ask("POST", path + "/transitions", {{"action", action}, {"reason", "drill"}});
  };
  const auto early = step("destroy");
  CHECK(early.status == 409);
  CHECK(BodyOf(early)["detail"].get<std::string>().find("suspend, deactivate, compromise") !=
        std::string::npos);
  const json suspended = BodyOf(step("suspend"));
  CHECK(suspended["state"] == "suspended");
  CHECK(suspended["reason"] == "drill");
  CHECK(suspended.contains("suspended"));
  CHECK(BodyOf(step("compromise"))["released"] == false);
  CHECK(BodyOf(step("release"))["released"] == true);
  CHECK(BodyOf(step("destroy"))["state"] == "destroyed");
  CHECK(step("revive").status == 400);
  CHECK(fixture.Ask("POST", path + "/transitions", {{"action", "destroy"}}).status == 400);
  CHECK(fixture.Ask("POST", "/admin/v1/keys/none/transitions", {{"action", "destroy"}, {"reason", "x"}})
            .status == 404);
}

TEST_CASE("The list filters by state, end and the beginning of a target") {
  AdminFixture fixture;
  fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}, {"scopes", {"service", "user"}}});
  fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}});
  fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}});
  for (const char* user : {"alice", "alan", "bob"})
    fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}, {"userId", user}});
  const auto size = [&](const std::string& query) {
    return BodyOf(fixture.Ask("GET", "/admin/v1/keys?" + query))["keys"].size();
  };
  CHECK(size("state=deactivated") == 1);
  CHECK(size("state=active") == 4);
  CHECK(size("targetPrefix=al") == 2);
  CHECK(size("targetPrefix=al&state=deactivated") == 0);
  CHECK(size("expiringBefore=2099-01-01T00:00:00Z") == 0);  // none of these ends
  CHECK(fixture.Ask("GET", "/admin/v1/keys?state=dead").status == 400);
  CHECK(fixture.Ask("GET", "/admin/v1/keys?expiringBefore=soon").status == 400);
}

TEST_CASE("Rotation outside the policy is refused with the reason") {
  AdminFixture fixture;
  fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}});
  CHECK(fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}, {"ueId", "d"}}).status == 403);
  CHECK(fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "none"}}).status == 404);
  CHECK(fixture.Ask("POST", "/admin/v1/keys/rotate", {{"service", "s"}, {"userId", "u"}, {"ueId", "d"}})
            .status == 400);
  CHECK(fixture.Ask("GET", "/admin/v1/keys/rotate").status == 404);
  CHECK(fixture.Ask("GET", "/admin/v1/keys?limit=0").status == 400);
}

TEST_CASE("Changes are audited under the administrator's number, and the chain verifies") {
  AdminFixture fixture;
  const auto before = fixture.store->Audit().value();
  const http::PeerCredentials own{1, ::geteuid(), 0};
  CHECK(fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}}, own).status == 201);
  const auto after = fixture.store->Audit().value();
  CHECK(after.entries == before.entries + 1);
  const json verified = BodyOf(fixture.Ask("GET", "/admin/v1/audit/verification"));
  CHECK(verified["whole"] == true);
  CHECK(verified["head"] == after.head);
}

TEST_CASE("Status and token tell what runs, and hold no secret") {
  AdminFixture fixture;
  const json status = BodyOf(fixture.Ask("GET", "/admin/v1/status"));
  CHECK(status["skms"] == "skms-test");
  CHECK(status["started"] == "2027-01-15T08:00:00Z");
  CHECK(status["tokenKeys"]["kek"] == 1);
  CHECK(status["token"]["label"] == "skms");
  const auto token = fixture.Ask("GET", "/admin/v1/token");
  CHECK(BodyOf(token)["usable"] == true);
  CHECK(BodyOf(token)["capabilities"].size() >= 10);
  CHECK(token.body.find(std::string(test::SoftToken::kPin)) == std::string::npos);
}

TEST_CASE("Health follows the listeners; readiness also asks token and database") {
  AdminFixture fixture;
  CHECK(fixture.Ask("GET", "/healthz").status == 200);
  CHECK(BodyOf(fixture.Ask("GET", "/readyz"))["status"] == "ready");
  fixture.healthy = false;
  CHECK(fixture.Ask("GET", "/healthz").status == 503);
  CHECK(fixture.Ask("GET", "/readyz").status == 503);
}

TEST_CASE("Another method on a known path is 405 with Allow, another path 404") {
  AdminFixture fixture;
  const auto answer = fixture.Ask("DELETE", "/admin/v1/status");
  CHECK(answer.status == 405);
  CHECK(*answer.headers.Find("Allow") == "GET, HEAD, OPTIONS");
  CHECK(fixture.Ask("GET", "/admin/v1/secrets").status == 404);
}

}  // namespace skms
