#include "keystore/schema.h"

#include <soci/soci.h>

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace skms::keystore {
namespace {

// Octets are base64url text: SOCI's blobs differ between backends. Times are seconds since 1970 unless named
// _ms.
constexpr const char* kVersion1[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE services (id TEXT PRIMARY KEY, profile TEXT NOT NULL, scopes TEXT NOT NULL,"
    " generate_on_request INTEGER NOT NULL, delivery TEXT NOT NULL, readers TEXT NOT NULL, user_uri TEXT NOT "
    "NULL,"
    " mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE principals (id TEXT PRIMARY KEY, role TEXT NOT NULL, client_id TEXT NOT NULL,"
    " certificate_spki TEXT NOT NULL UNIQUE, certificate_subject TEXT NOT NULL,"
    " certificate_not_after BIGINT NOT NULL, mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE recipients (id TEXT PRIMARY KEY, principal TEXT NOT NULL UNIQUE REFERENCES principals(id),"
    " kind TEXT NOT NULL, public_key TEXT NOT NULL, kek_generation INTEGER NOT NULL, wrap_format TEXT NOT "
    "NULL,"
    " wrapped TEXT NOT NULL, mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE issuers (id TEXT PRIMARY KEY, issuer TEXT NOT NULL, audience TEXT NOT NULL, jwks TEXT NOT "
    "NULL,"
    " mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE key_versions (kid TEXT PRIMARY KEY, service TEXT NOT NULL, target_kind TEXT NOT NULL,"
    " target TEXT NOT NULL, version INTEGER NOT NULL, profile TEXT NOT NULL, state TEXT NOT NULL,"
    " created BIGINT NOT NULL, not_before BIGINT NOT NULL, not_after BIGINT, deactivated BIGINT,"
    " kek_generation INTEGER NOT NULL, wrap_format TEXT NOT NULL, wrapped TEXT NOT NULL, public_key TEXT NOT "
    "NULL,"
    " mac_generation INTEGER NOT NULL, mac TEXT NOT NULL, UNIQUE (service, target_kind, target, version))",
    "CREATE TABLE audit (seq BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT "
    "NOT NULL,"
    " outcome TEXT NOT NULL, service TEXT NOT NULL, target_kind TEXT NOT NULL, target_pseudonym TEXT NOT "
    "NULL,"
    " kid TEXT NOT NULL, reason TEXT NOT NULL, request_id TEXT NOT NULL, prev_hash TEXT NOT NULL,"
    " hash TEXT NOT NULL)",
};

/// PostgreSQL orders and compares text by octets, as SQLite does, whatever the database's own collation is.
void Run(soci::session& session, std::string statement) {
  if (session.get_backend_name() == "postgresql") {
    constexpr std::string_view kType = " TEXT";
    constexpr std::string_view kCollated = " TEXT COLLATE \"C\"";
    for (std::size_t at = 0; (at = statement.find(kType, at)) != std::string::npos; at += kCollated.size())
      statement.replace(at, kType.size(), kCollated);
  }
  session << statement;
}

Status ToVersion1(soci::session& session) {
  for (const char* statement : kVersion1) Run(session, statement);
  session << "INSERT INTO meta (name, value) VALUES ('schema_version', '1')";
  return Ok();
}

constexpr const char* kVersion2[] = {
    "ALTER TABLE key_versions ADD COLUMN suspended BIGINT",
    "ALTER TABLE key_versions ADD COLUMN compromised BIGINT",
    "ALTER TABLE key_versions ADD COLUMN destroyed BIGINT",
    "ALTER TABLE key_versions ADD COLUMN released INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE key_versions ADD COLUMN changed_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE key_versions ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
};

/// Key life: more states, with their times. MACs of existing rows stay good (see key_records.cpp).
Status ToVersion2(soci::session& session) {
  for (const char* statement : kVersion2) Run(session, statement);
  return Ok();
}

constexpr const char* kVersion3[] = {
    "ALTER TABLE services ADD COLUMN crypto_period BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN overlap BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN make_ahead BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN versions_kept BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN max_records BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN group_servers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE services ADD COLUMN join_policy TEXT NOT NULL DEFAULT 'from-current'",
    "ALTER TABLE key_versions ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE key_versions ADD COLUMN group_revision BIGINT NOT NULL DEFAULT 0",
    // What the scheduler looks for: few rows of many, found without touching the others.
    "CREATE INDEX key_versions_ahead ON key_versions (not_before) WHERE state = 'pre-active'",
    "CREATE INDEX key_versions_ending ON key_versions (not_after) WHERE state = 'active'",
    "CREATE INDEX key_versions_rotating ON key_versions (service, not_before)"
    " WHERE state = 'active' AND superseded = 0",
    "CREATE INDEX key_versions_promised ON key_versions (service, not_after)"
    " WHERE state = 'active' AND superseded = 0",
    // A count for the limit of records, kept beside the rows it counts.
    "CREATE TABLE service_records (service TEXT PRIMARY KEY, records BIGINT NOT NULL)",
    "INSERT INTO service_records (service, records)"
    " SELECT service, count(*) FROM key_versions WHERE version = 1 GROUP BY service",
    "CREATE TABLE val_groups (id TEXT PRIMARY KEY, services TEXT NOT NULL, revision BIGINT NOT NULL,"
    " deleted INTEGER NOT NULL, members BIGINT NOT NULL, digests TEXT NOT NULL, floors TEXT NOT NULL, "
    "created BIGINT NOT NULL,"
    " changed BIGINT NOT NULL, mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE group_members (group_id TEXT NOT NULL, shard INTEGER NOT NULL, kind TEXT NOT NULL,"
    " member TEXT NOT NULL, since TEXT NOT NULL, PRIMARY KEY (group_id, shard, kind, member))",
    "CREATE INDEX group_members_of ON group_members (member, kind)",
    "CREATE TABLE subscriptions (id TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES principals(id),"
    " destination TEXT NOT NULL, ca TEXT NOT NULL, created BIGINT NOT NULL, mac_generation INTEGER NOT NULL,"
    " mac TEXT NOT NULL)",
    "CREATE TABLE subscription_positions (id TEXT PRIMARY KEY, position BIGINT NOT NULL)",
    "CREATE TABLE key_events (seq BIGINT PRIMARY KEY, time BIGINT NOT NULL, event TEXT NOT NULL,"
    " service TEXT NOT NULL, target_kind TEXT NOT NULL, target TEXT NOT NULL, kid TEXT NOT NULL,"
    " version INTEGER NOT NULL, state TEXT NOT NULL)",
};

/// Rotation, groups, notifications. MACs of existing rows stay good.
Status ToVersion3(soci::session& session) {
  for (const char* statement : kVersion3) Run(session, statement);
  return Ok();
}

constexpr const char* kVersion4[] = {
    "ALTER TABLE services ADD COLUMN provisioners TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE services ADD COLUMN ue_issuers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE services ADD COLUMN ue_service_key INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE services ADD COLUMN home TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE services ADD COLUMN home_permanent INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE issuers ADD COLUMN jwks_uri TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN jwks_ca TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN services_claim TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN user_claim TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN ue_claim TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN client_claim TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE issuers ADD COLUMN provisioning_claim TEXT NOT NULL DEFAULT 'SKeyProv'",
    "ALTER TABLE issuers ADD COLUMN provisioning_values TEXT NOT NULL DEFAULT 'true,list'",
    // A recipient may be a user's or UE's now, which is no principal: SQLite drops no foreign key.
    "ALTER TABLE recipients RENAME TO recipients_of_version_3",
    "CREATE TABLE recipients (id TEXT PRIMARY KEY, principal TEXT NOT NULL, ue_kind TEXT NOT NULL, ue TEXT "
    "NOT NULL,"
    " kind TEXT NOT NULL, public_key TEXT NOT NULL, kek_generation INTEGER NOT NULL, wrap_format TEXT NOT "
    "NULL,"
    " wrapped TEXT NOT NULL, mac_generation INTEGER NOT NULL, mac TEXT NOT NULL, UNIQUE (principal, ue_kind, "
    "ue))",
    "INSERT INTO recipients (id, principal, ue_kind, ue, kind, public_key, kek_generation, wrap_format, "
    "wrapped,"
    " mac_generation, mac) SELECT id, principal, '', '', kind, public_key, kek_generation, wrap_format, "
    "wrapped,"
    " mac_generation, mac FROM recipients_of_version_3",
    "DROP TABLE recipients_of_version_3",
    // What VAL servers provision: encrypted by the token, its content key wrapped like any other.
    "CREATE TABLE payloads (id TEXT PRIMARY KEY, service TEXT NOT NULL, target_kind TEXT NOT NULL,"
    " target TEXT NOT NULL, payload_id TEXT NOT NULL, version INTEGER NOT NULL, created BIGINT NOT NULL,"
    " provisioned_by TEXT NOT NULL, digest TEXT NOT NULL, kek_generation INTEGER NOT NULL, wrap_format TEXT "
    "NOT NULL,"
    " wrapped TEXT NOT NULL, protected TEXT NOT NULL, iv TEXT NOT NULL, ciphertext TEXT NOT NULL, tag TEXT "
    "NOT NULL,"
    " mac_generation INTEGER NOT NULL, mac TEXT NOT NULL,"
    " UNIQUE (service, target_kind, target, payload_id, version))",
};

/// UEs, token profiles, provisioning. MACs of existing rows stay good.
Status ToVersion4(soci::session& session) {
  for (const char* statement : kVersion4) Run(session, statement);
  return Ok();
}

/// A home for UEs of its own. MACs of existing rows stay good.
Status ToVersion5(soci::session& session) {
  Run(session, "ALTER TABLE services ADD COLUMN home_ue TEXT NOT NULL DEFAULT ''");
  return Ok();
}

/// Strict recipients. MACs of existing rows stay good.
Status ToVersion6(soci::session& session) {
  Run(session, "ALTER TABLE services ADD COLUMN recipients TEXT NOT NULL DEFAULT 'any'");
  return Ok();
}

/// What the token signed of the audit chain.
Status ToVersion7(soci::session& session) {
  Run(session,
      "CREATE TABLE audit_checkpoints (number BIGINT PRIMARY KEY, seq BIGINT NOT NULL,"
      " handover INTEGER NOT NULL, jws TEXT NOT NULL)");
  session << "CREATE INDEX audit_checkpoints_of ON audit_checkpoints (seq)";
  return Ok();
}

constexpr const char* kCountMade =
    "CREATE TRIGGER key_versions_counted AFTER INSERT ON key_versions BEGIN"
    " INSERT INTO state_counts (state, versions) VALUES (NEW.state, 1)"
    " ON CONFLICT (state) DO UPDATE SET versions = versions + 1; END";
constexpr const char* kCountChanged =
    "CREATE TRIGGER key_versions_recounted AFTER UPDATE OF state ON key_versions WHEN OLD.state <> NEW.state "
    "BEGIN"
    " UPDATE state_counts SET versions = versions - 1 WHERE state = OLD.state;"
    " INSERT INTO state_counts (state, versions) VALUES (NEW.state, 1)"
    " ON CONFLICT (state) DO UPDATE SET versions = versions + 1; END";
constexpr const char* kCountDeleted =
    "CREATE TRIGGER key_versions_uncounted AFTER DELETE ON key_versions BEGIN"
    " UPDATE state_counts SET versions = versions - 1 WHERE state = OLD.state; END";

// PostgreSQL's triggers call functions.
constexpr const char* kCounting[] = {
    "CREATE FUNCTION skms_count_state(counted TEXT, by_how_many BIGINT) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO state_counts (state, versions) VALUES (counted, by_how_many)"
    " ON CONFLICT (state) DO UPDATE SET versions = state_counts.versions + by_how_many $$",
    "CREATE FUNCTION skms_key_version_counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP <> 'INSERT' THEN PERFORM skms_count_state(OLD.state, -1); END IF;"
    " IF TG_OP <> 'DELETE' THEN PERFORM skms_count_state(NEW.state, 1); END IF;"
    " RETURN NULL; END $$",
    "CREATE TRIGGER key_versions_counted AFTER INSERT OR DELETE ON key_versions"
    " FOR EACH ROW EXECUTE FUNCTION skms_key_version_counted()",
    "CREATE TRIGGER key_versions_recounted AFTER UPDATE OF state ON key_versions"
    " FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION skms_key_version_counted()",
};

constexpr const char* kVersion8[] = {
    // Counts that are there already may be wrong, and are made anew.
    "DROP TRIGGER IF EXISTS key_versions_counted",
    "DROP TRIGGER IF EXISTS key_versions_recounted",
    "DROP TRIGGER IF EXISTS key_versions_uncounted",
    "DROP TABLE IF EXISTS state_counts",
    "CREATE TABLE state_counts (state TEXT NOT NULL PRIMARY KEY, versions BIGINT NOT NULL)",
    "INSERT INTO state_counts (state, versions) SELECT state, count(*) FROM key_versions GROUP BY state",
    kCountMade,
    kCountChanged,
    kCountDeleted,
};

/// How many versions are in each state, kept by the database itself beside the rows: whoever watches asks
/// every few seconds, and counting ten million rows takes as long.
Status ToVersion8(soci::session& session) {
  if (session.get_backend_name() == "postgresql") {
    // No PostgreSQL database was ever of an older version.
    Run(session, "CREATE TABLE state_counts (state TEXT NOT NULL PRIMARY KEY, versions BIGINT NOT NULL)");
    for (const char* statement : kCounting) session << statement;
    return Ok();
  }
  for (const char* statement : kVersion8) session << statement;
  return Ok();
}

constexpr const char* kApprovals =
    "CREATE TABLE approvals (id TEXT PRIMARY KEY, kind TEXT NOT NULL, operation TEXT NOT NULL, body TEXT NOT "
    "NULL,"
    " summary TEXT NOT NULL, digest TEXT NOT NULL, requester TEXT NOT NULL, approvers TEXT NOT NULL,"
    " refused_by TEXT NOT NULL, state TEXT NOT NULL, quorum INTEGER NOT NULL, created BIGINT NOT NULL,"
    " expires BIGINT NOT NULL, changed BIGINT NOT NULL, after_entry BIGINT NOT NULL,"
    " mac_generation INTEGER NOT NULL, mac TEXT NOT NULL)";

/// What administrators asked for and others approve.
Status ToVersion9(soci::session& session) {
  // One may be left where the version was turned back by hand.
  session << "DROP TABLE IF EXISTS approvals";
  Run(session, kApprovals);
  return Ok();
}

/// What servers of one database tell each other (changed_elsewhere.h).
Status ToVersion10(soci::session& session) {
  session << "DROP TABLE IF EXISTS store_changes";
  Run(session, "CREATE TABLE store_changes (number BIGINT PRIMARY KEY, places TEXT NOT NULL)");
  return Ok();
}

/// Few keys among millions that are active: pages of them by state.
Status ToVersion11(soci::session& session) {
  // It may be left where the version was turned back by hand.
  session << "DROP INDEX IF EXISTS key_versions_aside";
  session << "CREATE INDEX key_versions_aside ON key_versions (state, service, target_kind, target, version)"
             " WHERE state <> 'active'";
  return Ok();
}

// The step at index n leads from version n to n + 1.
constexpr Status (*kSteps[])(soci::session&) = {ToVersion1, ToVersion2,  ToVersion3, ToVersion4,
                                                ToVersion5, ToVersion6,  ToVersion7, ToVersion8,
                                                ToVersion9, ToVersion10, ToVersion11};
static_assert(std::size(kSteps) == kSchemaVersion);

}  // namespace

Result<int> ReadSchemaVersion(Database& database) {
  int version = 0;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    if (!database.HasTable(session, "meta")) return Ok();
    std::string text;
    session << "SELECT value FROM meta WHERE name = 'schema_version'", soci::into(text);
    if (!session.got_data()) return IntegrityError("the database does not say its schema version");
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), version);
    if (code != std::errc{} || end != text.data() + text.size() || version < 1) {
      return IntegrityError("the database's schema version is no number");
    }
    return Ok();
  }));
  return version;
}

