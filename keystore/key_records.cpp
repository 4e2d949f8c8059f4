#include "keystore/key_records.h"

#include <soci/soci.h>

#include <utility>

#include "base/encoding.h"
#include "keystore/kept_number.h"
#include "keystore/prepared_statements.h"
#include "keystore/rewrap_rows.h"

namespace skms::keystore {
namespace {

constexpr const char* kColumns =
    "kid, service, target_kind, target, version, profile, state, created, not_before, not_after, deactivated,"
    " suspended, compromised, destroyed, superseded, group_revision, released, changed_by, reason,"
    " kek_generation, wrap_format, wrapped, public_key, mac_generation, mac";

/// A time that may be absent, as SOCI exchanges it.
struct NullableTime {
  long long value = 0;
  soci::indicator null = soci::i_null;

  NullableTime() = default;
  explicit NullableTime(const std::optional<std::int64_t>& time)
      : value(time.value_or(0)), null(time ? soci::i_ok : soci::i_null) {}
  std::optional<std::int64_t> time() const {
    return null == soci::i_ok ? std::optional<std::int64_t>(value) : std::nullopt;
  }
};

/// One row as SOCI exchanges it.
struct Row {
  std::string kid, service, target_kind, target, profile, state, wrap_format, wrapped, public_key, mac,
      changed_by, reason;
  int version = 0;
  int kek_generation = 0;
  int mac_generation = 0;
  long long created = 0;
  long long not_before = 0;
  int released = 0;
  int superseded = 0;
  long long group_revision = 0;
  NullableTime not_after, deactivated, suspended, compromised, destroyed;
};

void Bind(soci::statement& statement, NullableTime& time) {
  statement.exchange(soci::into(time.value, time.null));
}

void Bind(soci::statement& statement, Row& row) {
  statement.exchange(soci::into(row.kid));
  statement.exchange(soci::into(row.service));
  statement.exchange(soci::into(row.target_kind));
  statement.exchange(soci::into(row.target));
  statement.exchange(soci::into(row.version));
  statement.exchange(soci::into(row.profile));
  statement.exchange(soci::into(row.state));
  statement.exchange(soci::into(row.created));
  statement.exchange(soci::into(row.not_before));
  for (NullableTime* time :
       {&row.not_after, &row.deactivated, &row.suspended, &row.compromised, &row.destroyed})
    Bind(statement, *time);
  statement.exchange(soci::into(row.superseded));
  statement.exchange(soci::into(row.group_revision));
  statement.exchange(soci::into(row.released));
  statement.exchange(soci::into(row.changed_by));
  statement.exchange(soci::into(row.reason));
  statement.exchange(soci::into(row.kek_generation));
  statement.exchange(soci::into(row.wrap_format));
  statement.exchange(soci::into(row.wrapped));
  statement.exchange(soci::into(row.public_key));
  statement.exchange(soci::into(row.mac_generation));
  statement.exchange(soci::into(row.mac));
}

Result<StoredKeyVersion> FromRow(const Row& row) {
  StoredKeyVersion out;
  KeyVersion& version = out.version;
  const Error unreadable =
      IntegrityError("the row of key " + row.kid + " is not readable: it was changed outside skms");
  const auto kind = ParseTargetKind(row.target_kind);
  const auto state = ParseKeyState(row.state);
  auto wrapped = FromBase64Url(row.wrapped);
  auto public_key = FromBase64Url(row.public_key);
  if (kind.has_error() || state.has_error() || !wrapped || !public_key || row.version < 1 ||
      row.kek_generation < 0) {
    return unreadable;
  }
  version.kid = Kid(row.kid);
  version.selector = {ValServiceId(row.service), kind.value(), row.target};
  version.version = static_cast<std::uint32_t>(row.version);
  version.profile = row.profile;
  version.state = state.value();
  version.created = row.created;
  version.not_before = row.not_before;
  version.not_after = row.not_after.time();
  version.deactivated = row.deactivated.time();
  version.suspended = row.suspended.time();
  version.compromised = row.compromised.time();
  version.destroyed = row.destroyed.time();
  version.released = row.released != 0;
  version.superseded = row.superseded != 0;
  version.group_revision = row.group_revision;
  version.changed_by = row.changed_by;
  version.reason = row.reason;
  version.wrapped = {static_cast<std::uint32_t>(row.kek_generation), row.wrap_format, std::move(*wrapped)};
  version.public_key = std::move(*public_key);
  out.mac = {row.mac_generation, row.mac};
  return out;
}

/// The first row of a prepared selection, if there is one.
Result<std::optional<StoredKeyVersion>> FetchOne(soci::statement& statement, Row& row) {
  statement.define_and_bind();
  if (!statement.execute(true)) return std::optional<StoredKeyVersion>();
  SKMS_TRY(StoredKeyVersion stored, FromRow(row));
  return std::optional<StoredKeyVersion>(std::move(stored));
}

Status FetchAll(soci::statement& statement, Row& row, std::vector<StoredKeyVersion>& out) {
  statement.define_and_bind();
  for (bool more = statement.execute(true); more; more = statement.fetch()) {
    SKMS_TRY(StoredKeyVersion stored, FromRow(row));
    out.push_back(std::move(stored));
  }
  return Ok();
}

/// The versions of one selector, the newest first.
struct VersionsOfSelector {
  explicit VersionsOfSelector(soci::session& session) : statement(session) {
    Bind(statement, row);
    statement.exchange(soci::use(service));
    statement.exchange(soci::use(kind));
    statement.exchange(soci::use(target));
    statement.alloc();
    statement.prepare(
        std::string("SELECT ") + kColumns +
        " FROM key_versions WHERE service = :service AND target_kind = :kind AND target = :target"
        " ORDER BY version DESC");
    statement.define_and_bind();
  }
  std::string service;
  std::string kind;
  std::string target;
  Row row;
  soci::statement statement;
};

/// A version as it begins: what comes later in its life is not in it.
Row NewRow(const StoredKeyVersion& stored) {
  const KeyVersion& version = stored.version;
  Row row;
  row.kid = version.kid.value();
  row.service = version.selector.service.value();
  row.target_kind = Name(version.selector.kind);
  row.target = version.selector.target;
  row.version = static_cast<int>(version.version);
  row.profile = version.profile;
  row.state = Name(version.state);
  row.created = version.created;
  row.not_before = version.not_before;
  row.not_after = NullableTime(version.not_after);
  row.superseded = version.superseded ? 1 : 0;
  row.group_revision = version.group_revision;
  row.kek_generation = static_cast<int>(version.wrapped.kek_generation);
  row.wrap_format = version.wrapped.format;
  row.wrapped = ToBase64Url(version.wrapped.bytes);
  row.public_key = ToBase64Url(version.public_key);
  row.mac_generation = stored.mac.generation;
  row.mac = stored.mac.text;
  return row;
}

struct InsertKeyVersion {
  explicit InsertKeyVersion(soci::session& session)
      : statement(
            (session.prepare
                 << "INSERT INTO key_versions (kid, service, target_kind, target, version, profile, state,"
                    " created, not_before, not_after, superseded, group_revision, kek_generation,"
                    " wrap_format, wrapped, public_key, mac_generation, mac) VALUES (:kid, :service, :kind,"
                    " :target, :version, :profile, :state, :created, :not_before, :not_after, :superseded,"
                    " :group_revision, :kek, :format, :wrapped, :public_key, :mac_generation, :mac)",
             soci::use(row.kid), soci::use(row.service), soci::use(row.target_kind), soci::use(row.target),
             soci::use(row.version), soci::use(row.profile), soci::use(row.state), soci::use(row.created),
             soci::use(row.not_before), soci::use(row.not_after.value, row.not_after.null),
             soci::use(row.superseded), soci::use(row.group_revision), soci::use(row.kek_generation),
             soci::use(row.wrap_format), soci::use(row.wrapped), soci::use(row.public_key),
             soci::use(row.mac_generation), soci::use(row.mac))) {}
  Row row;
  soci::statement statement;
};

struct CountOneRecord {
  explicit CountOneRecord(soci::session& session)
      : statement(
            (session.prepare << "UPDATE service_records SET records = records + 1 WHERE service = :service",
             soci::use(service))) {}
  std::string service;
  soci::statement statement;
};

struct RecordsOfService {
  static constexpr const char* kSql = "SELECT records FROM service_records WHERE service = :service";
};

struct NewestOfSelector {
  static constexpr const char* kSql =
      "SELECT coalesce(max(version), 0) FROM key_versions"
      " WHERE service = :service AND target_kind = :kind AND target = :target";
};

std::int64_t Flat(const std::optional<std::int64_t>& time) { return time ? *time : -1; }

}  // namespace

RowFields FieldsOf(const KeyVersion& version) {
  RowFields fields("key_versions v1");
  fields.Add(version.kid.value())
      .Add(version.selector.service.value())
      .Add(Name(version.selector.kind))
      .Add(version.selector.target)
      .Add(std::int64_t{version.version})
      .Add(version.profile)
      .Add(Name(version.state))
      .Add(version.created)
      .Add(version.not_before)
      .Add(Flat(version.not_after))
      .Add(Flat(version.deactivated))
      .Add(std::int64_t{version.wrapped.kek_generation})
      .Add(version.wrapped.format)
      .Add(AsText(version.wrapped.bytes))
      .Add(AsText(version.public_key));
  // Rows of older schema versions keep the MAC they have.
  if (!version.changed_by.empty()) {
    fields.Add("life v2")
        .Add(Flat(version.suspended))
        .Add(Flat(version.compromised))
        .Add(Flat(version.destroyed))
        .Add(std::int64_t{version.released ? 1 : 0})
        .Add(version.changed_by)
        .Add(version.reason);
  }
  if (version.superseded || version.group_revision != 0) {
    fields.Add("life v3").Add(std::int64_t{version.superseded ? 1 : 0}).Add(version.group_revision);
  }
  return fields;
}

std::string RowName(const KeyVersion& version) { return "key " + version.kid.value(); }

Result<std::vector<StoredKeyVersion>> ReadVersions(soci::session& session, const Selector& selector) {
  const auto select = PreparedStatements::Of<VersionsOfSelector>(session);
  select->service = selector.service.value();
  select->kind = Name(selector.kind);
  select->target = selector.target;
  std::vector<StoredKeyVersion> versions;
  Status all_sound = Ok();
  for (bool more = select->statement.execute(true); more; more = select->statement.fetch()) {
    auto stored = FromRow(select->row);
    if (stored.has_error()) {
      all_sound = std::move(stored).error();
    } else {
      versions.push_back(std::move(stored).value());
    }
  }
  SKMS_TRYV(std::move(all_sound));
  return versions;
}

Result<std::optional<StoredKeyVersion>> ReadByKid(Database& database, const Kid& kid) {
  std::optional<StoredKeyVersion> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    Row row;
    soci::statement statement(session);
    Bind(statement, row);
    statement.exchange(soci::use(kid.value()));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kColumns + " FROM key_versions WHERE kid = :kid");
    SKMS_TRY(found, FetchOne(statement, row));
    return Ok();
  }));
  return found;
}

