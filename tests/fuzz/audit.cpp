// Rows of a database that somebody else has written: the audit chain, and entries of the directory.
//
// An input is lines of fields with tabs between. "=…": an entry that the server appends. "~seq column type
// value": somebody changes an entry. "-seq": he takes one away. "+table values": he puts a row in.
#include "keystore/audit_log.h"

#include <soci/soci.h>

#include <array>
#include <charconv>
#include <memory>

#include "base/digest.h"
#include "keystore/database.h"
#include "keystore/directory_rows.h"
#include "keystore/payload_rows.h"
#include "keystore/schema.h"
#include "tests/fuzz/property.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temporary_directory.h"

namespace skms::fuzz {
namespace {

using keystore::AuditEntry;
using keystore::Database;

constexpr std::array kAuditColumns = {
    "seq", "time_ms", "actor",      "action",    "outcome", "service",         "target_kind",
    "kid", "reason",  "request_id", "prev_hash", "hash",    "target_pseudonym"};

struct Table {
  std::string_view name;
  const char* columns;
  const char* places;
  std::size_t fields;
};
constexpr Table kTables[] = {
    {"principals",
     "id, role, client_id, certificate_spki, certificate_subject, certificate_not_after, mac_generation, mac",
     ":a, :b, :c, :d, :e, :f, :g, :h", 8},
    {"recipients",
     "id, principal, ue_kind, ue, kind, public_key, kek_generation, wrap_format, wrapped, mac_generation, "
     "mac",
     ":a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k", 11},
    {"payloads",
     "id, service, target_kind, target, payload_id, version, created, provisioned_by, digest, "
     "kek_generation, wrap_format,"
     " wrapped, protected, iv, ciphertext, tag, mac_generation, mac",
     ":a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m, :n, :o, :p, :q, :r", 18}};

class Store {
 public:
  Store() {
    Sha256({});  // OpenSSL's own end is to come after ours, whose thread uses it
    Require(Database::CreateFile(directory_.File("d")).has_value(), "a database is made");
    database_ = std::move(Database::Open(directory_.File("d"))).value();
    Require(keystore::Migrate(*database_).has_value(), "a database has tables");
  }
  Database& database() const { return *database_; }
  /// Somebody with the file: what SQLite refuses is refused to him, too.
  bool Tamper(const keystore::DatabaseWork& work) const { return database_->Write(work).has_value(); }
  void Empty() const {
    const bool emptied = Tamper([](soci::session& session) -> Status {
      for (const char* table : {"audit", "principals", "recipients", "payloads"})
        session << "DELETE FROM " << table;
      return Ok();
    });
    Require(emptied, "a database is emptied");
  }
  /// Each entry as the columns' types say, whatever type somebody wrote there; but what orders them as it is.
  std::vector<std::string> Entries() const {
    std::string columns;
    for (const std::string_view name : kAuditColumns) {
      const char* type = name == "seq" || name == "time_ms" ? "INTEGER" : "TEXT";
      columns += (columns.empty() ? "typeof(seq) || " : " || ',' || ") + ("hex(CAST(" + std::string(name)) +
                 " AS " + type + "))";
    }
    std::vector<std::string> entries;
    const Status read = database_->Read([&](soci::session& session) -> Status {
      std::string entry;
      soci::statement select =
          (session.prepare << "SELECT " + columns + " FROM audit ORDER BY seq", soci::into(entry));
      select.execute();
      while (select.fetch()) entries.push_back(entry);
      return Ok();
    });
    Require(read.has_value(), "entries are read as they lie there");
    return entries;
  }

