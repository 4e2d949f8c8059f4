// Whole requests to the reference points of SEAL, by clients whose credentials are good: their bodies, fields
// and targets are what is hostile. A SoftHSM2 token and a key store stand behind.
//
// An input is "METHOD target", then fields, an empty line and a body, with single line feeds.
#include <nlohmann/json.hpp>

#include "api/auth/authenticator.h"
#include "api/seal/event_subscriptions.h"
#include "api/seal/key_provisioning.h"
#include "api/seal/km_s.h"
#include "api/seal/km_uu.h"
#include "api/seal/seal_x1.h"
#include "tests/fuzz/credentials.h"
#include "tests/fuzz/property.h"
#include "tests/support/manual_clock.h"
#include "tests/token/soft_token.h"

namespace skms::fuzz {
namespace {

using keystore::TargetKind;
using nlohmann::json;

const char* const kRoot = "https://skms.test";

template <class T>
T Must(Result<T> result) {
  if (result.has_error()) Require(false, "the server is set up", result.error().Describe());
  return std::move(result).value();
}

/// Clients with RSA keys are VAL servers, those with EC keys group servers.
class TwoClients final : public auth::Directory {
 public:
  std::optional<auth::DirectoryPrincipal> FindPrincipal(ByteView spki_sha256) const override {
    const auto is = [&](EVP_PKEY* key) {
      const Sha256Digest digest = Sha256(SpkiOf(key));
      return std::equal(digest.begin(), digest.end(), spki_sha256.begin(), spki_sha256.end());
    };
    if (is(RsaKey())) return auth::DirectoryPrincipal{"val-1", "val-server", "c"};
    if (is(EcKey())) return auth::DirectoryPrincipal{"gms-1", "group-server", "c"};
    return std::nullopt;
  }
  std::vector<auth::DirectoryIssuer> Issuers() const override {
    return {{"sim-s",
             "https://sim-s",
             "skms",
             IssuerJwks(),
             {"services", "user", "ue", "client", "SKeyProv", {"true"}}}};
  }
  std::uint64_t IssuersVersion() const override { return 1; }
  bool RefreshKeys(const std::string& /*issuer_id*/) override { return false; }
};

class Server {
 public:
  Server() {
    const keystore::StoreOptions options{token_.directory() + "/skms.db", 0};
    Require(keystore::KeyStore::Initialise(options, *module_, clock_).has_value(), "the key store is made");
    store_ = Must(keystore::KeyStore::Open(options, *module_, clock_));
    const keystore::Requester admin{keystore::PrincipalId("admin:0"), {}, "fuzz"};
    for (const auto& [id, role, key] :
         {std::tuple("val-1", "val-server", RsaKey()), std::tuple("gms-1", "group-server", EcKey())})
      Require(store_->AddPrincipal(admin, {keystore::PrincipalId(id), role, "c", SpkiOf(key), "CN=c", 0})
                  .has_value(),
              "a principal is enrolled");
    keystore::Issuer issuer{keystore::IssuerId("sim-s"), "https://sim-s", "skms", IssuerJwks()};
    issuer.profile.services_claim = "services";
    Require(store_->AddIssuer(admin, issuer).has_value(), "an issuer is enrolled");
    keystore::Service service;
    service.id = keystore::ValServiceId("s");
    service.scopes = {TargetKind::kService, TargetKind::kUser, TargetKind::kUe, TargetKind::kClient,
                      TargetKind::kGroup};
    service.readers = {keystore::PrincipalId("val-1")};
    service.group_servers = {keystore::PrincipalId("gms-1")};
    service.max_records = 200;
    service.access.provisioners = {keystore::PrincipalId("val-1")};
    service.access.ue_issuers = {keystore::IssuerId("sim-s")};
    service.access.ue_service_key = true;
    const Status added = store_->AddService(admin, service);
    Require(added.has_value(), "a service is enrolled", added.has_error() ? added.error().Describe() : "");
    Register();
  }

