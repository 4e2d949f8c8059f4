#include "keystore/key_records.h"

#include <soci/soci.h>

#include <utility>

#include "base/encoding.h"
#include "keystore/kept_number.h"
#include "keystore/key_rows.h"
#include "keystore/prepared_statements.h"

namespace skms::keystore {
namespace {

/// The versions of one selector, the newest first.
struct VersionsOfSelector {
  explicit VersionsOfSelector(soci::session& session) : statement(session) {
    Bind(statement, row);
    statement.exchange(soci::use(service));
    statement.exchange(soci::use(kind));
    statement.exchange(soci::use(target));
    statement.alloc();
    statement.prepare(
        std::string("SELECT ") + kKeyColumns +
        " FROM key_versions WHERE service = :service AND target_kind = :kind AND target = :target"
        " ORDER BY version DESC");
    statement.define_and_bind();
  }
  std::string service;
  std::string kind;
  std::string target;
  KeyRow row;
  soci::statement statement;
};

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
  KeyRow row;
  soci::statement statement;
};

struct RewrapKeyVersion {
  explicit RewrapKeyVersion(soci::session& session)
      : statement((
            session.prepare
                << "UPDATE key_versions SET kek_generation = :kek, wrap_format = :format, wrapped = :wrapped,"
                   " mac_generation = :generation, mac = :mac WHERE kid = :kid AND mac = :former",
            soci::use(kek), soci::use(format), soci::use(wrapped), soci::use(mac_generation), soci::use(mac),
            soci::use(kid), soci::use(former))) {}
  int kek = 0;
  int mac_generation = 0;
  std::string format, wrapped, mac, kid, former;
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
    KeyRow row;
    soci::statement statement(session);
    Bind(statement, row);
    statement.exchange(soci::use(kid.value()));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kKeyColumns + " FROM key_versions WHERE kid = :kid");
    SKMS_TRY(found, FetchOne(statement, row));
    return Ok();
  }));
  return found;
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
  // As ReplaceWrapping, kept: there may be millions.
  const auto update = PreparedStatements::Of<RewrapKeyVersion>(session);
  const hsm::WrappedKey& key = stored.version.wrapped;
  update->kek = static_cast<int>(key.kek_generation);
  update->format = key.format;
  update->wrapped = ToBase64Url(key.bytes);
  update->mac_generation = stored.mac.generation;
  update->mac = stored.mac.text;
  update->kid = stored.version.kid.value();
  update->former = former.text;
  update->statement.execute(true);
  return update->statement.get_affected_rows() == 1;
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

}  // namespace skms::keystore
