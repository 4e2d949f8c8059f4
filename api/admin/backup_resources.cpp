#include "api/admin/backup_resources.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "api/admin/entry_json.h"
#include "api/http/json.h"
#include "base/encoding.h"
#include "keystore/backup.h"
#include "keystore/restore_authorisation.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

json ToJson(const StoredBackup& backup) {
  const keystore::BackupHeader& header = backup.made.header;
  return {{"id", backup.id},
          {"bytes", backup.bytes},
          {"sha256", backup.made.statement.hash},
          {"signedBytes", backup.made.statement.bytes},
          {"time", FormatUtc(header.time_ms / 1000)},
          {"services", header.services},
          {"keyVersions", header.key_versions},
          {"payloads", header.payloads},
          {"entries", header.entries},
          {"head", header.head},
          {"damage", backup.made.damage}};
}

Result<json> ReadStanding(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const Page wanted, PageFromText(call.request.query, call.invalid));
  const auto after = wanted.after.empty() ? std::optional<std::int64_t>(0) : WholeNumber(wanted.after);
  if (!after) {
    call.invalid.push_back({"after", "is no number of octets"});
    return InvalidArgument("'after' is no number of octets");
  }
  SKMS_TRY(const Bytes piece, deps.backups.read(call.values[0], *after));
  return json{{"octets", ToBase64Url(piece)}};
}

Result<StoredBackup> Make(const AdminDependencies& deps, Call& call) {
  json body = json::object();
  if (!call.request.body.empty()) {
    SKMS_TRY(body, http::ParseJson(call.request.body));
  }
  BodyReader reader(body, call.invalid);
  const bool with_damage = reader.Flag("withDamage", false);
  SKMS_TRYV(reader.Finish());
  return deps.backups.make(call.by(), with_damage);
}

Result<json> Authorise(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const std::string hash, RestoreHashIn(call));
  if (!call.approval)
    return Conflict("approvals.required names no 'restore': a backup is restored without an authorisation");
  SKMS_TRY(const std::string jws, keystore::SignRestoreAuthorisation(deps.module, hash, *call.approval));
  return json{{"authorisation", jws}, {"expires", FormatUtc(call.approval->expires)}};
}

Status Record(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  const std::string statement = reader.Text("statement", true);
  SKMS_TRYV(reader.Finish());
  return deps.store.RecordBackupCheck(call.by(), statement);
}

}  // namespace

Response MakeBackup(const AdminDependencies& deps, Call& call) {
  const auto made = Make(deps, call);
  return made.has_error() ? Failed(made.error(), call) : JsonResponse(201, ToJson(made.value()));
}

Response ReadBackup(const AdminDependencies& deps, Call& call) {
  return Answer(ReadStanding(deps, call), call);
}

Response RemoveBackup(const AdminDependencies& deps, const Call& call) {
  return NoContent(deps.backups.remove(call.values[0]), call);
}

Result<std::string> RestoreHashIn(Call& call) {
  constexpr std::size_t kDigits = 64;
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  std::string hash = reader.Text("sha256", true);
  if (hash.size() != kDigits || hash.find_first_not_of("0123456789abcdef") != std::string::npos)
    reader.Wrong("sha256", "is not the 64 hex digits of a SHA-256");
  SKMS_TRYV(reader.Finish());
  return hash;
}

Response AuthoriseRestore(const AdminDependencies& deps, Call& call) {
  return Answer(Authorise(deps, call), call);
}

Response RecordBackupCheck(const AdminDependencies& deps, Call& call) {
  return NoContent(Record(deps, call), call);
}

}  // namespace skms::admin
