#include "keystore/payload_rows.h"

#include <soci/soci.h>

#include <utility>

#include "base/encoding.h"
#include "keystore/rewrap_rows.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kTagBytes = 16;
constexpr const char* kPayloadColumns =
    "id, service, target_kind, target, payload_id, version, created, provisioned_by, digest, kek_generation,"
    " wrap_format, wrapped, protected, iv, ciphertext, tag, mac_generation, mac";

/// One row as SOCI exchanges it.
struct PayloadRow {
  std::string id, service, kind, target, payload_id, by, digest, format, wrapped, header, iv, ciphertext, tag;
  int version = 0;
  int kek = 0;
  long long created = 0;
  RowMac mac;
};

void BindPayload(soci::statement& statement, PayloadRow& row) {
  statement.exchange(soci::into(row.id));
  statement.exchange(soci::into(row.service));
  statement.exchange(soci::into(row.kind));
  statement.exchange(soci::into(row.target));
  statement.exchange(soci::into(row.payload_id));
  statement.exchange(soci::into(row.version));
  statement.exchange(soci::into(row.created));
  for (std::string* text : {&row.by, &row.digest}) statement.exchange(soci::into(*text));
  statement.exchange(soci::into(row.kek));
  for (std::string* text : {&row.format, &row.wrapped, &row.header, &row.iv, &row.ciphertext, &row.tag})
    statement.exchange(soci::into(*text));
  statement.exchange(soci::into(row.mac.generation));
  statement.exchange(soci::into(row.mac.text));
}

Result<StoredPayload> FromRow(const PayloadRow& row) {
  const auto kind = ParseTargetKind(row.kind);
  auto wrapped = FromBase64Url(row.wrapped);
  auto nonce = FromBase64Url(row.iv);
  auto ciphertext = FromBase64Url(row.ciphertext);
  const auto tag = FromBase64Url(row.tag);
  if (kind.has_error() || !wrapped || !nonce || !ciphertext || !tag || tag->size() != kTagBytes ||
      row.version < 1 || row.kek < 0) {
    return IntegrityError("the row of payload " + row.id + " is not readable: it was changed outside skms");
  }
  StoredPayload out;
  Payload& payload = out.payload;
  payload.bytes = ciphertext->size();
  ciphertext->insert(ciphertext->end(), tag->begin(), tag->end());
  payload.id = row.id;
  payload.selector = {ValServiceId(row.service), kind.value(), row.target};
  payload.payload_id = row.payload_id;
  payload.version = static_cast<std::uint32_t>(row.version);
  payload.created = row.created;
  payload.provisioned_by = PrincipalId(row.by);
  payload.digest = row.digest;
  payload.protected_header = row.header;
  payload.sealed = {{static_cast<std::uint32_t>(row.kek), row.format, std::move(*wrapped)},
                    std::move(*nonce),
                    std::move(*ciphertext)};
  out.mac = row.mac;
  return out;
}

Status FetchAll(soci::statement& statement, PayloadRow& row, std::vector<StoredPayload>& out) {
  statement.define_and_bind();
  for (bool more = statement.execute(true); more; more = statement.fetch()) {
    SKMS_TRY(StoredPayload stored, FromRow(row));
    out.push_back(std::move(stored));
  }
  return Ok();
}

constexpr const char* kNewest =
    "NOT EXISTS (SELECT 1 FROM payloads AS later WHERE later.service = payloads.service"
    " AND later.target_kind = payloads.target_kind AND later.target = payloads.target"
    " AND later.payload_id = payloads.payload_id AND later.version > payloads.version)";

}  // namespace

RowFields FieldsOf(const Payload& payload) {
  RowFields fields("payloads v1");
  fields.Add(payload.id)
      .Add(payload.selector.service.value())
      .Add(Name(payload.selector.kind))
      .Add(payload.selector.target)
      .Add(payload.payload_id)
      .Add(std::int64_t{payload.version})
      .Add(payload.created)
      .Add(payload.provisioned_by.value())
      .Add(payload.digest)
      .Add(payload.protected_header)
      .Add(std::int64_t{payload.sealed.key.kek_generation})
      .Add(payload.sealed.key.format)
      .Add(AsText(payload.sealed.key.bytes))
      .Add(AsText(payload.sealed.nonce))
      .Add(AsText(payload.sealed.ciphertext));
  return fields;
}

std::string RowName(const Payload& payload) { return "payload " + payload.id; }

Result<std::vector<StoredPayload>> ReadCurrentPayloads(soci::session& session, const Selector& selector) {
  std::vector<StoredPayload> found;
  PayloadRow row;
  const std::string kind(Name(selector.kind));
  soci::statement statement(session);
  BindPayload(statement, row);
  statement.exchange(soci::use(selector.service.value(), "service"));
  statement.exchange(soci::use(kind, "kind"));
  statement.exchange(soci::use(selector.target, "target"));
  statement.alloc();
  statement.prepare(
      std::string("SELECT ") + kPayloadColumns +
      " FROM payloads WHERE service = :service AND target_kind = :kind AND target = :target AND " + kNewest +
      " ORDER BY payload_id");
  SKMS_TRYV(FetchAll(statement, row, found));
  return found;
}

