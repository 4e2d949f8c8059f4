#include <doctest/doctest.h>
#include <openssl/rsa.h>

#include "base/digest.h"
#include "tests/token/api_admin/admin_fixture.h"

namespace skms {

using nlohmann::json;
using test::AdminFixture;
using test::BodyOf;
using test::Must;

namespace {

/// RSA-OAEP as the daemon asks for it.
Bytes EncryptTo(const json& transfer_key, ByteView plain) {
  const Bytes spki = *FromBase64Url(transfer_key["spki"].get<std::string>());
  const unsigned char* data = spki.data();
  const hsm::PkeyPtr key(d2i_PUBKEY(nullptr, &data, static_cast<long>(spki.size())));
  const EVP_MD* hash = transfer_key["oaepHash"] == "sha256" ? EVP_sha256() : EVP_sha1();
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(key.get(), nullptr), &EVP_PKEY_CTX_free);
  Bytes out(1024);
  std::size_t size = out.size();
  REQUIRE(EVP_PKEY_encrypt_init(context.get()) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) == 1);
  REQUIRE(EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) == 1);
  REQUIRE(EVP_PKEY_encrypt(context.get(), out.data(), &size, plain.data(), plain.size()) == 1);
  out.resize(size);
  return out;
}

}  // namespace

TEST_CASE("A principal is known by its certificate's key, subject and end of validity") {
  AdminFixture fixture;
  const Bytes certificate = test::Certificate(fixture.key.get(), "Prüfer");
  const auto added =
      fixture.Ask("POST", "/admin/v1/principals",
                  {{"id", "val-1"}, {"certificate", ToBase64Url(certificate)}, {"clientId", "c"}});
  REQUIRE(added.status == 201);
  const json principal = BodyOf(fixture.Ask("GET", "/admin/v1/principals"))["principals"][0];
  CHECK(principal == BodyOf(added));
  CHECK(principal["certificateSubject"] == "CN=Prüfer");
  CHECK(principal["clientId"] == "c");
  CHECK(principal["spkiSha256"] == ToBase64Url(Sha256(Must(hsm::PublicSpki(fixture.key.get())))));
  CHECK(principal["certificateNotAfter"].get<std::string>().size() == 20);
}

TEST_CASE("Two principals cannot share a certificate's key, and a role must be known") {
  AdminFixture fixture;
  fixture.AddPrincipal("val-1");
  const std::string same = ToBase64Url(test::Certificate(fixture.key.get(), "other"));
  CHECK(fixture.Ask("POST", "/admin/v1/principals", {{"id", "val-2"}, {"certificate", same}}).status == 409);
  const auto other = Must(hsm::GenerateRsa());
  CHECK(fixture
            .Ask("POST", "/admin/v1/principals",
                 {{"id", "val-2"},
                  {"certificate", ToBase64Url(test::Certificate(other.get(), "x"))},
                  {"role", "emperor"}})
            .status == 400);
}

TEST_CASE("A principal that reads a service cannot be removed; one that reads none can") {
  AdminFixture fixture;
  fixture.AddPrincipal("val-1");
  CHECK(fixture.Ask("POST", "/admin/v1/services", {{"id", "s"}, {"readers", {"val-1"}}}).status == 201);
  const auto refused = fixture.Ask("DELETE", "/admin/v1/principals/val-1");
  CHECK(refused.status == 409);
  CHECK(BodyOf(refused)["detail"].get<std::string>().find("--remove-reader") != std::string::npos);
  CHECK(fixture.Ask("PUT", "/admin/v1/services/s", {{"id", "s"}}).status == 204);
  CHECK(fixture.Ask("DELETE", "/admin/v1/principals/val-1").status == 204);
}

TEST_CASE("A certificate with octets behind it is refused") {
  AdminFixture fixture;
  Bytes certificate = test::Certificate(fixture.key.get(), "x");
  certificate.push_back(0);
  const auto answer =
      fixture.Ask("POST", "/admin/v1/principals", {{"id", "p"}, {"certificate", ToBase64Url(certificate)}});
  CHECK(answer.status == 400);
  CHECK(BodyOf(answer)["invalidParams"][0]["param"] == "/certificate");
}

