#include "provisioning/pem_file.h"

#include "base/public_key_file.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "base/file.h"
#include "tests/support/skmsctl_run.h"
#include "tests/support/temporary_directory.h"

namespace skms::provisioning {

namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

KeyPtr P256() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

template <class Write>
std::string Pem(Write write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), &BIO_free);
  REQUIRE(write(bio.get()) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Bytes Spki(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  REQUIRE(size > 0);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace

TEST_CASE("A public key is read from PEM and from DER alike") {
  const test::TemporaryDirectory directory;
  const KeyPtr key = P256();
  const std::string pem = Pem([&](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key.get()); });
  REQUIRE(WriteFileAtomically(directory.File("pem"), AsBytes(pem), 0644).has_value());
  REQUIRE(WriteFileAtomically(directory.File("der"), Spki(key.get()), 0644).has_value());
  CHECK(ReadPublicKey(directory.File("pem")).value() == Spki(key.get()));
  CHECK(ReadPublicKey(directory.File("der")).value() == Spki(key.get()));
}

TEST_CASE("A private key is refused where a public one is asked for, and the words say how to mend it") {
  const test::TemporaryDirectory directory;
  const KeyPtr key = P256();
  const std::string pem = Pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  REQUIRE(WriteFileAtomically(directory.File("key"), AsBytes(pem), 0600).has_value());
  const auto read = ReadPublicKey(directory.File("key"));
  REQUIRE(read.has_error());
  CHECK(read.error().code == ErrorCode::kConfiguration);
  CHECK(test::Has(read.error().detail, "-pubout"));
}

TEST_CASE("What can be wrapped to is an RSA key, or an EC key on P-256 or P-384") {
  const auto target = [](EVP_PKEY* made) {
    const KeyPtr key(made, &EVP_PKEY_free);
    return WrapTargetOf(Spki(key.get()));
  };
  CHECK(target(EVP_RSA_gen(2048)) == WrapTarget::kRsa);
  CHECK(target(EVP_EC_gen("P-256")) == WrapTarget::kEc);
  CHECK(target(EVP_EC_gen("P-384")) == WrapTarget::kEc);
  CHECK(target(EVP_EC_gen("P-521")) == WrapTarget::kNone);
  CHECK(WrapTargetOf({}) == WrapTarget::kNone);
}

TEST_CASE("Rubbish, an empty file and a missing file are errors that name the file") {
  const test::TemporaryDirectory directory;
  REQUIRE(WriteFileAtomically(directory.File("rubbish"), AsBytes("hello"), 0644).has_value());
  REQUIRE(WriteFileAtomically(directory.File("empty"), {}, 0644).has_value());
  for (const char* name : {"rubbish", "empty", "missing"}) {
    CAPTURE(name);
    const auto certificate = ReadCertificate(directory.File(name));
    const auto key = ReadPublicKey(directory.File(name));
    REQUIRE(certificate.has_error());
    REQUIRE(key.has_error());
    CHECK(test::Has(certificate.error().detail, directory.File(name)));
    CHECK(test::Has(key.error().detail, directory.File(name)));
  }
}

}  // namespace skms::provisioning
