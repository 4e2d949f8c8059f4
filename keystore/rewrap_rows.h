// Rows that are not under the token keys in use, and their way under them. The names of tables and columns
// are our own, never input. Statements throw SOCI's exceptions.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "hsm/token_values.h"
#include "hsm/wrapped_key.h"
#include "keystore/database.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

/// Values for ":mac" and ":kek" of the conditions below.
struct OldRows {
  explicit OldRows(const hsm::TokenKeyGenerations& use)
      : mac(static_cast<int>(use.mac)), kek(static_cast<int>(use.kek)) {}
  /// Of tables that hold wrapped keys. A strict KEK is the security officer's: it has generations of its own.
  static constexpr const char* kWrapped =
      "(mac_generation <> :mac OR (kek_generation <> :kek AND wrap_format <> 'RFC5649-TRUSTED'))";
  int mac;
  int kek;
};

struct RowPlace {
  const char* table;
  const char* id_column;
  const std::string& id;
};

/// Inside a write transaction. False: the row's MAC is not `former`: somebody changed it first, and nothing
/// is written.
bool ReplaceWrapping(soci::session& session, const RowPlace& place, const hsm::WrappedKey& wrapped,
                     const RowMac& mac, const RowMac& former);
/// The same where no key is in the row.
bool ReplaceMac(soci::session& session, const RowPlace& place, const RowMac& mac, const RowMac& former);

/// One row's, for tables of few rows: how many there are, and how many are not under `use`.
struct RowCount {
  std::int64_t all = 0;
  std::int64_t old = 0;
};
RowCount CountRows(soci::session& session, const hsm::TokenKeyGenerations& use);
/// Generations that rows are under.
struct RowGenerations {
  std::set<std::uint32_t> kek;         ///< of rows that hold a key
  std::set<std::uint32_t> strict_kek;  ///< of those, under a strict one
  std::set<std::uint32_t> mac;
};
RowGenerations ReadRowGenerations(soci::session& session);
/// The newest generation that any row is under.
std::uint32_t HighestGeneration(soci::session& session);

}  // namespace skms::keystore
