#include "keystore/backup.h"

#include <soci/soci.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "base/clock.h"
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

Status WriteParts(const std::string& snapshot, BackupWriter& writer) {
  std::ifstream from(snapshot, std::ios::binary);
  if (!from) return IoError(snapshot, errno);
  std::error_code error;
  std::uintmax_t left = std::filesystem::file_size(snapshot, error);
  if (error) return IoError(snapshot, error.value());
  Bytes part;
  while (left > 0) {
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
  SKMS_TRYV(WriteParts(order.scratch, writer));
  const BackupStatement statement = writer.Statement(header.time_ms);
  SKMS_TRY(const std::string jws,
           SignJws(module, module.generations().sign, kBackupType, BackupStatementText(statement)));
  SKMS_TRYV(writer.WriteStatement(jws));
  // Its keys may have been retired while it was made.
  SKMS_TRYV(CheckTokensHold(module, header));
  SKMS_TRYV(file.Finish());
  return BackupMade{std::move(header), statement, jws};
}

Result<BackupMade> KeyStore::MakeBackup(const Requester& by, const BackupOrder& order) {
  State& state = *state_;
  // So that what is in it is signed to its end, but for what comes in this moment.
  SKMS_TRYV(SignAudit());
  SKMS_TRYV(RemoveScratch(order.scratch));
  BackupHeader header;
  header.server = order.server;
  header.version = order.version;
  header.time_ms = state.clock.NowMilliseconds();
  SKMS_TRYV(WriteSnapshot(*state.database, order.scratch));
  auto made = WriteBackup(state.module, order, std::move(header));
  const Status removed = RemoveScratch(order.scratch);
  if (made.has_error()) return made;
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "backup.create";
  entry.outcome = "granted";
  entry.reason =
      "sha256=" + made.value().statement.hash + " entries=" + std::to_string(made.value().header.entries);
  entry.request_id = by.request_id;
  Status done = removed.has_error() ? removed : state.Record({&entry, 1});
  if (done.has_value()) return made;
  if (::unlink(order.path.c_str()) != 0) LogError(IoError(order.path, errno).detail);
  return std::move(done).error();
}

namespace {

/// By a key that a token holds; nothing else is audited as looked at.
Result<AuditEntry> EntryOf(const Jws& jws) {
  AuditEntry entry;
  entry.outcome = "granted";
  if (jws.header.typ == kBackupType) {
    SKMS_TRY(const BackupStatement statement, ReadBackupStatement(jws.payload));
    entry.action = "backup.verify";
    entry.reason = "sha256=" + statement.hash;
    return entry;
  }
  if (jws.header.typ == kDrillType) {
    SKMS_TRY(const DrillReport report, ReadDrillReport(jws.payload));
    entry.action = "backup.drill";
    entry.reason = std::string(report.passed() ? "passed" : "failed") + " sha256=" + report.hash +
                   " opened=" + std::to_string(report.sampled - report.failed - report.strict) +
                   " damaged=" + std::to_string(report.damaged) + " failed=" + std::to_string(report.failed);
    return entry;
  }
  return InvalidArgument("it is signed, and says nothing of a backup");
}

}  // namespace

Status KeyStore::RecordBackupCheck(const Requester& by, const std::string& statement) {
  SKMS_TRY(const Jws jws, ReadJws(statement));
  SKMS_TRY(const std::vector<AuditKey> keys, AuditKeys());
  const bool ours = std::any_of(keys.begin(), keys.end(),
                                [&](const AuditKey& key) { return VerifyJws(jws, key.spki).has_value(); });
  if (!ours) return InvalidArgument("it is signed by no key that a token of this server holds");
  SKMS_TRY(AuditEntry entry, EntryOf(jws));
  entry.actor = by.principal.value();
  entry.request_id = by.request_id;
  return state_->Record({&entry, 1});
}

Status KeyStore::RecordRestore(const Requester& by, const BackupContents& from) {
  SKMS_TRY(const AuditSummary head, ReadAuditHead(*state_->database));
  if (head.entries != from.header.entries || head.head != from.header.head)
    return IntegrityError("the audit chain in the backup is another than its header says");
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = "backup.restore";
  entry.outcome = "granted";
  entry.reason = "made=" + FormatUtc(from.header.time_ms / 1000) +
                 " entries=" + std::to_string(head.entries) + " sha256=" + from.statement.hash;
  SKMS_TRYV(state_->Record({&entry, 1}));
  SKMS_TRYV(SignAudit());
  return state_->database->EmptyLog();
}

}  // namespace skms::keystore