Result<std::optional<StoredPayload>> ReadPayload(Database& database, const std::string& id) {
  std::vector<StoredPayload> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    PayloadRow row;
    soci::statement statement(session);
    BindPayload(statement, row);
    statement.exchange(soci::use(id, "id"));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kPayloadColumns + " FROM payloads WHERE id = :id");
    return FetchAll(statement, row, found);
  }));
  return found.empty() ? std::optional<StoredPayload>() : std::move(found.front());
}

Result<std::vector<StoredPayload>> ReadPayloadsNotUnder(Database& database,
                                                        const hsm::TokenKeyGenerations& use,
                                                        const std::string& after, int limit) {
  std::vector<StoredPayload> found;
  const OldRows old(use);
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    PayloadRow row;
    soci::statement statement(session);
    BindPayload(statement, row);
    statement.exchange(soci::use(after, "after"));
    statement.exchange(soci::use(old.mac, "mac"));
    statement.exchange(soci::use(old.kek, "kek"));
    statement.exchange(soci::use(limit, "most"));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kPayloadColumns + " FROM payloads WHERE id > :after AND " +
                      OldRows::kWrapped + " ORDER BY id LIMIT :most");
    return FetchAll(statement, row, found);
  }));
  return found;
}

bool RewrapPayload(soci::session& session, const StoredPayload& stored, const RowMac& former) {
  return ReplaceWrapping(session, {"payloads", "id", stored.payload.id}, stored.payload.sealed.key,
                         stored.mac, former);
}

Result<std::vector<std::string>> ReadPayloadIds(Database& database, const std::string& service,
                                                const std::string& after, int limit) {
  std::vector<std::string> found;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id;
    soci::statement statement(session);
    statement.exchange(soci::into(id));
    std::string where = std::string(" WHERE id > :after AND ") + kNewest;
    statement.exchange(soci::use(after, "after"));
    if (!service.empty()) {
      where += " AND service = :service";
      statement.exchange(soci::use(service, "service"));
    }
    statement.exchange(soci::use(limit, "most"));
    statement.alloc();
    statement.prepare("SELECT id FROM payloads" + where + " ORDER BY id LIMIT :most");
    statement.define_and_bind();
    for (bool more = statement.execute(true); more; more = statement.fetch()) found.push_back(id);
    return Ok();
  }));
  return found;
}

Result<bool> HasPayloads(Database& database) {
  int some = 0;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    session << "SELECT count(*) FROM (SELECT 1 FROM payloads LIMIT 1) AS found", soci::into(some);
    return Ok();
  }));
  return some > 0;
}

void InsertPayload(soci::session& session, const StoredPayload& stored) {
  const Payload& p = stored.payload;
  const std::string kind(Name(p.selector.kind));
  const int version = static_cast<int>(p.version);
  const int kek = static_cast<int>(p.sealed.key.kek_generation);
  const long long created = p.created;
  const ByteView sealed(p.sealed.ciphertext);
  const std::string wrapped = ToBase64Url(p.sealed.key.bytes);
  const std::string iv = ToBase64Url(p.sealed.nonce);
  const std::string ciphertext = ToBase64Url(sealed.first(sealed.size() - kTagBytes));
  const std::string tag = ToBase64Url(sealed.last(kTagBytes));
  session
      << "INSERT INTO payloads (id, service, target_kind, target, payload_id, version, created, "
         "provisioned_by,"
         " digest, kek_generation, wrap_format, wrapped, protected, iv, ciphertext, tag, mac_generation, mac)"
         " VALUES (:id, :service, :kind, :target, :payload, :version, :created, :by, :digest, :kek, :format,"
         " :wrapped, :header, :iv, :ciphertext, :tag, :g, :mac)",
      soci::use(p.id), soci::use(p.selector.service.value()), soci::use(kind), soci::use(p.selector.target),
      soci::use(p.payload_id), soci::use(version), soci::use(created), soci::use(p.provisioned_by.value()),
      soci::use(p.digest), soci::use(kek), soci::use(p.sealed.key.format), soci::use(wrapped),
      soci::use(p.protected_header), soci::use(iv), soci::use(ciphertext), soci::use(tag),
      soci::use(stored.mac.generation), soci::use(stored.mac.text);
}

std::uint32_t NewestPayloadVersion(soci::session& session, const Payload& of) {
  const std::string kind(Name(of.selector.kind));
  long long newest = 0;
  session << "SELECT CAST(coalesce(max(version), 0) AS BIGINT) FROM payloads WHERE service = :service"
             " AND target_kind = :kind AND target = :target AND payload_id = :payload",
      soci::into(newest), soci::use(of.selector.service.value()), soci::use(kind),
      soci::use(of.selector.target), soci::use(of.payload_id);
  return static_cast<std::uint32_t>(newest);
}

void DropPayloads(soci::session& session, const Payload& of, std::uint32_t version) {
  const std::string kind(Name(of.selector.kind));
  const long long newest = version;
  session << "DELETE FROM payloads WHERE service = :service AND target_kind = :kind AND target = :target"
             " AND payload_id = :payload AND version <= CAST(:version AS BIGINT)",
      soci::use(of.selector.service.value()), soci::use(kind), soci::use(of.selector.target),
      soci::use(of.payload_id), soci::use(newest);
}

std::int64_t CountPayloadSelectors(soci::session& session, const ValServiceId& service) {
  long long count = 0;
  session
      << "SELECT count(*) FROM (SELECT DISTINCT target_kind, target FROM payloads WHERE service = :service)"
         " AS found",
      soci::into(count), soci::use(service.value());
  return count;
}

}  // namespace skms::keystore
