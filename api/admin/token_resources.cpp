#include "api/admin/token_resources.h"

#include <nlohmann/json.hpp>
#include <set>

#include "api/admin/entry_json.h"
#include "api/http/json.h"
#include "hsm/token_ceremony.h"

namespace skms::admin {
namespace {

using http::Response;
using nlohmann::json;

constexpr std::size_t kFingerprintDigits = 64;

json ToJson(const hsm::TokenKeyGenerations& use) {
  return {{"kek", use.kek}, {"mac", use.mac}, {"sign", use.sign}, {"transfer", use.transfer}};
}

json ToJson(const hsm::HeldGenerations& held) {
  return {{"kek", held.kek}, {"mac", held.mac}, {"sign", held.sign}, {"transfer", held.transfer}};
}

const char* StateOf(const hsm::TokenStatus& token) {
  if (token.blank) return "blank";
  if (!token.health.available) return "lost";
  return token.holds_all ? "serving" : "behind";
}

json ToJson(const hsm::TokenStatus& token) {
  return {{"label", token.info.label},
          {"serial", token.info.serial},
          {"state", StateOf(token)},
          {"weight", token.weight},
          {"held", ToJson(token.held)},
          {"health", admin::ToJson(token.health)},
          {"sessions", {{"inUse", token.leased}, {"limit", token.sessions}}}};
}

const char* NameOf(RewrapReport::Phase phase) {
  switch (phase) {
    case RewrapReport::Phase::kCounting:
      return "counting";
    case RewrapReport::Phase::kRewrapping:
      return "rewrapping";
    case RewrapReport::Phase::kDamaged:
      return "damaged";
    case RewrapReport::Phase::kDone:
      break;
  }
  return "done";
}

json Generations(const AdminDependencies& deps) {
  std::set<std::uint32_t> all;
  for (const hsm::TokenStatus& token : deps.module.tokens())
    all.insert(token.held.kek.begin(), token.held.kek.end());
  return all;
}

json Report(const AdminDependencies& deps) {
  const RewrapReport report = deps.token_keys.report();
  json out{{"use", ToJson(deps.module.generations())},
           {"keks", Generations(deps)},
           {"phase", NameOf(report.phase)},
           {"rows", report.rows},
           {"total", report.total},
           {"done", report.done},
           {"damaged", report.damaged},
           {"rowsPerSecond", static_cast<std::int64_t>(report.rows_per_second)}};
  if (!report.trouble.empty()) out["trouble"] = report.trouble;
  return out;
}

Result<std::string> FingerprintIn(Call& call) {
  SKMS_TRY(const json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  const std::string fingerprint = reader.Text("fingerprint", true);
  if (fingerprint.size() != kFingerprintDigits ||
      fingerprint.find_first_not_of("0123456789abcdef") != std::string::npos)
    reader.Wrong("fingerprint", "is not the 64 hex digits of a SHA-256");
  SKMS_TRYV(reader.Finish());
  return fingerprint;
}

Result<json> Join(const AdminDependencies& deps, Call& call) {
  SKMS_TRY(const std::string fingerprint, FingerprintIn(call));
  deps.token_keys.begin();
  const auto joined = deps.store.JoinToken(call.by(), call.values[0], fingerprint);
  // It may have failed after others came into use.
  deps.token_keys.begin();
  if (joined.has_error()) return joined.error();
  return Report(deps);
}

Result<json> Retire(const AdminDependencies& deps, const Call& call) {
  SKMS_TRYV(deps.token_keys.may_retire());
  const auto destroyed = deps.store.RetireTokenKeys(call.by());
  // A row may have come late, from a request that began before.
  if (destroyed.has_error()) {
    deps.token_keys.begin();
    return destroyed.error();
  }
  return json{{"destroyed", ToJson(destroyed.value())}};
}

Result<json> JoinKeyOf(const AdminDependencies& deps, const Call& call) {
  SKMS_TRY(const hsm::JoinKey key, hsm::TokenCeremony(deps.module).ShowJoinKey(call.values[0]));
  return json{{"label", key.token.label}, {"serial", key.token.serial}, {"fingerprint", key.fingerprint}};
}

}  // namespace

Response ListTokens(const AdminDependencies& deps) {
  json list = json::array();
  for (const hsm::TokenStatus& token : deps.module.tokens()) list.push_back(ToJson(token));
  return JsonResponse(200, {{"tokens", std::move(list)}});
}

Response ShowJoinKey(const AdminDependencies& deps, Call& call) {
  return Answer(JoinKeyOf(deps, call), call);
}

Response JoinToken(const AdminDependencies& deps, Call& call) { return Answer(Join(deps, call), call); }

Response ShowTokenKeys(const AdminDependencies& deps) { return JsonResponse(200, Report(deps)); }

Response RotateTokenKeys(const AdminDependencies& deps, Call& call) {
  deps.token_keys.begin();
  const auto rotated = deps.store.RotateTokenKeys(call.by());
  deps.token_keys.begin();
  if (rotated.has_error()) return Failed(rotated.error(), call);
  return JsonResponse(200, Report(deps));
}

Response RetireTokenKeys(const AdminDependencies& deps, Call& call) {
  return Answer(Retire(deps, call), call);
}

}  // namespace skms::admin
