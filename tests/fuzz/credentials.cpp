#include "tests/fuzz/credentials.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

#include "base/encoding.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

constexpr const char* kEcPem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD2juyuMbt5rTm4ha\n"
    "cfvRMwSCJVdJ4T4Xbufr+9B3PI6hRANCAARmQMAK4UB64v1B21NPvR9d/5neJhEI\n"
    "1x4ReSBc+W7NBbcMlh89Y3u9RNZOvi6gQ2aQj72ctZLD6cw0apCSE01e\n"
    "-----END PRIVATE KEY-----\n";

constexpr const char* kRsaPem =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCYQujq8UcG5az/\n"
    "U61nvE45ug4xF9GVHAetFrJUhmk49uqzZB60nyCAq5i8AZgMPi4OZcgV01HRD/2k\n"
    "VXYMaNs9EwGw3/LTVQeoLxH0Jj6Pi6kXRS0OMP2eVyhTt9re8e7FhukUpPhgP03V\n"
    "1Wg3yW+oU1WaQTETU8GtiCKVdNZzMeuAWIgk9tifAIyRO+SVUPHu55Zy3+j+8GeH\n"
    "9YXC29aJWL5/Q9ZpzVpKxCmsxfDDawd+/wkM78hAn7O+AfJe39I0plpJOLwMPMEU\n"
    "/ZaIoE6FsVVqwfnn7vqtD8/xZIskF1aHiyOVGsKLHjd+C8U6o/XASgEhVuz50DCx\n"
    "y3rHx0qzAgMBAAECggEAKCrWmUxHaYljpwPjJg+mL1Jm9gqLjqOTXtUy/FttHMr+\n"
    "xY5vD0U/ZNJf+5EMFIa+zauKKj/SQK3QQu8Msl9jHuyJsKiTva6b04F/YgJI1MOK\n"
    "OwpTxX+lGIVzrQo+ojv+untJt9mBcJqipPukf7sTSruZRJVYJfodiPL19Kma/U5Q\n"
    "mQXtSoEX6eVhm3S2vUyb2qNRhvaQvtRtb20O0GasWdZsBcSAyDIIv5wBqZmaeq+F\n"
    "3fWX5SJtKhSmW59zdGtc3HIBs0jnr45L8+pik1HHQ6k/mOpnKN0StswdvAek1JSN\n"
    "hksScTIieZOEkOcYrzKozCz26zaebgVgeDBSZ/qJ+QKBgQDUZll45fn//ONhbu8l\n"
    "1N//hUyk+njeASI9QOGzDX22C5AVLklPcZxVA0TcudNAhGcHUGnIzTtJH4rtAydy\n"
    "71knzvutb7LRVyHHGvNriUrntUDe0jokmoYLvTHtkgmSgvW3AYJfxsnNtKxeMBKh\n"
    "V97i8vCiX/Su750xKDGltJ+3NQKBgQC3hEYhBeLDxSw8E2JgGsJmBdFP/qRv/+fH\n"
    "Cuir78oPP5FYGLf52PODQ23PMrffnBucH4wHPts2dphNIUMjcOfiiKDTiU3Xv13x\n"
    "A+k6zQse3CiwfTnukvwqp+vp3NrRW4/YfSBXeSMiH0BYunCy5zyJhybzV5ByHys/\n"
    "L1M5Js3vRwKBgQCMO/866WyEbW2bOOlAqyoxxMrz6kO/IDSBCMN7up6TgVLiCStx\n"
    "/mrfXkcrDK3D3SdBFwChCY/pGaBaGEkFg63zsJ9OxX7k5IhyswKgr4b7MRrhgx/M\n"
    "ZxG10naSimcziq+84ow3vEIlRPLBRTAnwqJwaUIjkwM0NRQuDoGpDHafOQKBgD+P\n"
    "zeZkLn2WDlMkd59HxWsmuq+VSAkOvo1/JsVegUK0xreXoCkmTnl5YlAwheUqIZn6\n"
    "hzp/N9fuTaPxUFq3IWmh3upFlTOTsYrnyuE14ZMnt+QhC26pdDOmA5z1hMiciP73\n"
    "n7sMVvHblyLkOGKOmrYbnI8OFhag2w7AanfSC+PDAoGBAI4zFndd4kRtSILahhbb\n"
    "4poy4FVI8uBtxVBPHGpp1KCAcQYhVp7laIf9iUlkN3wPvj+G7MaKwQW66zi+v9fN\n"
    "YZAfCj1ufIy6Wl1Lhq1N2S9Z8HVbiMTyx4GUtmaDHYf6jfg30nU5yNY1YzWg832i\n"
    "Za8cvmD2n1rv8a6jrH+EVXGn\n"
    "-----END PRIVATE KEY-----\n";