Result<std::vector<StoredKeyVersion>> ReadPage(Database& database, const KeyListQuery& query) {
  std::vector<StoredKeyVersion> page;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    Row row;
    const std::string service = query.service ? query.service->value() : std::string();
    const std::string state(query.state ? Name(*query.state) : std::string_view());
    const long long before = query.expiring_before.value_or(0);
    const int limit = static_cast<int>(query.limit);
    soci::statement statement(session);
    Bind(statement, row);
    // Only what is asked for stands in the SQL, so that the index leads straight to the page.
    std::string where = " WHERE 1 = 1";
    if (query.service) {
      where += " AND service = :service";
      statement.exchange(soci::use(service, "service"));
    }
    if (query.state) {
      where += " AND state = :state";
      statement.exchange(soci::use(state, "state"));
    }
    if (query.expiring_before) {
      where += " AND not_after < :before";
      statement.exchange(soci::use(before, "before"));
    }
    if (!query.target_prefix.empty()) {
      where += " AND substr(target, 1, length(:prefix)) = :prefix";
      statement.exchange(soci::use(query.target_prefix, "prefix"));
    }
    if (!query.after_kid.empty()) {
      where +=
          " AND (service, target_kind, target, version) > (SELECT service, target_kind, target, version"
          " FROM key_versions WHERE kid = :after)";
      statement.exchange(soci::use(query.after_kid, "after"));
    }
    statement.exchange(soci::use(limit, "most"));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kColumns + " FROM key_versions" + where +
                      " ORDER BY service, target_kind, target, version LIMIT :most");
    return FetchAll(statement, row, page);
  }));
  return page;
}