 private:
  test::TemporaryDirectory directory_;
  std::unique_ptr<Database> database_;
};

AuditEntry EntryOf(std::string_view line) {
  AuditEntry entry;
  for (std::string* field : {&entry.actor, &entry.action, &entry.outcome, &entry.service, &entry.target_kind,
                             &entry.target_pseudonym, &entry.kid, &entry.reason, &entry.request_id})
    *field = TakeUntil(line, '\t');
  return entry;
}

long long NumberOf(std::string_view text) {
  long long number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// What the server itself writes: texts up to a NUL, as they come from HTTP, where none has one.
bool IsEntry(std::string_view line) {
  return line.front() == '=' && line.find('\0') == std::string_view::npos;
}

void Append(const Store& store, const std::vector<std::string_view>& lines) {
  const test::ManualClock clock;
  const bool written = store.Tamper([&](soci::session& session) -> Status {
    for (const std::string_view line : lines)
      if (IsEntry(line)) SKMS_TRYV(keystore::AppendAudit(session, clock, EntryOf(line.substr(1))));
    return Ok();
  });
  Require(written, "an entry can be written, whatever it says");
}

void ChangeEntry(const Store& store, std::string_view line) {
  const long long seq = NumberOf(TakeUntil(line, '\t'));
  const auto column = static_cast<std::size_t>(NumberOf(TakeUntil(line, '\t'))) % kAuditColumns.size();
  const std::string_view type = TakeUntil(line, '\t');
  const std::string value(line);
  const std::string as = type == "b" ? "CAST(:v AS BLOB)" : type == "n" ? "NULLIF(:v, :v)" : ":v";
  store.Tamper([&](soci::session& session) -> Status {
    const std::string update = std::string("UPDATE audit SET ") + kAuditColumns.at(column) + " = ";
    if (type == "i") {
      const long long number = NumberOf(value);
      session << update + ":v WHERE seq = :s", soci::use(number, "v"), soci::use(seq, "s");
    } else {
      session << update + as + " WHERE seq = :s", soci::use(value, "v"), soci::use(seq, "s");
    }
    return Ok();
  });
}

void PutIn(const Store& store, std::string_view line) {
  const std::string_view name = TakeUntil(line, '\t');
  for (const Table& table : kTables) {
    if (table.name != name) continue;
    store.Tamper([&](soci::session& session) -> Status {
      std::vector<std::string> values;
      values.reserve(table.fields);
      for (std::size_t i = 0; i < table.fields; ++i) values.emplace_back(TakeUntil(line, '\t'));
      soci::statement insert(session);
      for (const std::string& value : values) insert.exchange(soci::use(value));
      insert.alloc();
      insert.prepare("INSERT INTO " + std::string(name) + " (" + table.columns + ") VALUES (" + table.places +
                     ")");
      insert.define_and_bind();
      insert.execute(true);
      return Ok();
    });
  }
}

void Tamper(const Store& store, const std::vector<std::string_view>& lines) {
  for (const std::string_view line : lines) {
    if (line.empty()) continue;
    const std::string_view rest = line.substr(1);
    if (line.front() == '~') ChangeEntry(store, rest);
    if (line.front() == '+') PutIn(store, rest);
    if (line.front() == '-') {
      store.Tamper([seq = NumberOf(rest)](soci::session& session) -> Status {
        session << "DELETE FROM audit WHERE seq = :s", soci::use(seq);
        return Ok();
      });
    }
  }
}

template <class T>
void CheckRead(const Result<T>& rows) {
  if (rows.has_value()) return;
  Require(rows.error().code == ErrorCode::kIntegrity || rows.error().code == ErrorCode::kStorage,
          "a row that cannot be read is told as such", rows.error().detail);
}

Result<keystore::AuditVerdict> Verified(const Store& store) {
  keystore::AuditVerifier verifier({});
  SKMS_TRYV(keystore::VerifyAuditChain(store.database(), verifier));
  return verifier.verdict();
}

void CheckAudit(std::string_view input) {
  static const Store store;
  std::vector<std::string_view> lines = SplitAt(input, '\n');
  std::erase_if(lines, [](std::string_view line) { return line.empty(); });
  store.Empty();
  Append(store, lines);
  const std::vector<std::string> written = store.Entries();
  const auto whole = Verified(store);
  Require(whole.has_value() && whole.value().last == static_cast<std::int64_t>(written.size()),
          "a chain that nobody touched is whole", input);
  Tamper(store, lines);
  const std::vector<std::string> left = store.Entries();
  const auto verified = Verified(store);
  const bool prefix = left.size() <= written.size() && std::equal(left.begin(), left.end(), written.begin());
  if (verified.has_value())
    Require(prefix, "a chain that verifies is what was written, but for its tail", input);
  if (prefix) Require(verified.has_value(), "a chain that lost its tail alone is whole", input);
  CheckRead(verified);
  CheckRead(keystore::ReadAuditHead(store.database()));
  CheckRead(keystore::ReadPrincipals(store.database()));
  CheckRead(keystore::ReadRecipients(store.database()));
  const auto ids = keystore::ReadPayloadIds(store.database(), "", "", 100);
  CheckRead(ids);
  if (ids.has_error()) return;
  for (const std::string& id : ids.value()) CheckRead(keystore::ReadPayload(store.database(), id));
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(audit, skms::fuzz::CheckAudit)
