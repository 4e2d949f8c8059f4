// A backup becomes a database again.
#include <cerrno>
#include <fstream>
#include <optional>
#include <utility>

#include "keystore/backup.h"

namespace skms::keystore {
namespace {

constexpr hsm::KeySpec kDataKey{hsm::KeyKind::kAes, ChunkCipher::kKeyBytes};

void AddMissing(std::string& text, const char* name, const std::set<std::uint32_t>& needed,
                const std::set<std::uint32_t>& held) {
  for (const std::uint32_t generation : needed) {
    if (held.count(generation) > 0) continue;
    if (!text.empty()) text += ", ";
    text += name;
    text += std::to_string(generation);
  }
}

hsm::HeldGenerations HeldByAny(const hsm::CryptoModule& module) {
  hsm::HeldGenerations held;
  for (const hsm::TokenStatus& token : module.tokens()) {
    held.kek.insert(token.held.kek.begin(), token.held.kek.end());
    held.mac.insert(token.held.mac.begin(), token.held.mac.end());
    held.sign.insert(token.held.sign.begin(), token.held.sign.end());
  }
  return held;
}

Result<std::vector<Bytes>> SigningKeys(hsm::CryptoModule& module) {
  std::vector<Bytes> keys;
  for (const std::uint32_t generation : HeldByAny(module).sign) {
    SKMS_TRY(Bytes spki, module.SigningPublicKey(generation));
    keys.push_back(std::move(spki));
  }
  return keys;
}

Result<std::ifstream> OpenFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return IoError(path, errno);
  return file;
}

/// Again from its beginning, now that it is known to be the token's.
Status Decrypt(std::istream& file, const std::string& name, const BackupContents& verified,
               hsm::CryptoModule& module, NewFile& out) {
  std::optional<ChunkCipher> cipher;
  const BackupVisitor visitor{[&](const BackupHeader& header, const std::string& text) -> Status {
                                if (text != verified.header_text)
                                  return IntegrityError(name + ": it was changed while it was read");
                                SKMS_TRY(const SecretBytes data_key,
                                         module.Reveal(header.data_key, kDataKey));
                                SKMS_TRY(ChunkCipher made, PartCipher(data_key, text));
                                cipher.emplace(std::move(made));
                                return Ok();
                              },
                              [&](std::uint64_t number, bool last, ByteView sealed) -> Status {
                                SKMS_TRY(const Bytes plain, cipher->Open(number, last, sealed));
                                return out.Write(plain);
                              }};
  SKMS_TRY(const BackupContents again, ReadBackup(file, name, visitor));
  if (again.statement_text == verified.statement_text) return Ok();
  return IntegrityError(name + ": it was changed while it was read");
}

}  // namespace

Status CheckTokensHold(const hsm::CryptoModule& module, const BackupHeader& header) {
  const hsm::HeldGenerations held = HeldByAny(module);
  std::set<std::uint32_t> keks = header.kek;
  keks.insert(header.data_key.kek_generation);
  std::string missing;
  AddMissing(missing, "skms-kek-", keks, held.kek);
  AddMissing(missing, "skms-mac-", header.mac, held.mac);
  AddMissing(missing, "skms-sign-", {header.sign}, held.sign);
  if (missing.empty()) return Ok();
  return Error{ErrorCode::kTokenBlank, "the backup needs " + missing +
                                           ", which no token of the configuration holds; it was made with " +
                                           header.tokens};
}

Result<BackupContents> ReadBackupFile(const std::string& file) {
  SKMS_TRY(std::ifstream in, OpenFile(file));
  return ReadBackup(in, file, {});
}

Result<BackupContents> OpenBackup(const std::string& file, const std::string& database,
                                  hsm::CryptoModule& module) {
  SKMS_TRY(std::ifstream in, OpenFile(file));
  const BackupVisitor holds{
      [&](const BackupHeader& header, const std::string&) { return CheckTokensHold(module, header); }};
  SKMS_TRY(BackupContents contents, ReadBackup(in, file, holds));
  SKMS_TRY(const std::vector<Bytes> keys, SigningKeys(module));
  const Status is_ours = VerifyBackupSignature(contents, keys);
  if (is_ours.has_error()) {
    return IntegrityError(file + ": it is signed by '" + contents.jws.header.kid +
                          "' of another token than those of the configuration; it was made with " +
                          contents.header.tokens);
  }
  in.clear();
  in.seekg(0);
  SKMS_TRY(NewFile out, NewFile::Create(database));
  SKMS_TRYV(Decrypt(in, file, contents, module, out));
  SKMS_TRYV(out.Finish());
  return contents;
}

}  // namespace skms::keystore