Result<std::vector<StoredKeyVersion>> ReadNotUnder(Database& database, const hsm::TokenKeyGenerations& use,
                                                   const std::string& after_kid, int limit) {
  std::vector<StoredKeyVersion> page;
  const OldRows old(use);
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    Row row;
    soci::statement statement(session);
    Bind(statement, row);
    statement.exchange(soci::use(after_kid, "after"));
    statement.exchange(soci::use(old.mac, "mac"));
    statement.exchange(soci::use(old.kek, "kek"));
    statement.exchange(soci::use(limit, "most"));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kColumns + " FROM key_versions WHERE kid > :after AND " +
                      OldRows::kWrapped + " ORDER BY kid LIMIT :most");
    return FetchAll(statement, row, page);
  }));
  return page;
}

bool HasVersions(soci::session& session, const ValServiceId& service) {
  int some = 0;
  session << "SELECT count(*) FROM (SELECT 1 FROM key_versions WHERE service = :service LIMIT 1) AS found",
      soci::into(some), soci::use(service.value());
  return some > 0;
}

void InsertVersion(soci::session& session, const StoredKeyVersion& stored) {
  const auto insert = PreparedStatements::Of<InsertKeyVersion>(session);
  insert->row = NewRow(stored);
  insert->statement.execute(true);
}

