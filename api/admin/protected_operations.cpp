#include "api/admin/protected_operations.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "api/admin/backup_resources.h"
#include "api/admin/entry_json.h"
#include "api/http/json.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "keystore/payloads.h"

namespace skms::admin {
namespace {

using keystore::Service;
using nlohmann::json;

constexpr const char* kDestroy = "destroy";
constexpr const char* kRestore = "restore";
constexpr const char* kKek = "kek";
constexpr const char* kStrict = "strict-recipient";
constexpr const char* kAuditKey = "audit-key";

struct Protected {
  std::vector<const char*> kinds;  ///< it needs approval where any of them is asked for
  std::string summary;
};
using Decided = Result<std::optional<Protected>>;

Decided Nothing() { return std::optional<Protected>(); }
Decided Needs(std::vector<const char*> kinds, std::string summary) {
  return std::optional<Protected>(Protected{std::move(kinds), std::move(summary)});
}

Decided OfTransition(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  if (!body.is_object() || !body.contains("action") || body["action"] != "destroy") return Nothing();
  SKMS_TRY(keystore::KeyChange change, KeyChangeFromJson(body, call.invalid));
  if (change.dry_run) return Nothing();
  change.dry_run = true;
  SKMS_TRY(const keystore::KeyVersion key,
           deps.store.ChangeKey(call.by(), keystore::Kid(call.values[0]), change));
  return Needs({kDestroy}, "destroy version " + std::to_string(key.version) + " of a key of service '" +
                               key.selector.service.value() + "' for ever");
}

Decided OfPayload(const AdminDependencies& /*deps*/, Call& call) {
  return Needs({kDestroy}, "remove payload '" + call.values[0] + "' with all its versions for ever");
}

template <class Value>
bool Grows(const std::vector<Value>& former, const std::vector<Value>& next) {
  return std::any_of(next.begin(), next.end(), [&](const Value& one) {
    return std::find(former.begin(), former.end(), one) == former.end();
  });
}

std::string HashOf(const json& value) { return ToHex(Sha256(AsBytes(value.dump()))).substr(0, 32); }

/// Who the policy names, as they are now.
json NamedBy(const AdminDependencies& deps, const Service& service) {
  json out = json::array();
  const auto names = [](const auto& ids, const auto& id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  for (const keystore::Principal& one : deps.store.Principals()) {
    if (names(service.readers, one.id) || names(service.group_servers, one.id)) out.push_back(ToJson(one));
  }
  for (const keystore::Issuer& one : deps.store.Issuers()) {
    // Keys that are fetched change by themselves.
    if (names(service.access.ue_issuers, one.id))
      out.push_back({one.id.value(), one.issuer, one.audience, one.jwks_uri, one.jwks_ca,
                     one.jwks_uri.empty() ? one.jwks : std::string()});
  }
  return out;
}

/// More who get keys that go to TRUSTED keys alone; or fewer versions, so that the scheduler destroys the
/// rest.
Decided OfService(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const Service next, ServiceFromJson(body, call.invalid));
  SKMS_TRY(const Service former, deps.store.FindService(keystore::ValServiceId(call.values[0])));
  std::vector<const char*> kinds;
  std::string summary = "change service '" + former.id.value() + "'";
  const std::uint32_t kept = next.rotation.versions_kept;
  const auto payloads = [](std::uint32_t versions) {
    return versions == 0 ? std::uint32_t{keystore::kPayloadVersionsKept} : versions;
  };
  if (payloads(kept) < payloads(former.rotation.versions_kept)) {
    kinds.push_back(kDestroy);
    summary += ": versions of payloads past the newest " + std::to_string(payloads(kept)) + " are destroyed";
  }
  if (kept != 0 && (former.rotation.versions_kept == 0 || kept < former.rotation.versions_kept)) {
    kinds.push_back(kDestroy);
    summary += ": versions past the newest " + std::to_string(kept) + " of each key are destroyed";
  }
  const bool more = Grows(former.readers, next.readers) || Grows(former.group_servers, next.group_servers) ||
                    Grows(former.access.ue_issuers, next.access.ue_issuers) ||
                    (next.access.ue_service_key && !former.access.ue_service_key);
  if (former.recipients == keystore::Recipients::kTrusted && more) {
    kinds.push_back(kStrict);
    summary += ": others may have its keys, which go to TRUSTED recipients alone";
  }
  // What was approved of one policy is not approved of another; nor of another behind the same name.
  summary += " (as it is now: " + HashOf(ToJson(former)) +
             "; principals and issuers: " + HashOf(NamedBy(deps, next)) + ")";
  return kinds.empty() ? Nothing() : Needs(std::move(kinds), std::move(summary));
}

Decided OfRecipient(const AdminDependencies& deps, Call& call) {
  const std::vector<Service> services = deps.store.Services();
  const bool any_strict = std::any_of(services.begin(), services.end(), [](const Service& one) {
    return one.recipients == keystore::Recipients::kTrusted;
  });
  if (!any_strict) return Nothing();
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  SKMS_TRY(const RecipientRequest wanted, RecipientFromJson(body, call.invalid));
  // A transport key is never TRUSTED.
  if (wanted.public_key.empty()) return Nothing();
  return Needs({kStrict}, "enrol recipient '" + wanted.id.value() +
                              "', which services with strict recipients may go to");
}

Decided OfStrictRefresh(const AdminDependencies& deps, Call& /*call*/) {
  SKMS_TRY(const std::string seen, deps.module.DescribeStrictToCome());
  return Needs({kStrict}, "take what the security officer marked TRUSTED into use (" + seen + ")");
}

std::string InUse(const AdminDependencies& deps) {
  const hsm::TokenKeyGenerations use = deps.module.generations();
  return "KEK " + std::to_string(use.kek) + ", MAC key " + std::to_string(use.mac) + ", signing key " +
         std::to_string(use.sign) + ", transfer key " + std::to_string(use.transfer);
}

Decided OfKekRotation(const AdminDependencies& deps, Call& /*call*/) {
  return Needs({kKek},
               "make the next KEK and MAC key, and bring every row under them; in use now: " + InUse(deps));
}

Decided OfRetirement(const AdminDependencies& deps, Call& /*call*/) {
  return Needs({kKek, kAuditKey},
               "destroy the former token keys, those that signed the audit chain among them; in use, and "
               "kept: " +
                   InUse(deps));
}

Decided OfJoin(const AdminDependencies& deps, Call& call) {
  return Needs(
      {kKek, kAuditKey},
      "let token '" + call.values[0] +
          "' join: the next KEK, MAC, transfer and audit signing keys are made; in use now: " + InUse(deps));
}

Decided OfRestoration(const AdminDependencies& /*deps*/, Call& call) {
  SKMS_TRY(const std::string hash, RestoreHashIn(call));
  return Needs({kRestore}, "let the database be made from the backup with SHA-256 " + hash);
}

struct Row {
  const char* method;
  const char* pattern;
  bool has_body;  ///< that counts
  Decided (*decide)(const AdminDependencies&, Call&);
};

constexpr Row kRows[] = {
    {"POST", "/admin/v1/keys/{kid}/transitions", true, OfTransition},
    {"DELETE", "/admin/v1/payloads/{id}", false, OfPayload},
    {"PUT", "/admin/v1/services/{id}", true, OfService},
    {"POST", "/admin/v1/recipients", true, OfRecipient},
    {"POST", "/admin/v1/token/strict", false, OfStrictRefresh},
    {"POST", "/admin/v1/token-keys/rotate", false, OfKekRotation},
    {"POST", "/admin/v1/token-keys/retire", false, OfRetirement},
    {"POST", "/admin/v1/tokens/{label}/join", true, OfJoin},
    {"POST", "/admin/v1/backups/restorations", true, OfRestoration},
};

/// "POST /admin/v1/keys/abc/transitions", however the path was spelt.
std::string OperationOf(const Row& row, const Call& call) {
  std::string text = std::string(row.method) + " ";
  std::size_t value = 0;
  for (const char* at = row.pattern; *at != '\0'; ++at) {
    if (*at != '{') {
      text += *at;
      continue;
    }
    text += PercentEncode(call.values[value++]);
    while (*at != '}') ++at;
  }
  return text;
}

Result<std::optional<keystore::ApprovalOrder>> OrderOf(const AdminDependencies& deps, const Row& row,
                                                       Call& call) {
  SKMS_TRY(const std::optional<Protected> found, row.decide(deps, call));
  if (!found) return std::optional<keystore::ApprovalOrder>();
  const std::vector<std::string>& required = deps.approvals.required;
  for (const char* kind : found->kinds) {
    if (std::find(required.begin(), required.end(), kind) == required.end()) continue;
    keystore::ApprovalOrder order{kind, OperationOf(row, call), "", found->summary};
    if (row.has_body) {
      SKMS_TRY(const json body, http::ParseJson(call.request.body));
      order.body = body.dump();
    }
    return std::optional<keystore::ApprovalOrder>(std::move(order));
  }
  return std::optional<keystore::ApprovalOrder>();
}

}  // namespace

Result<std::optional<keystore::ApprovalOrder>> OrderToApprove(const AdminDependencies& deps,
                                                              std::string_view method,
                                                              std::string_view pattern, Call& call) {
  if (deps.approvals.required.empty()) return std::optional<keystore::ApprovalOrder>();
  for (const Row& row : kRows) {
    if (method == row.method && pattern == row.pattern) return OrderOf(deps, row, call);
  }
  return std::optional<keystore::ApprovalOrder>();
}

}  // namespace skms::admin
