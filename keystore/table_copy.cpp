#include "keystore/table_copy.h"

#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "keystore/database_snapshot.h"
#include "keystore/prepared_statements.h"
#include "keystore/schema.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kRowsAtOnce = 500;
constexpr std::size_t kLargeRowsAtOnce = 8;  // payloads, of up to 8 MiB each

using Columns = std::vector<std::string>;

bool IsPostgresql(soci::session& session) { return session.get_backend_name() == "postgresql"; }

/// Of each of our tables, in the order of their names; somebody else's may be beside them.
std::map<std::string, Columns> ReadTables(soci::session& session) {
  std::string query = IsPostgresql(session)
                          ? "SELECT table_name::text, column_name::text FROM information_schema.columns"
                            " WHERE table_schema = current_schema() AND table_name IN ("
                          : "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
                            " WHERE m.type = 'table' AND m.name IN (";
  for (const char* name : kTables) query += std::string(name == kTables.front() ? "'" : ", '") + name + "'";
  query += ")";
  std::string table;
  std::string column;
  std::map<std::string, Columns> tables;
  soci::statement select = (session.prepare << query, soci::into(table), soci::into(column));
  select.execute();
  while (select.fetch()) tables[table].push_back(column);
  for (auto& [name, columns] : tables) std::sort(columns.begin(), columns.end());
  return tables;
}

std::string Joined(const Columns& columns, const char* before) {
  std::string text;
  for (const std::string& column : columns) {
    if (!text.empty()) text += ", ";
    text += before + column;
  }
  return text;
}

/// Some rows; every value as text, which both kinds of database take for a number where a number is wanted.
struct RowsAtOnce {
  RowsAtOnce(std::size_t columns, std::size_t rows) : values(columns), nulls(columns) { Resize(rows); }
  void Resize(std::size_t rows) {
    for (auto& column : values) column.resize(rows);
    for (auto& column : nulls) column.resize(rows);
  }
  std::size_t size() const { return values.front().size(); }

  std::vector<std::vector<std::string>> values;
  std::vector<std::vector<soci::indicator>> nulls;
};

/// The rows of a table, in no order, without all of them in memory.
class TableRows {
 public:
  TableRows(soci::session& session, const std::string& table, const Columns& columns)
      : session_(session),
        at_once_(table == "payloads" ? kLargeRowsAtOnce : kRowsAtOnce),
        rows_(columns.size(), at_once_) {
    const std::string select = "SELECT " + Joined(columns, "") + " FROM " + table;
    if (IsPostgresql(session)) {
      session_ << "DECLARE skms_copy NO SCROLL CURSOR FOR " + select;
    } else {
      Prepare(select);
    }
  }
  TableRows(const TableRows&) = delete;
  TableRows& operator=(const TableRows&) = delete;
  ~TableRows() = default;

  /// nullptr: there is none left.
  RowsAtOnce* Next() {
    rows_.Resize(at_once_);
    bool got = false;
    if (IsPostgresql(session_)) {
      Prepare("FETCH " + std::to_string(at_once_) + " FROM skms_copy");
      got = statement_->execute(true);
    } else {
      got = begun_ ? statement_->fetch() : statement_->execute(true);
    }
    begun_ = true;
    if (!got && IsPostgresql(session_)) session_ << "CLOSE skms_copy";
    return got && rows_.size() > 0 ? &rows_ : nullptr;
  }

 private:
  void Prepare(const std::string& query) {
    statement_ = std::make_unique<soci::statement>(session_);
    for (std::size_t i = 0; i < rows_.values.size(); ++i)
      statement_->exchange(soci::into(rows_.values[i], rows_.nulls[i]));
    statement_->alloc();
    statement_->prepare(query);
    statement_->define_and_bind();
  }

  soci::session& session_;
  const std::size_t at_once_;
  RowsAtOnce rows_;
  std::unique_ptr<soci::statement> statement_;
  bool begun_ = false;
};

void Insert(soci::session& to, const std::string& table, const Columns& columns, RowsAtOnce& rows) {
  soci::statement insert(to);
  for (std::size_t i = 0; i < columns.size(); ++i) insert.exchange(soci::use(rows.values[i], rows.nulls[i]));
  insert.alloc();
  insert.prepare("INSERT INTO " + table + " (" + Joined(columns, "") + ") VALUES (" + Joined(columns, ":v_") +
                 ")");
  insert.define_and_bind();
  insert.execute(true);
}

/// What others refer to is there before them.
std::vector<std::string> InOrder(const std::map<std::string, Columns>& tables) {
  std::vector<std::string> order;
  order.reserve(tables.size());
  for (const auto& [table, columns] : tables) order.push_back(table);
  std::stable_partition(order.begin(), order.end(),
                        [](const std::string& table) { return table == "principals"; });
  return order;
}

}  // namespace

namespace {

/// Of a statement over a whole table.
void LetItTake(soci::session& session) {
  if (IsPostgresql(session)) session << "SET LOCAL statement_timeout = 0";
}

}  // namespace

Status CopyTables(soci::session& from, soci::session& to, const std::function<bool()>& stopped) {
  const std::map<std::string, Columns> tables = ReadTables(from);
  if (tables.size() != kTables.size() || tables != ReadTables(to))
    return IntegrityError("the tables of the two databases differ, and nothing was copied");
  const std::vector<std::string> order = InOrder(tables);
  LetItTake(to);
  for (auto table = order.rbegin(); table != order.rend(); ++table) to << "DELETE FROM " + *table;
  for (const std::string& table : order) {
    // What triggers counted meanwhile, too.
    to << "DELETE FROM " + table;
    const Columns& columns = tables.at(table);
    TableRows rows(from, table, columns);
    std::size_t copied = 0;
    while (RowsAtOnce* some = rows.Next()) {
      if (stopped()) return BackupStopped();
      copied += some->size();
      Insert(to, table, columns, *some);
    }
    long long arrived = 0;
    to << "SELECT count(*) FROM " + table, soci::into(arrived);
    if (static_cast<std::size_t>(arrived) != copied)
      return IntegrityError("of " + std::to_string(copied) + " rows of table " + table + " " +
                            std::to_string(arrived) + " arrived, and nothing was copied");
  }
  return Ok();
}

Status CopyDatabase(Database& from, Database& to, const std::function<bool()>& stopped,
                    const std::function<void(soci::session&)>& last) {
  SKMS_TRYV(Migrate(to));
  return from.ReadSnapshotAtLength([&](soci::session& source) -> Status {
    // Of the reader's thread, which waits here for the writer's.
    return to.WriteAtLength([&](soci::session& session) -> Status {
      SKMS_TRYV(CopyTables(source, session, stopped));
      // The chain's end is another than before.
      PreparedStatements::ForgetTransaction(session);
      last(session);
      return Ok();
    });
  });
}

Status EmptyTables(Database& database) {
  return database.WriteAtLength([](soci::session& session) -> Status {
    LetItTake(session);
    const std::vector<std::string> order = InOrder(ReadTables(session));
    for (auto table = order.rbegin(); table != order.rend(); ++table) {
      // What says which schema it has stays, and that nobody may start with it.
      session << "DELETE FROM " + *table +
                     (*table == "meta" ? " WHERE name NOT IN ('schema_version', 'arriving')" : "");
    }
    // What triggers counted meanwhile.
    session << "DELETE FROM state_counts";
    PreparedStatements::ForgetTransaction(session);
    return Ok();
  });
}

}  // namespace skms::keystore
