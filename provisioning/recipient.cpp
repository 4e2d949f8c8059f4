#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/file.h"
#include "base/public_key_file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pem_file.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr std::size_t kTransportKeyBytes = 32;

/// 32 octets, raw or as 64 hex digits.
Result<SecretBytes> ReadTransportKey(const std::string& path) {
  SKMS_TRY(SecretBytes raw, ReadSecretFile(path, 256));
  if (raw.size() == kTransportKeyBytes) return raw;
  std::error_code unreadable;
  const bool whole_file_is_key = std::filesystem::file_size(path, unreadable) == kTransportKeyBytes;
  if (!unreadable && whole_file_is_key && raw.size() + 1 == kTransportKeyBytes) {
    // A raw key that ends in 0x0A: what was taken for a newline belongs to it.
    SecretBytes key(kTransportKeyBytes);
    std::copy(raw.ExposeSecret().begin(), raw.ExposeSecret().end(), key.ExposeForWriting().begin());
    key.ExposeForWriting().back() = '\n';
    return key;
  }
  std::string text = AsText(raw.ExposeSecret());
  auto octets = FromHex(text);
  Wipe(text);
  if (!octets || octets->size() != kTransportKeyBytes) {
    return ConfigurationError(path + ": a transport key is 32 octets, raw or as 64 hex digits");
  }
  return SecretBytes::TakeFrom(*octets);
}

/// RSA-OAEP to the token's transfer key: the transport key crosses no socket in the clear.
Result<Bytes> EncryptToToken(const json& transfer, const SecretBytes& key) {
  const auto spki = FromBase64Url(transfer.value("spki", ""));
  if (!spki) return InternalError("the daemon's transfer key is not readable");
  const unsigned char* data = spki->data();
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> parsed(
      d2i_PUBKEY(nullptr, &data, static_cast<long>(spki->size())), &EVP_PKEY_free);
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(parsed.get(), nullptr), &EVP_PKEY_CTX_free);
  const std::string hash_name = transfer.value("oaepHash", "");
  if (hash_name != "sha256" && hash_name != "sha1")
    return InternalError("the daemon names no OAEP hash we know");
  const EVP_MD* hash = hash_name == "sha256" ? EVP_sha256() : EVP_sha1();
  Bytes out(1024);
  std::size_t size = out.size();
  const ByteView plain = key.ExposeSecret();
  if (!parsed || !context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1 ||
      EVP_PKEY_encrypt(context.get(), out.data(), &size, plain.data(), plain.size()) != 1) {
    return InternalError("the transport key cannot be encrypted to the token");
  }
  out.resize(size);
  return out;
}

Status AddKey(const Session& session, const Options& options, json& body) {
  if (options.count("public-key") > 0) {
    SKMS_TRY(const Bytes spki, ReadPublicKey(options["public-key"].as<std::string>()));
    body["publicKey"] = ToBase64Url(spki);
  } else if (options.count("certificate") > 0) {
    SKMS_TRY(const Bytes certificate, ReadCertificate(options["certificate"].as<std::string>()));
    SKMS_TRY(const Bytes spki, PublicKeyOfCertificate(certificate));
    body["publicKey"] = ToBase64Url(spki);
  } else {
    SKMS_TRY(const SecretBytes key, ReadTransportKey(options["transport-key"].as<std::string>()));
    SKMS_TRY(const json transfer, AdminGet(session, "/admin/v1/transfer-key"));
    SKMS_TRY(const Bytes block, EncryptToToken(transfer, key));
    body["transportKey"] = ToBase64Url(block);
  }
  return Ok();
}

}  // namespace

void DescribeRecipientAdd(OptionsDescription& options) {
  options.add_options()("principal", po::value<std::string>()->value_name("PRINCIPAL"),
                        "principal whose keys are wrapped to it")(
      "user", po::value<std::string>()->value_name("ID"),
      "VAL user whose UE's keys are wrapped to it (KM-UU)")("ue", po::value<std::string>()->value_name("ID"),
                                                            "VAL UE whose keys are wrapped to it (KM-UU)")(
      "public-key", po::value<std::string>()->value_name("FILE"),
      "public key (PEM or DER): RSA of 2048 bits or more; or EC on P-256 or P-384, where the token has ECDH "
      "with a KDF")("certificate", po::value<std::string>()->value_name("FILE"),
                    "certificate with such a key (PEM or DER)")(
      "transport-key", po::value<std::string>()->value_name("FILE"),
      "AES-256 key, 32 octets or 64 hex digits, in a file of mode 0400 or 0600");
}

Status RunRecipientAdd(const Session& session, const Options& options) {
  if (options.count("public-key") + options.count("certificate") + options.count("transport-key") != 1) {
    throw po::error("give one of --public-key, --certificate and --transport-key");
  }
  if (options.count("principal") + options.count("user") + options.count("ue") != 1)
    throw po::error("give one of --principal, --user and --ue");
  const std::string id = options["argument"].as<std::string>();
  json body{{"id", id}};
  std::string whose;
  for (const auto& [option, member] :
       {std::pair("principal", "principal"), std::pair("user", "userId"), std::pair("ue", "ueId")}) {
    if (options.count(option) == 0) continue;
    whose = options[option].as<std::string>();
    body[member] = whose;
  }
  SKMS_TRYV(AddKey(session, options, body));
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/recipients", body));
  PrintDone(
      session.json, "recipient", id, "added",
      "recipient '" + id + "' added; keys for '" + Printable(whose) + "' are wrapped to it from now on");
  return Ok();
}

Status RunRecipientList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/recipients"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  PrintList(
      answer.at("recipients"),
      {{"RECIPIENT", "id"},
       {"PRINCIPAL", "principal"},
       {"USER", "userId"},
       {"UE", "ueId"},
       {"KIND", "kind"},
       {"CURVE", "curve"},
       {"TRUSTED", "trusted"},
       {"SPKI SHA-256", "spkiSha256"}},
      "no recipients; keys are wrapped to the key of each principal's certificate. Add one with: skmsctl "
      "recipient add ID --principal PRINCIPAL --public-key FILE");
  return Ok();
}

Status RunRecipientRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/recipients/" + PercentEncode(id)));
  PrintDone(session.json, "recipient", id, "removed",
            "recipient '" + id + "' removed; a principal's certificate key is used again");
  return Ok();
}

}  // namespace skms::provisioning
