// KeyRow: a key version as SOCI exchanges it with the table key_versions.
//
// For sources that speak to SOCI, whose exceptions they throw. A statement holds on to the row that is bound
// to it, which must outlive it.
#pragma once

#include <soci/soci.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "keystore/key_records.h"

namespace skms::keystore {

/// In the order in which Bind takes them.
inline constexpr const char* kKeyColumns =
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

struct KeyRow {
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

/// Before `statement` is prepared: what it selects, kKeyColumns, goes to `row`.
void Bind(soci::statement& statement, KeyRow& row);

/// Errors: kIntegrity (a value that skms never wrote). The MAC is not checked.
Result<StoredKeyVersion> FromRow(const KeyRow& row);
/// A version as it begins: what comes later in its life is not in it.
KeyRow NewRow(const StoredKeyVersion& stored);

/// The first row of a prepared selection, if there is one. Errors: as FromRow.
Result<std::optional<StoredKeyVersion>> FetchOne(soci::statement& statement, KeyRow& row);
/// All of them, behind what is in `out`. Errors: as FromRow.
Status FetchAll(soci::statement& statement, KeyRow& row, std::vector<StoredKeyVersion>& out);

}  // namespace skms::keystore
