// Checkpoints as texts, and the hash of an entry: what a verifier needs, with no database and no token.
// Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/jws.h"
#include "base/result.h"
#include "keystore/audit_values.h"

namespace skms::keystore {

inline constexpr const char* kAuditGenesis =
    "0000000000000000000000000000000000000000000000000000000000000000";
inline constexpr const char* kCheckpointType = "skms-audit";
/// Of the entry that says that a part was archived.
inline constexpr const char* kArchiveAction = "audit.archive";

/// How the reason of that entry ends: "-500 hash=<hex>".
std::string ArchiveReasonEnd(std::int64_t last, const std::string& hash);

/// Hex of the hash that `record` must have.
std::string AuditHash(const AuditRecord& record);

std::string CheckpointPayload(const AuditCheckpoint& checkpoint);
/// Takes a checkpoint's text apart; its signature is in `jws`, not looked at. Errors: kInvalidArgument.
Result<AuditCheckpoint> ReadCheckpoint(const Jws& jws, std::string_view text);

}  // namespace skms::keystore