bool UpdateVersion(soci::session& session, const StoredKeyVersion& stored, const RowMac& former) {
  const KeyVersion& v = stored.version;
  const std::string state(Name(v.state));
  const std::string wrapped = ToBase64Url(v.wrapped.bytes);
  const int released = v.released ? 1 : 0;
  const int superseded = v.superseded ? 1 : 0;
  const long long not_before = v.not_before;
  NullableTime not_after(v.not_after);
  NullableTime deactivated(v.deactivated);
  NullableTime suspended(v.suspended);
  NullableTime compromised(v.compromised);
  NullableTime destroyed(v.destroyed);
  soci::statement update =
      (session.prepare
           << "UPDATE key_versions SET state = :state, not_before = :not_before, not_after = :not_after,"
              " deactivated = :deactivated, suspended = :suspended, compromised = :compromised,"
              " destroyed = :destroyed, superseded = :superseded, released = :released, changed_by = :by,"
              " reason = :reason, wrapped = :wrapped, mac_generation = :generation, mac = :mac"
              " WHERE kid = :kid AND mac = :former",
       soci::use(state), soci::use(not_before), soci::use(not_after.value, not_after.null),
       soci::use(deactivated.value, deactivated.null), soci::use(suspended.value, suspended.null),
       soci::use(compromised.value, compromised.null), soci::use(destroyed.value, destroyed.null),
       soci::use(superseded), soci::use(released), soci::use(v.changed_by), soci::use(v.reason),
       soci::use(wrapped), soci::use(stored.mac.generation), soci::use(stored.mac.text),
       soci::use(v.kid.value()), soci::use(former.text));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

bool RewrapVersion(soci::session& session, const StoredKeyVersion& stored, const RowMac& former) {
  return ReplaceWrapping(session, {"key_versions", "kid", stored.version.kid.value()}, stored.version.wrapped,
                         stored.mac, former);
}

bool CountRecord(soci::session& session, const Service& service) {
  const std::string& id = service.id.value();
  const std::optional<long long> records = AskNumber<RecordsOfService>(session, id);
  if (!records) {
    session << "INSERT INTO service_records (service, records) VALUES (:id, 1)", soci::use(id);
    return true;
  }
  if (service.max_records > 0 && *records >= service.max_records) return false;
  const auto update = PreparedStatements::Of<CountOneRecord>(session);
  update->service = id;
  update->statement.execute(true);
  return true;
}

std::uint32_t ProtectingNumber(soci::session& session, const Selector& selector) {
  int number = 0;
  const std::string kind(Name(selector.kind));
  session << "SELECT coalesce(max(CASE WHEN state = 'active' THEN version END), max(version), 1) FROM "
             "key_versions"
             " WHERE service = :service AND target_kind = :kind AND target = :target",
      soci::into(number), soci::use(selector.service.value()), soci::use(kind), soci::use(selector.target);
  return static_cast<std::uint32_t>(number);
}

int NewestNumber(soci::session& session, const Selector& selector) {
  return static_cast<int>(
      AskNumber<NewestOfSelector>(session, selector.service.value(), Name(selector.kind), selector.target)
          .value_or(0));
}

namespace {

/// The selectors that `condition` finds, in the order of `order`.
Result<std::vector<Selector>> SelectSelectors(Database& database, const std::string& condition_and_order,
                                              std::int64_t until, const std::string& service, int limit) {
  std::vector<Selector> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id;
    std::string kind;
    std::string target;
    const long long time = until;
    soci::statement select(session);
    select.exchange(soci::into(id));
    select.exchange(soci::into(kind));
    select.exchange(soci::into(target));
    if (!service.empty()) select.exchange(soci::use(service, "service"));
    select.exchange(soci::use(time, "until"));
    select.exchange(soci::use(limit, "most"));
    select.alloc();
    select.prepare("SELECT service, target_kind, target FROM key_versions WHERE " + condition_and_order +
                   " LIMIT :most");
    select.define_and_bind();
    for (bool more = select.execute(true); more; more = select.fetch()) {
      const auto parsed = ParseTargetKind(kind);
      if (parsed.has_error()) return IntegrityError("a key's target kind is not readable");
      found.push_back({ValServiceId(id), parsed.value(), target});
    }
    return Ok();
  }));
  return found;
}

}  // namespace

