#include "keystore/token_key_use.h"

#include <soci/soci.h>

#include <algorithm>
#include <sstream>

#include "base/encoding.h"
#include "keystore/row_mac.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr const char* kUse = "token_keys";
constexpr const char* kLasting = "lasting_key";

Error Changed(const char* row) {
  return IntegrityError("row meta '" + std::string(row) + "' was changed outside skms");
}

Result<hsm::Mac> Mask(hsm::CryptoModule& module, std::uint32_t generation, ByteView nonce) {
  Bytes message;
  AppendField(message, "skms lasting key v1");
  message.insert(message.end(), nonce.begin(), nonce.end());
  return module.ComputeMac(generation, message);
}

RowFields UseFields(const hsm::TokenKeyGenerations& use) {
  RowFields fields("meta token_keys v1");
  fields.Add(std::int64_t{use.kek})
      .Add(std::int64_t{use.mac})
      .Add(std::int64_t{use.sign})
      .Add(std::int64_t{use.transfer});
  return fields;
}

RowFields LastingFields(const std::string& nonce, const std::string& masked) {
  RowFields fields("meta lasting_key v1");
  fields.Add(nonce).Add(masked);
  return fields;
}

std::string ReadMeta(soci::session& session, const char* name) {
  std::string value;
  const std::string wanted = name;
  session << "SELECT value FROM meta WHERE name = :name", soci::into(value), soci::use(wanted);
  return session.got_data() ? value : std::string();
}

Result<hsm::TokenKeyGenerations> DecodeUse(hsm::CryptoModule& module, const std::string& value) {
  std::istringstream words(value);
  hsm::TokenKeyGenerations use;
  RowMac mac;
  words >> use.kek >> use.mac >> use.sign >> use.transfer >> mac.text;
  if (!words || !words.eof() || use.mac == 0) return Changed(kUse);
  mac.generation = static_cast<int>(use.mac);
  SKMS_TRYV(CheckRowMac(module, UseFields(use), mac, "the token keys in use (meta)"));
  return use;
}

Result<SecretBytes> DecodeLasting(hsm::CryptoModule& module, std::uint32_t generation,
                                  const std::string& value) {
  std::istringstream words(value);
  std::string nonce_text;
  std::string masked_text;
  RowMac mac;
  words >> nonce_text >> masked_text >> mac.text;
  if (!words || !words.eof()) return Changed(kLasting);
  mac.generation = static_cast<int>(generation);
  SKMS_TRYV(CheckRowMac(module, LastingFields(nonce_text, masked_text), mac, "the lasting key (meta)"));
  const auto nonce = FromBase64Url(nonce_text);
  const auto masked = FromBase64Url(masked_text);
  if (!nonce || !masked || masked->size() != kKeyBytes) return Changed(kLasting);
  SKMS_TRY(hsm::Mac key, Mask(module, generation, *nonce));
  for (std::size_t i = 0; i < kKeyBytes; ++i) key[i] = static_cast<std::uint8_t>(key[i] ^ (*masked)[i]);
  SecretBytes out = SecretBytes::CopyOf(key);
  Wipe(key);
  return out;
}

}  // namespace

bool HoldFormer(const std::vector<hsm::TokenStatus>& tokens, const hsm::TokenKeyGenerations& use) {
  const auto former = [](const std::set<std::uint32_t>& held, std::uint32_t used) {
    return !held.empty() && *held.begin() < used;
  };
  return std::any_of(tokens.begin(), tokens.end(), [&](const hsm::TokenStatus& token) {
    return former(token.held.kek, use.kek) || former(token.held.mac, use.mac) ||
           former(token.held.sign, use.sign) || former(token.held.transfer, use.transfer);
  });
}

Result<std::optional<TokenKeyUse>> ReadTokenKeyUse(Database& database, hsm::CryptoModule& module) {
  std::string use;
  std::string lasting;
  SKMS_TRYV(database.ReadSnapshot([&](soci::session& session) -> Status {
    use = ReadMeta(session, kUse);
    lasting = ReadMeta(session, kLasting);
    return Ok();
  }));
  if (use.empty() && lasting.empty()) return std::optional<TokenKeyUse>();
  TokenKeyUse out;
  SKMS_TRY(out.generations, DecodeUse(module, use));
  SKMS_TRY(out.lasting_key, DecodeLasting(module, out.generations.mac, lasting));
  return std::optional<TokenKeyUse>(std::move(out));
}

Result<std::string> ReadTokenKeyUseText(Database& database) {
  std::string text;
  SKMS_TRYV(database.ReadSnapshot([&](soci::session& session) -> Status {
    text = ReadMeta(session, kUse) + '\n' + ReadMeta(session, kLasting);
    return Ok();
  }));
  return text;
}

Result<TokenKeyUseRows> EncodeTokenKeyUse(hsm::CryptoModule& module, const hsm::TokenKeyGenerations& use,
                                          const SecretBytes& lasting_key) {
  const ByteView key = lasting_key.ExposeSecret();
  if (key.size() != kKeyBytes) return InternalError("the lasting key has another length");
  const auto sign = [&](const RowFields& fields) -> Result<std::string> {
    SKMS_TRY(const hsm::Mac mac, module.ComputeMac(use.mac, fields.octets()));
    return ToBase64Url(mac);
  };
  TokenKeyUseRows rows;
  SKMS_TRY(const std::string use_mac, sign(UseFields(use)));
  rows.use = std::to_string(use.kek) + ' ' + std::to_string(use.mac) + ' ' + std::to_string(use.sign) + ' ' +
             std::to_string(use.transfer) + ' ' + use_mac;
  SKMS_TRY(const Bytes nonce, module.Random(kKeyBytes));
  SKMS_TRY(hsm::Mac masked, Mask(module, use.mac, nonce));
  for (std::size_t i = 0; i < kKeyBytes; ++i) masked[i] = static_cast<std::uint8_t>(masked[i] ^ key[i]);
  const std::string nonce_text = ToBase64Url(nonce);
  const std::string masked_text = ToBase64Url(masked);
  SKMS_TRY(const std::string lasting_mac, sign(LastingFields(nonce_text, masked_text)));
  rows.lasting = nonce_text + ' ' + masked_text + ' ' + lasting_mac;
  return rows;
}

void WriteTokenKeyUse(soci::session& session, const TokenKeyUseRows& rows) {
  for (const auto& [name, value] : {std::pair<std::string, const std::string&>(kUse, rows.use),
                                    std::pair<std::string, const std::string&>(kLasting, rows.lasting)}) {
    session << "DELETE FROM meta WHERE name = :name", soci::use(name);
    session << "INSERT INTO meta (name, value) VALUES (:name, :value)", soci::use(name), soci::use(value);
  }
}

}  // namespace skms::keystore
