#include "keystore/backup.h"

#include <soci/soci.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "base/log.h"
#include "keystore/audit_log.h"
#include "keystore/database_snapshot.h"
#include "keystore/key_store_state.h"
#include "keystore/rewrap_rows.h"
#include "keystore/schema.h"
#include "keystore/token_key_use.h"
#include "keystore/token_signature.h"

namespace skms::keystore {
namespace {

/// How the refusal begins, so that whoever reads it knows what no restore would take.
constexpr const char* kNotBackedUp = "the database was changed outside skms, and is not backed up: ";
constexpr hsm::KeySpec kDataKey{hsm::KeyKind::kAes, ChunkCipher::kKeyBytes};

std::string TokensOf(const hsm::CryptoModule& module) {
  std::string text;
  for (const hsm::TokenStatus& token : module.tokens()) {
    if (!token.holds_all) continue;
    if (!text.empty()) text += ' ';
    text += token.info.label;
    text += '/';
    text += token.info.serial;
  }
  return text;
}

/// What is in the snapshot, so that no row that came meanwhile is counted.
Status ReadFacts(hsm::CryptoModule& module, const std::string& snapshot, BackupHeader& header) {
  SKMS_TRY(const std::unique_ptr<Database> database, Database::Open(snapshot));
  SKMS_TRY(header.schema, ReadSchemaVersion(*database));
  SKMS_TRY(const AuditSummary audit, ReadAuditHead(*database));
  header.entries = audit.entries;
  header.head = audit.head;
  SKMS_TRY(const std::optional<AuditCheckpoint> last, ReadLastCheckpoint(*database));
  if (last) header.checkpoint = last->jws;
  SKMS_TRY(const std::optional<TokenKeyUse> use, ReadTokenKeyUse(*database, module));
  const hsm::TokenKeyGenerations generations = use ? use->generations : hsm::TokenKeyGenerations{1, 1, 1, 1};
  SKMS_TRYV(database->ReadSnapshot([&](soci::session& session) -> Status {
    const RowGenerations rows = ReadRowGenerations(session);
    header.kek = rows.kek;
    header.strict_kek = rows.strict_kek;
    header.mac = rows.mac;
    long long count = 0;
    for (const auto& [statement, member] :
         {std::pair("SELECT count(*) FROM services", &header.services),
          std::pair("SELECT count(*) FROM key_versions", &header.key_versions),
          std::pair("SELECT count(*) FROM payloads", &header.payloads)}) {
      session << statement, soci::into(count);
      *member = count;
    }
    return Ok();
  }));
  header.kek.insert(generations.kek);
  header.mac.insert(generations.mac);
  header.sign = generations.sign;
  return Ok();
}

Status WriteParts(const std::string& snapshot, const std::function<bool()>& stopped, BackupWriter& writer) {
  std::ifstream from(snapshot, std::ios::binary);
  if (!from) return IoError(snapshot, errno);
  std::error_code error;
  std::uintmax_t left = std::filesystem::file_size(snapshot, error);
  if (error) return IoError(snapshot, error.value());
  Bytes part;
  while (left > 0) {
    if (stopped()) return BackupStopped();
    part.resize(std::min<std::uintmax_t>(left, kBackupPart));
    from.read(reinterpret_cast<char*>(part.data()), static_cast<std::streamsize>(part.size()));
    if (static_cast<std::size_t>(from.gcount()) != part.size()) return IoError(snapshot, EIO);
    left -= part.size();
    SKMS_TRYV(writer.WritePart(part, left == 0));
  }
  return Ok();
}

Status RemoveScratch(const std::string& path) {
  SKMS_TRYV(RemoveDatabase(path));
  const std::string lock = path + ".lock";
  return ::unlink(lock.c_str()) == 0 || errno == ENOENT ? Ok() : Status(IoError(lock, errno));
}

}  // namespace

Result<BackupMade> WriteBackup(hsm::CryptoModule& module, const BackupOrder& order, BackupHeader header) {
  SKMS_TRYV(ReadFacts(module, order.scratch, header));
  header.tokens = TokensOf(module);
  // Made in the token and kept by it alone; this process has it while it encrypts.
  SKMS_TRY(hsm::GeneratedKey made, module.GenerateWrapped(kDataKey));
  header.data_key = std::move(made.wrapped);
  SKMS_TRY(const SecretBytes data_key, module.Reveal(header.data_key, kDataKey));
  const std::string text = BackupHeaderText(header);
  SKMS_TRY(const ChunkCipher cipher, PartCipher(data_key, text));
  SKMS_TRY(NewFile file, NewFile::Create(order.path));
  BackupWriter writer(file, cipher);
  SKMS_TRYV(writer.WriteHeader(text));
  SKMS_TRYV(WriteParts(order.scratch, order.stopped, writer));
  const BackupStatement statement = writer.Statement(header.time_ms);
  SKMS_TRY(const std::string jws,
           SignJws(module, module.generations().sign, kBackupType, BackupStatementText(statement)));
  SKMS_TRYV(writer.WriteStatement(jws));
  // Its keys may have been retired while it was made.
  SKMS_TRYV(CheckTokensHold(module, header));
  SKMS_TRYV(file.Finish());
  return BackupMade{std::move(header), statement, jws, {}};
}

namespace {

/// What of the snapshot would keep a restore from being whole. Rows of keys are not looked at: that asks the
/// token for each of them, and is what a drill is for.
Result<std::vector<std::string>> DamageIn(hsm::CryptoModule& module, const BackupOrder& order) {
  SKMS_TRY(const std::unique_ptr<Database> database, Database::Open(order.scratch));
  SKMS_TRY(RowCheck directory, CheckDirectoryOf(*database, module));
  std::vector<std::string> damage = std::move(directory.trouble);
  const auto chain = VerifyChainOf(
      *database, module, [&order]() -> Status { return order.stopped() ? Status(BackupStopped()) : Ok(); });
  if (chain.has_error() && chain.error().code != ErrorCode::kIntegrity) return chain.error();
  if (chain.has_error())
    damage.insert(damage.begin(), "the audit chain is not whole: " + chain.error().detail);
  return damage;
}

std::string Joined(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& one : sentences) {
    if (!text.empty()) text += "; ";
    text += one;
  }
  return text;
}

Result<BackupMade> MakeOf(hsm::CryptoModule& module, const BackupOrder& order, BackupHeader header) {
  SKMS_TRY(std::vector<std::string> damage, DamageIn(module, order));
  if (!damage.empty() && !order.with_damage) return IntegrityError(kNotBackedUp + Joined(damage));
  SKMS_TRY(BackupMade made, WriteBackup(module, order, std::move(header)));
  made.damage = std::move(damage);
  return made;
}

}  // namespace

