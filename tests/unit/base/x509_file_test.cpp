#include "base/x509_file.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>

#include "tests/support/temporary_directory.h"

namespace skms {
namespace {

using PkeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

constexpr std::int64_t kFrom = 1700000000;
constexpr std::int64_t kUntil = 1800000000;

PkeyPtr NewKey() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

void AppendCertificate(const std::string& path, const char* name, EVP_PKEY* key, EVP_PKEY* issuer,
                       std::int64_t until) {
  const std::unique_ptr<X509, decltype(&X509_free)> one(X509_new(), &X509_free);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(one.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  ASN1_TIME_set(X509_getm_notBefore(one.get()), kFrom);
  ASN1_TIME_set(X509_getm_notAfter(one.get()), until);
  X509_set_pubkey(one.get(), key);
  REQUIRE(X509_sign(one.get(), issuer, EVP_sha256()) > 0);
  const File file(std::fopen(path.c_str(), "a"), &std::fclose);
  REQUIRE(PEM_write_X509(file.get(), one.get()) == 1);
}

void WriteKey(const std::string& path, EVP_PKEY* key) {
  const File file(std::fopen(path.c_str(), "w"), &std::fclose);
  REQUIRE(PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
}

}  // namespace

TEST_CASE(
    "a file's certificates say until when they are good, whether they follow each other, and whose key is "
    "theirs") {
  const test::TemporaryDirectory directory;
  const PkeyPtr leaf = NewKey();
  const PkeyPtr issuer = NewKey();
  const std::string path = directory.File("chain.pem");
  AppendCertificate(path, "leaf", leaf.get(), issuer.get(), kUntil);
  AppendCertificate(path, "issuer", issuer.get(), issuer.get(), kUntil + 1);
  const auto dates = ReadCertificateDates(path);
  REQUIRE(dates.has_value());
  REQUIRE(dates.value().size() == 2);
  CHECK(dates.value()[0].subject == "CN=leaf");
  CHECK(dates.value()[0].not_before == kFrom);
  CHECK(dates.value()[0].not_after == kUntil);
  CHECK(dates.value()[1].not_after == kUntil + 1);
  CHECK(CheckChainOrder(path).has_value());

  WriteKey(directory.File("leaf.key"), leaf.get());
  WriteKey(directory.File("other.key"), issuer.get());
  CHECK(CheckKeyBelongs(path, directory.File("leaf.key")).has_value());
  CHECK(CheckKeyBelongs(path, directory.File("other.key")).error().code == ErrorCode::kConfiguration);
  CHECK(CheckKeyBelongs(path, directory.File("none.key")).error().code == ErrorCode::kIo);

  const std::string wrong = directory.File("wrong.pem");
  AppendCertificate(wrong, "leaf", leaf.get(), issuer.get(), kUntil);
  AppendCertificate(wrong, "stranger", leaf.get(), leaf.get(), kUntil);
  CHECK(CheckChainOrder(wrong).error().detail.find("certificate 1 (CN=leaf)") != std::string::npos);
}

TEST_CASE("what holds no certificate or CRL is refused by its path") {
  const test::TemporaryDirectory directory;
  WriteKey(directory.File("key.pem"), NewKey().get());
  CHECK(ReadCertificateDates(directory.File("key.pem")).error().detail ==
        directory.File("key.pem") + ": holds no PEM certificate");
  CHECK(ReadCrlDates(directory.File("key.pem")).error().detail ==
        directory.File("key.pem") + ": holds no PEM CRL");
  CHECK(ReadCertificateDates(directory.File("none.pem")).error().code == ErrorCode::kIo);
}

}  // namespace skms
