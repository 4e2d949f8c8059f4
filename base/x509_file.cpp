#include "base/x509_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>

#include "base/file.h"

namespace skms {
namespace {

using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using CrlPtr = std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)>;
using OcspPtr = std::unique_ptr<OCSP_RESPONSE, decltype(&OCSP_RESPONSE_free)>;
using OcspBasicPtr = std::unique_ptr<OCSP_BASICRESP, decltype(&OCSP_BASICRESP_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Result<BioPtr> BioOver(const std::string& text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free);
  if (!bio) return InternalError("out of memory");
  return bio;
}

Error Holds(const std::string& path, const char* what) {
  ERR_clear_error();
  return ConfigurationError(path + ": holds " + what);
}

Result<std::vector<CertificatePtr>> ReadCertificates(const std::string& path) {
  SKMS_TRY(const std::string text, ReadFile(path));
  SKMS_TRY(const BioPtr bio, BioOver(text));
  std::vector<CertificatePtr> found;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    found.emplace_back(one, &X509_free);
  // The end of the file is an error to PEM_read, too.
  ERR_clear_error();
  if (found.empty()) return Holds(path, "no PEM certificate");
  return found;
}

std::string NameText(const X509_NAME* name) {
  const BioPtr text(BIO_new(BIO_s_mem()), &BIO_free);
  if (!text) return "?";
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_RFC2253);
  char* start = nullptr;
  const long length = BIO_get_mem_data(text.get(), &start);
  return {start, static_cast<std::size_t>(std::max(length, 0L))};
}

Result<std::int64_t> Seconds(const std::string& path, const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Holds(path, "a time that cannot be read");
  return std::int64_t{timegm(&parts)};
}

/// Never asks a terminal for one: an encrypted key is refused.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

}  // namespace

Result<std::vector<CertificateDates>> ReadCertificateDates(const std::string& path) {
  SKMS_TRY(const std::vector<CertificatePtr> certificates, ReadCertificates(path));
  std::vector<CertificateDates> dates;
  dates.reserve(certificates.size());
  for (const CertificatePtr& one : certificates) {
    SKMS_TRY(const std::int64_t from, Seconds(path, X509_get0_notBefore(one.get())));
    SKMS_TRY(const std::int64_t until, Seconds(path, X509_get0_notAfter(one.get())));
    dates.push_back({NameText(X509_get_subject_name(one.get())), from, until});
  }
  return dates;
}

Result<std::vector<CrlDates>> ReadCrlDates(const std::string& path) {
  SKMS_TRY(const std::string text, ReadFile(path, 64U << 20U));
  SKMS_TRY(const BioPtr bio, BioOver(text));
  std::vector<CrlDates> dates;
  while (X509_CRL* next = PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr)) {
    const CrlPtr one(next, &X509_CRL_free);
    CrlDates crl{NameText(X509_CRL_get_issuer(one.get())), 0, 0};
    SKMS_TRY(crl.this_update, Seconds(path, X509_CRL_get0_lastUpdate(one.get())));
    if (const ASN1_TIME* until = X509_CRL_get0_nextUpdate(one.get())) {
      SKMS_TRY(crl.next_update, Seconds(path, until));
    }
    dates.push_back(std::move(crl));
  }
  ERR_clear_error();
  if (dates.empty()) return Holds(path, "no PEM CRL");
  return dates;
}

Result<std::int64_t> ReadOcspNextUpdate(const std::string& path) {
  SKMS_TRY(const std::string der, ReadFile(path));
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const OcspPtr response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())), &OCSP_RESPONSE_free);
  const OcspBasicPtr basic(response ? OCSP_response_get1_basic(response.get()) : nullptr,
                           &OCSP_BASICRESP_free);
  if (!basic || OCSP_resp_count(basic.get()) == 0) return Holds(path, "no OCSP response that says anything");
  std::int64_t first = 0;
  for (int i = 0; i < OCSP_resp_count(basic.get()); ++i) {
    ASN1_GENERALIZEDTIME* until = nullptr;
    OCSP_single_get0_status(OCSP_resp_get0(basic.get(), i), nullptr, nullptr, nullptr, &until);
    if (until == nullptr) continue;
    SKMS_TRY(const std::int64_t end, Seconds(path, until));
    first = first == 0 ? end : std::min(first, end);
  }
  return first;
}

Status CheckKeyBelongs(const std::string& certificate_path, const std::string& key_path) {
  SKMS_TRY(const std::vector<CertificatePtr> certificates, ReadCertificates(certificate_path));
  const BioPtr bio(BIO_new_file(key_path.c_str(), "r"), &BIO_free);
  if (!bio) {
    const int why = errno;
    ERR_clear_error();
    return IoError(key_path, why);
  }
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr), &EVP_PKEY_free);
  if (!key) return Holds(key_path, "no private key that can be read without a passphrase");
  const bool belongs = X509_check_private_key(certificates.front().get(), key.get()) == 1;
  ERR_clear_error();
  if (belongs) return Ok();
  return ConfigurationError(key_path + " is not the key of the certificate in " + certificate_path);
}

Status CheckChainOrder(const std::string& certificate_path) {
  SKMS_TRY(const std::vector<CertificatePtr> chain, ReadCertificates(certificate_path));
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    const bool issued = X509_verify(chain[i].get(), X509_get0_pubkey(chain[i + 1].get())) == 1;
    ERR_clear_error();
    if (!issued)
      return ConfigurationError(certificate_path + ": certificate " + std::to_string(i + 1) + " (" +
                                NameText(X509_get_subject_name(chain[i].get())) +
                                ") is not issued by the next one");
  }
  return Ok();
}

}  // namespace skms
