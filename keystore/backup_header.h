// What a backup says of itself to whoever carries it: flat JSON (base/plain_json.h), in the clear, signed
// with the rest. No identity of a user, UE or group is in it.
//
// Pure functions.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/jws.h"
#include "base/result.h"
#include "hsm/token_values.h"
#include "hsm/wrapped_key.h"

namespace skms::keystore {

struct BackupHeader {
  std::string server;        ///< skmsId
  std::string version;       ///< of the program that made it
  std::int64_t time_ms = 0;  ///< when the snapshot was begun: what was answered before is in it
  std::int64_t schema = 0;
  std::string tokens;  ///< "label/serial" of those that served, divided by blanks
  // Generations of token keys without which not all of it can be used again.
  std::set<std::uint32_t> kek;
  std::set<std::uint32_t> strict_kek;
  std::set<std::uint32_t> mac;
  std::uint32_t sign = 0;
  std::int64_t services = 0;
  std::int64_t key_versions = 0;
  std::int64_t payloads = 0;
  std::int64_t entries = 0;    ///< of the audit chain
  std::string head;            ///< hex: hash of the last of them
  std::string checkpoint;      ///< JWS: what the token signed of the chain last; empty: nothing yet
  hsm::WrappedKey data_key{};  ///< AES-256, under the KEK
};

std::string BackupHeaderText(const BackupHeader& header);
/// Errors: kIntegrity.
Result<BackupHeader> ReadBackupHeader(std::string_view text);

/// What the token signs of a backup, or of a drill with one.
inline constexpr const char* kBackupType = "skms-backup";
inline constexpr const char* kDrillType = "skms-drill";

struct BackupStatement {
  std::string hash;          ///< hex SHA-256 of all that stands before the statement
  std::int64_t bytes = 0;    ///< of that
  std::int64_t time_ms = 0;  ///< as in the header
};
std::string BackupStatementText(const BackupStatement& statement);
/// Errors: kIntegrity.
Result<BackupStatement> ReadBackupStatement(std::string_view text);

struct DrillReport {
  std::string hash;             ///< of the backup, as in its statement
  std::int64_t backup_ms = 0;   ///< when that was made
  std::int64_t time_ms = 0;     ///< when it was tried
  std::int64_t rows = 0;        ///< whose MACs were checked
  std::int64_t damaged = 0;     ///< of those
  std::int64_t could_open = 0;  ///< keys in a state that lets them be opened
  std::int64_t sampled = 0;     ///< of those
  std::int64_t failed = 0;      ///< of the sample: the token did not open them
  std::int64_t strict = 0;      ///< of the sample: go to TRUSTED recipients alone, and were not opened
  std::int64_t entries = 0;     ///< of the audit chain
  std::string head;             ///< hex
  std::string chain;            ///< what is wrong with it; empty: it is whole
  std::string missing;  ///< the strict KEK that no token here holds; empty: none is needed, or it is there

  std::int64_t opened() const { return sampled - failed - strict; }
  bool whole() const { return damaged == 0 && failed == 0 && chain.empty(); }
  /// "passed"; "failed": something is wrong; "unproven": nothing is, and of the keys that there are none was
  /// opened.
  const char* result() const;
  bool passed() const { return whole() && (could_open == 0 || opened() > 0); }
};
std::string DrillReportText(const DrillReport& report);
/// Errors: kIntegrity.
Result<DrillReport> ReadDrillReport(std::string_view text);

}  // namespace skms::keystore