  http::Response Answer(const http::Request& request, bool group_server) {
    http::RequestContext context;
    context.transport = http::TransportKind::kDirectTls;
    context.certificate = http::PeerCertificate{group_server ? group_certificate_ : val_certificate_};
    context.peer_address = "127.0.0.1";
    return api_.Handle(request, context);
  }
  const std::string& token() const { return access_token_; }

 private:
  void Register() {
    const seal::SealDependencies dependencies{*store_, authenticator_, clock_};
    const auto reception = [](const char* action) {
      return seal::ReceptionOptions{kRoot, "all", 5000, action};
    };
    seal::RegisterKmS(api_, "skms-1", reception("deliver"), dependencies);
    seal::RegisterKmUu(api_, {"skms-1", {}}, reception("deliver"), dependencies);
    seal::RegisterSealX1(api_, "skms-1", reception("group"), dependencies);
    seal::RegisterEventSubscriptions(api_, reception("subscription"), dependencies);
    const auto transfer_keys = [] { return seal::TransferKeys{{1}, "RSA-OAEP"}; };
    seal::RegisterKeyProvisioning(api_, {.skms_id = "skms-1", .transfer_keys = transfer_keys},
                                  reception("provision"), dependencies);
  }

  test::SoftToken token_;
  test::ManualClock clock_;
  std::unique_ptr<hsm::CryptoModule> module_ = token_.Provision();
  std::unique_ptr<keystore::KeyStore> store_;
  TwoClients directory_;
  auth::Authenticator authenticator_{directory_, clock_, {30, 1e12, 1e12, 1e12, 1e12}};
  http::Api api_{http::Limits{}};
  const Bytes val_certificate_ = CertificateOf(RsaKey(), 1);
  const Bytes group_certificate_ = CertificateOf(EcKey(), 2);
  const std::string access_token_ = Signed(
      R"({"alg":"ES256","kid":"e"})",
      R"({"iss":"https://sim-s","aud":"skms","client_id":"c","scope":"all","exp":1900000000,"services":["s"],)"
      R"("user":"u","ue":"d","client":"k","SKeyProv":true})",
      EcKey());
};

http::Request ReadRequest(std::string_view input, const std::string& token) {
  http::Request request;
  std::string_view line = TakeUntil(input, '\n');
  request.method = TakeUntil(line, ' ');
  request.path = TakeUntil(line, '?');
  request.query = line;
  while (!input.empty()) {
    std::string_view field = TakeUntil(input, '\n');
    if (field.empty()) break;
    const std::string_view name = TakeUntil(field, ':');
    if (!field.empty() && field.front() == ' ') field.remove_prefix(1);
    request.headers.Add(std::string(name), std::string(field));
  }
  request.body = input;
  for (const auto& [name, value] :
       {std::pair("Host", std::string("skms.test")), std::pair("Authorization", "Bearer " + token)})
    if (request.headers.Count(name) == 0) request.headers.Add(name, value);
  return request;
}

void CheckAnswer(const http::Response& response, std::string_view input) {
  const std::string seen =
      std::to_string(response.status) + " " + response.body + " to " + std::string(input);
  const bool known_method = response.status != 501;
  Require(response.status >= 200 && (response.status < 500 || !known_method),
          "no request is the server's failure", seen);
  const std::string* type = response.headers.Find("Content-Type");
  if (response.status < 400) {
    Require(response.body.empty() ||
                (type != nullptr && *type == "application/json" && json::accept(response.body)),
            "an answer is JSON", seen);
    return;
  }
  Require(type != nullptr && *type == "application/problem+json", "a refusal is problem+json", seen);
  const json problem = json::parse(response.body, nullptr, false);
  Require(problem.is_object() && problem["status"] == response.status && problem["title"].is_string(),
          "a refusal tells its status", seen);
  Require(problem.contains("detail") && !problem["detail"].get<std::string>().empty(), "a refusal says why",
          seen);
}

void CheckSealApi(std::string_view input) {
  static Server server;
  const http::Request request = ReadRequest(input, server.token());
  const bool group_server = request.path.rfind("/seal-x1/", 0) == 0;
  CheckAnswer(server.Answer(request, group_server), input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(seal_api, skms::fuzz::CheckSealApi)