TEST_CASE("An RSA recipient is tried before it is taken; an EC key is refused by name without the KDF") {
  AdminFixture fixture;
  fixture.AddPrincipal("val-1");
  const hsm::PkeyPtr ec(EVP_EC_gen("P-256"));
  const Bytes ec_spki = Must(hsm::PublicSpki(ec.get()));
  const auto add = [&](const Bytes& spki) {
    return fixture.Ask("POST", "/admin/v1/recipients",
                       {{"id", "r"}, {"principal", "val-1"}, {"publicKey", ToBase64Url(spki)}});
  };
  const auto refused = add(ec_spki);
  CHECK(refused.status == 501);
  CHECK(BodyOf(refused)["cause"] == "unsupported");
  CHECK(BodyOf(refused)["detail"].get<std::string>().find("ECDH with the X9.63 KDF on P-256") !=
        std::string::npos);
  Bytes off_curve = ec_spki;
  off_curve.back() ^= 1U;
  CHECK(add(off_curve).status == 400);
  CHECK(fixture.store->Recipients().empty());
  const Bytes spki = Must(hsm::PublicSpki(fixture.key.get()));
  const json body{{"id", "r"}, {"principal", "val-1"}, {"publicKey", ToBase64Url(spki)}};
  CHECK(fixture.Ask("POST", "/admin/v1/recipients", body).status == 201);
  CHECK(fixture.Ask("POST", "/admin/v1/recipients", body).status == 409);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/recipients"))["recipients"][0]["kind"] == "rsa");
  CHECK(fixture.Ask("DELETE", "/admin/v1/recipients/r").status == 204);
  CHECK(fixture.Ask("DELETE", "/admin/v1/recipients/r").status == 404);
}

TEST_CASE("A transport key comes in encrypted to the token, and never shows again") {
  AdminFixture fixture;
  fixture.AddPrincipal("val-1");
  const json transfer = BodyOf(fixture.Ask("GET", "/admin/v1/transfer-key"));
  const Bytes secret(32, 0x5A);
  const std::string block = ToBase64Url(EncryptTo(transfer, secret));
  const auto added = fixture.Ask("POST", "/admin/v1/recipients",
                                 {{"id", "r"}, {"principal", "val-1"}, {"transportKey", block}});
  REQUIRE(added.status == 201);
  CHECK(BodyOf(added) ==
        json{{"id", "r"}, {"principal", "val-1"}, {"kind", "transport-key"}, {"trusted", false}});
}

TEST_CASE("A transport key of another length, or rubbish, is refused") {
  AdminFixture fixture;
  fixture.AddPrincipal("val-1");
  const json transfer = BodyOf(fixture.Ask("GET", "/admin/v1/transfer-key"));
  for (const std::string& block :
       {ToBase64Url(EncryptTo(transfer, Bytes(16, 1))), ToBase64Url(EncryptTo(transfer, Bytes(33, 1))),
        ToBase64Url(Bytes(384, 7)), ToBase64Url(Bytes(3, 7))}) {
    const auto answer = fixture.Ask("POST", "/admin/v1/recipients",
                                    {{"id", "r"}, {"principal", "val-1"}, {"transportKey", block}});
    CHECK(answer.status == 400);
  }
  CHECK(fixture.store->Recipients().empty());
}

TEST_CASE("An issuer's keys must be public and usable") {
  AdminFixture fixture;
  json jwks = test::JwksOf(fixture.key.get());
  const auto body = [&](const char* id) {
    return json{{"id", id}, {"issuer", "https://sim-s.example"}, {"audience", "skms"}, {"jwks", jwks}};
  };
  CHECK(fixture.Ask("POST", "/admin/v1/issuers", body("sim-s")).status == 201);
  CHECK(fixture.Ask("POST", "/admin/v1/issuers", body("sim-s")).status == 409);
  CHECK(BodyOf(fixture.Ask("GET", "/admin/v1/issuers"))["issuers"][0]["jwks"] == jwks);
  jwks["keys"][0]["d"] = "AAAA";
  const auto refused = fixture.Ask("POST", "/admin/v1/issuers", body("leaky"));
  CHECK(refused.status == 400);
  CHECK(refused.body.find("AAAA") == std::string::npos);
  CHECK(fixture.Ask("DELETE", "/admin/v1/issuers/sim-s").status == 204);
}

}  // namespace skms
