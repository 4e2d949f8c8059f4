#include "keystore/key_rows.h"

#include <utility>

#include "base/encoding.h"

namespace skms::keystore {
namespace {

void Bind(soci::statement& statement, NullableTime& time) {
  statement.exchange(soci::into(time.value, time.null));
}

}  // namespace

void Bind(soci::statement& statement, KeyRow& row) {
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

Result<StoredKeyVersion> FromRow(const KeyRow& row) {
  StoredKeyVersion out;
  KeyVersion& version = out.version;
  const auto kind = ParseTargetKind(row.target_kind);
  const auto state = ParseKeyState(row.state);
  auto wrapped = FromBase64Url(row.wrapped);
  auto public_key = FromBase64Url(row.public_key);
  if (kind.has_error() || state.has_error() || !wrapped || !public_key || row.version < 1 ||
      row.kek_generation < 0) {
    return IntegrityError("the row of key " + row.kid + " is not readable: it was changed outside skms");
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

Result<std::optional<StoredKeyVersion>> FetchOne(soci::statement& statement, KeyRow& row) {
  statement.define_and_bind();
  if (!statement.execute(true)) return std::optional<StoredKeyVersion>();
  SKMS_TRY(StoredKeyVersion stored, FromRow(row));
  return std::optional<StoredKeyVersion>(std::move(stored));
}

Status FetchAll(soci::statement& statement, KeyRow& row, std::vector<StoredKeyVersion>& out) {
  statement.define_and_bind();
  for (bool more = statement.execute(true); more; more = statement.fetch()) {
    SKMS_TRY(StoredKeyVersion stored, FromRow(row));
    out.push_back(std::move(stored));
  }
  return Ok();
}

KeyRow NewRow(const StoredKeyVersion& stored) {
  const KeyVersion& version = stored.version;
  KeyRow row;
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

}  // namespace skms::keystore
