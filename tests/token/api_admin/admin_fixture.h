// The admin API over a key store on a SoftHSM token of its own, asked in memory; and what an administrator
// brings: keys, certificates, key sets.
#pragma once

#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "api/admin/admin_api.h"
#include "base/encoding.h"
#include "hsm/openssl_keys.h"
#include "tests/support/manual_clock.h"
#include "tests/token/soft_token.h"

namespace skms::test {

/// The value, or the end of the test program with the error's words.
template <class T>
T Must(Result<T> result) {
  if (result.has_value()) return std::move(result).value();
  std::fprintf(stderr, "fixture: %s\n", result.error().Describe().c_str());
  std::abort();
}
inline void Must(const Status& status) {
  if (status.has_value()) return;
  std::fprintf(stderr, "fixture: %s\n", status.error().Describe().c_str());
  std::abort();
}

/// A self-signed certificate in DER.
inline Bytes Certificate(EVP_PKEY* key, const std::string& name) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  if (X509_sign(certificate.get(), key, EVP_sha256()) == 0) std::abort();
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  if (size <= 0) std::abort();
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

inline nlohmann::json JwksOf(EVP_PKEY* rsa_key) {
  const auto numbers = Must(hsm::RsaNumbersFromSpki(Must(hsm::PublicSpki(rsa_key))));
  return {{"keys",
           {{{"kty", "RSA"},
             {"alg", "RS256"},
             {"kid", "1"},
             {"n", ToBase64Url(numbers.modulus)},
             {"e", ToBase64Url(numbers.exponent)}}}}};
}

class AdminFixture {
 public:
  AdminFixture() {
    Must(keystore::KeyStore::Initialise(options(), *module, clock));
    store = Must(keystore::KeyStore::Open(options(), *module, clock));
    admin::RegisterAdminApi(api, {.store = *store,
                                  .module = *module,
                                  .clock = clock,
                                  .access = {},
                                  .skms_id = "skms-test",
                                  .version = "0.0",
                                  .started = 1'800'000'000,
                                  .healthy = [this] { return healthy; }});
  }

  keystore::StoreOptions options() const { return {token.directory() + "/skms.db"}; }

  http::Response Ask(const std::string& method, const std::string& path, const nlohmann::json& body = nullptr,
                     std::optional<http::PeerCredentials> peer = http::PeerCredentials{1, 0, 0}) {
    return AskText(method, path, body.is_null() ? "" : body.dump(), peer);
  }
  http::Response AskText(const std::string& method, const std::string& target, const std::string& body,
                         std::optional<http::PeerCredentials> peer = http::PeerCredentials{1, 0, 0}) {
    http::Request request;
    const std::size_t mark = target.find('?');
    request.method = method;
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    request.body = body;
    http::RequestContext context;
    context.transport = http::TransportKind::kAdmin;
    context.credentials = peer;
    return api.Handle(request, context);
  }
  void AddPrincipal(const std::string& id) {
    const auto answer = Ask("POST", "/admin/v1/principals",
                            {{"id", id}, {"certificate", ToBase64Url(Certificate(key.get(), id))}});
    if (answer.status != 201) std::abort();
  }

  SoftToken token;
  ManualClock clock;
  std::unique_ptr<hsm::CryptoModule> module = token.Provision();
  std::unique_ptr<keystore::KeyStore> store;
  bool healthy = true;
  http::Api api{http::Limits{}};
  hsm::PkeyPtr key = Must(hsm::GenerateRsa());
};

inline nlohmann::json BodyOf(const http::Response& response) {
  return nlohmann::json::parse(response.body, nullptr, false);
}

}  // namespace skms::test