Result<BackupMade> KeyStore::MakeBackup(const Requester& by, const BackupOrder& order) {
  State& state = *state_;
  // So that what is in it is signed to its end, but for what comes in this moment.
  const auto signed_now = SignAudit();
  if (signed_now.has_error()) {
    if (signed_now.error().code != ErrorCode::kIntegrity) return signed_now.error();
    if (!order.with_damage) return IntegrityError(kNotBackedUp + signed_now.error().detail);
  }
  SKMS_TRYV(RemoveScratch(order.scratch));
  BackupHeader header;
  header.server = order.server;
  header.version = order.version;
  header.time_ms = state.clock.NowMilliseconds();
  SKMS_TRYV(WriteSnapshot(*state.database, order.scratch, order.stopped));
  auto made = MakeOf(state.module, order, std::move(header));
  const Status removed = RemoveScratch(order.scratch);
  if (made.has_error()) return made;
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "backup.create";
  entry.outcome = "granted";
  entry.reason =
      "sha256=" + made.value().statement.hash + " entries=" + std::to_string(made.value().header.entries);
  if (!made.value().damage.empty()) entry.reason += " damage: " + Joined(made.value().damage);
  entry.request_id = by.request_id;
  Status done = removed.has_error() ? removed : state.Record({&entry, 1});
  if (done.has_value()) return made;
  if (::unlink(order.path.c_str()) != 0) LogError(IoError(order.path, errno).detail);
  return std::move(done).error();
}

}  // namespace skms::keystore