EVP_PKEY* ReadPem(const char* pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_mem_buf(pem, -1), &BIO_free);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr);
  Require(key != nullptr, "a fixed key can be read");
  return key;
}

std::string Number(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  Require(EVP_PKEY_get_bn_param(key, name, &raw) == 1, "a key has its numbers", name);
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(raw, &BN_free);
  Bytes octets(static_cast<std::size_t>(BN_num_bytes(raw)));
  BN_bn2bin(raw, octets.data());
  return ToBase64Url(octets);
}

/// R and S side by side (RFC 7518 3.4).
Bytes JoseForm(const Bytes& der) {
  const unsigned char* at = der.data();
  const std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)> parts(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), &ECDSA_SIG_free);
  Bytes jose(64);
  BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), jose.data(), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), jose.data() + 32, 32);
  return jose;
}

}  // namespace

EVP_PKEY* EcKey() {
  static const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(ReadPem(kEcPem), &EVP_PKEY_free);
  return key.get();
}

EVP_PKEY* RsaKey() {
  static const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(ReadPem(kRsaPem), &EVP_PKEY_free);
  return key.get();
}

std::string PrivatePem(EVP_PKEY* key) { return key == EcKey() ? kEcPem : kRsaPem; }

Bytes SpkiOf(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  Require(size > 0, "a key has an SPKI");
  Bytes spki(der, der + size);
  OPENSSL_free(der);
  return spki;
}

std::string IssuerJwks() {
  return R"({"keys":[{"kty":"RSA","kid":"r","n":")" + Number(RsaKey(), OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
         Number(RsaKey(), OSSL_PKEY_PARAM_RSA_E) + R"("},{"kty":"EC","crv":"P-256","kid":"e","x":")" +
         Number(EcKey(), OSSL_PKEY_PARAM_EC_PUB_X) + R"(","y":")" +
         Number(EcKey(), OSSL_PKEY_PARAM_EC_PUB_Y) + "\"}]}";
}

std::string Signed(std::string_view header, std::string_view payload, EVP_PKEY* key) {
  const std::string text = ToBase64Url(AsBytes(header)) + "." + ToBase64Url(AsBytes(payload));
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  Bytes signature(512);
  std::size_t size = signature.size();
  Require(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestSign(context.get(), signature.data(), &size, AsBytes(text).data(), text.size()) == 1,
          "the issuer signs");
  signature.resize(size);
  if (EVP_PKEY_is_a(key, "EC") == 1) signature = JoseForm(signature);
  return text + "." + ToBase64Url(signature);
}

Bytes CertificateOf(EVP_PKEY* key, long serial) {
  constexpr std::time_t kBegins = 1'799'990'000;  // the manual clock begins at 1,800,000,000
  constexpr std::time_t kEnds = 1'900'000'000;
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_set_pubkey(certificate.get(), key);
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), kBegins);
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), kEnds);
  Require(X509_sign(certificate.get(), key, EVP_sha256()) > 0, "a certificate is signed");
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

}  // namespace skms::fuzz