Result<std::vector<Selector>> SelectorsToActivate(Database& database, std::int64_t now, int limit) {
  return SelectSelectors(database, "state = 'pre-active' AND not_before <= :until ORDER BY not_before", now,
                         "", limit);
}

Result<std::vector<Selector>> SelectorsToEnd(Database& database, std::int64_t now, int limit) {
  return SelectSelectors(database, "state = 'active' AND not_after <= :until ORDER BY not_after", now, "",
                         limit);
}

Result<std::vector<Selector>> SelectorsToFollow(Database& database, const ValServiceId& service,
                                                std::int64_t begun_until, int limit) {
  return SelectSelectors(database,
                         "service = :service AND state = 'active' AND superseded = 0 AND not_before <= :until"
                         " ORDER BY not_before",
                         begun_until, service.value(), limit);
}

Result<std::vector<Selector>> SelectorsEndingUnfollowed(Database& database, const ValServiceId& service,
                                                        std::int64_t ends_until, int limit) {
  return SelectSelectors(database,
                         "service = :service AND state = 'active' AND superseded = 0 AND not_after <= :until"
                         " ORDER BY not_after",
                         ends_until, service.value(), limit);
}

Result<UnfollowedTimes> EarliestUnfollowed(Database& database, const ValServiceId& service) {
  NullableTime begin;
  NullableTime end;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    // Two statements, for each has an index that leads straight to its smallest.
    session << "SELECT min(not_before) FROM key_versions WHERE service = :service AND state = 'active'"
               " AND superseded = 0",
        soci::into(begin.value, begin.null), soci::use(service.value());
    session << "SELECT min(not_after) FROM key_versions WHERE service = :service AND state = 'active'"
               " AND superseded = 0",
        soci::into(end.value, end.null), soci::use(service.value());
    return Ok();
  }));
  return UnfollowedTimes{begin.time(), end.time()};
}

}  // namespace skms::keystore