Status Migrate(Database& database) {
  SKMS_TRY(int version, ReadSchemaVersion(database));
  if (version > kSchemaVersion) {
    return Error{ErrorCode::kNewerSchema, "the database has schema version " + std::to_string(version) +
                                              ", made by a newer skms; this program knows version " +
                                              std::to_string(kSchemaVersion) + ": upgrade skms"};
  }
  for (; version < kSchemaVersion; ++version) {
    SKMS_TRYV(database.WriteAtLength([version](soci::session& session) -> Status {
      if (session.get_backend_name() == "postgresql") session << "SET LOCAL statement_timeout = 0";
      SKMS_TRYV(kSteps[version](session));
      const std::string reached = std::to_string(version + 1);
      session << "UPDATE meta SET value = :v WHERE name = 'schema_version'", soci::use(reached);
      return Ok();
    }));
  }
  return Ok();
}

Status MigrateWithCopy(Database& database, const std::string& path) {
  SKMS_TRY(const int version, ReadSchemaVersion(database));
  if (version > 0 && version < kSchemaVersion && database.is_file()) {
    const std::string copy = path + ".schema-" + std::to_string(version);
    Status copied = database.CopyTo(copy);
    if (copied.has_error()) {
      Error error = std::move(copied).error();
      error.detail = "the database must be copied to " + copy +
                     " before it is brought to a newer schema version, and cannot be: " + error.detail;
      return error;
    }
    LogInfo("the database of schema version " + std::to_string(version) + " is copied to " + copy +
            " and brought to version " + std::to_string(kSchemaVersion) +
            "; remove the copy once no way back is wanted");
  }
  return Migrate(database);
}

}  // namespace skms::keystore
