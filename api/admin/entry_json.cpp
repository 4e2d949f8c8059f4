#include "api/admin/entry_json.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "api/admin/certificate_facts.h"
#include "api/http/query.h"
#include "base/clock.h"
#include "base/date_time.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "hsm/profile.h"
#include "hsm/quirks.h"

namespace skms::admin {
namespace {

using nlohmann::json;
using namespace keystore;  // NOLINT(google-build-using-namespace): every name here is one of its entries

constexpr std::uint32_t kMostInAPage = 1000;
constexpr std::int64_t kMostVersionsKept = 1000000;

json Time(std::int64_t seconds) { return FormatUtc(seconds); }

template <class Id>
json Ids(const std::vector<Id>& ids) {
  json out = json::array();
  for (const Id& id : ids) out.push_back(id.value());
  return out;
}

}  // namespace

json ToJson(const Service& service) {
  json scopes = json::array();
  for (const TargetKind kind : service.scopes) scopes.push_back(Name(kind));
  return {{"id", service.id.value()},
          {"profile", service.profile},
          {"scopes", std::move(scopes)},
          {"generateOnRequest", service.generate_on_request},
          {"delivery", Name(service.delivery)},
          {"readers", Ids(service.readers)},
          {"userUri", service.user_uri},
          {"cryptoPeriod", service.rotation.crypto_period},
          {"overlap", service.rotation.overlap},
          {"makeAhead", service.rotation.make_ahead},
          {"versionsKept", service.rotation.versions_kept},
          {"maxRecords", service.max_records},
          {"groupServers", Ids(service.group_servers)},
          {"join", Name(service.join)},
          {"provisioners", Ids(service.access.provisioners)},
          {"ueIssuers", Ids(service.access.ue_issuers)},
          {"ueServiceKey", service.access.ue_service_key},
          {"home", service.access.home},
          {"homeUe", service.access.home_ue},
          {"homePermanent", service.access.home_permanent},
          {"recipients", Name(service.recipients)}};
}

json ToJson(const Principal& principal) {
  return {{"id", principal.id.value()},
          {"role", principal.role},
          {"clientId", principal.client_id},
          {"certificateSubject", principal.certificate_subject},
          {"certificateNotAfter", Time(principal.certificate_not_after)},
          {"spkiSha256", ToBase64Url(Sha256(principal.certificate_spki))}};
}

json ToJson(const KeyVersion& version) {
  json out{{"kid", version.kid.value()},
           {"service", version.selector.service.value()},
           {"scope", Name(version.selector.kind)},
           {"target", version.selector.target},
           {"version", version.version},
           {"profile", version.profile},
           {"state", Name(version.state)},
           {"created", Time(version.created)},
           {"notBefore", Time(version.not_before)},
           {"kekGeneration", version.wrapped.kek_generation}};
  if (version.not_after) out["notAfter"] = Time(*version.not_after);
  for (const auto& [member, time] :
       {std::pair("deactivated", version.deactivated), std::pair("suspended", version.suspended),
        std::pair("compromised", version.compromised), std::pair("destroyed", version.destroyed)}) {
    if (time) out[member] = Time(*time);
  }
  if (version.state == KeyState::kCompromised) out["released"] = version.released;
  if (!version.changed_by.empty()) {
    out["changedBy"] = version.changed_by;
    out["reason"] = version.reason;
  }
  return out;
}

json ToJson(const RotationPreview& preview) {
  json changed = json::array();
  for (const KeyVersion& version : preview.changed) changed.push_back(ToJson(version));
  return {{"dryRun", true},
          {"version", preview.version},
          {"made", preview.made},
          {"changed", std::move(changed)},
          {"destroyedLater", preview.lost_later}};
}

json ToJson(const Payload& payload) {
  return {{"id", payload.id},
          {"service", payload.selector.service.value()},
          {"scope", Name(payload.selector.kind)},
          {"target", payload.selector.target},
          {"payloadId", payload.payload_id},
          {"version", payload.version},
          {"created", Time(payload.created)},
          {"provisionedBy", payload.provisioned_by.value()},
          {"bytes", payload.bytes}};
}

json ToJson(const Subscription& subscription) {
  return {{"id", subscription.id.value()},
          {"principal", subscription.principal.value()},
          {"destination", subscription.destination},
          {"created", Time(subscription.created)}};
}

json ToJson(const GroupRecord& group) {
  json services = json::array();
  for (const ValServiceId& service : group.services) services.push_back(service.value());
  return {{"id", group.id.value()},        {"services", std::move(services)},
          {"memberCount", group.members},  {"revision", group.revision},
          {"deleted", group.deleted},      {"created", Time(group.created)},
          {"changed", Time(group.changed)}};
}

namespace {

json RowsToJson(const std::vector<hsm::CapabilityRow>& rows) {
  constexpr const char* kFindings[] = {"yes", "no", "warn", "fail"};
  json list = json::array();
  for (const hsm::CapabilityRow& row : rows) {
    list.push_back({{"capability", row.name},
                    {"finding", kFindings[static_cast<std::size_t>(row.finding)]},
                    {"detail", row.detail}});
  }
  return list;
}

}  // namespace

json ToJson(const hsm::Capabilities& capabilities) { return RowsToJson(capabilities.rows); }

json QuirksToJson(const hsm::Capabilities& capabilities) {
  json list = json::array();
  for (const hsm::Quirk& quirk : hsm::QuirksOf(capabilities)) {
    list.push_back({{"quirk", std::string(quirk.name)},
                    {"capability", std::string(quirk.found_by)},
                    {"measure", std::string(quirk.measure)}});
  }
  return list;
}

json ProfilesToJson(const hsm::Capabilities& capabilities) {
  json list = json::array();
  for (const hsm::Profile profile : hsm::kProfiles) {
    const hsm::ProfileVerdict verdict = hsm::Judge(profile, capabilities);
    list.push_back({{"profile", std::string(hsm::NameOf(profile))},
                    {"passes", verdict.passes()},
                    {"failed", RowsToJson(verdict.failed)}});
  }
  return list;
}

json ToJson(const hsm::TokenInfo& token) {
  return {{"label", token.label},
          {"serial", token.serial},
          {"manufacturer", token.manufacturer},
          {"model", token.model},
          {"firmware", token.firmware}};
}

json ToJson(const hsm::CryptoModule::StrictView& strict) {
  return {{"strictKek", strict.kek}, {"trustedRecipients", strict.recipients}};
}

json ToJson(const hsm::TokenHealth& health) {
  const auto lasts =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - health.since);
  json out{{"available", health.available}, {"seconds", lasts.count()}, {"recoveries", health.recoveries}};
  if (!health.available) out["trouble"] = health.trouble;
  return out;
}

json ToJson(const hsm::CryptoModule::SessionUse& sessions) {
  const auto seconds = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
  };
  return {{"inUse", sessions.leased},
          {"limit", sessions.limit},
          {"leases", sessions.leases},
          {"calls", sessions.calls},
          {"waitSeconds", seconds(sessions.waited)},
          {"heldSeconds", seconds(sessions.held)},
          {"callSeconds", seconds(sessions.inside)}};
}

Result<Service> ServiceFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  Service service;
  service.id = ValServiceId(reader.Text("id", true));
  service.profile = reader.Text("profile", false, service.profile);
  if (const auto profile = FindKeyProfile(service.profile); profile.has_error())
    reader.Wrong("profile", profile.error().detail);
  service.scopes.clear();
  for (const std::string& scope : reader.Texts("scopes", {"service"}))
    service.scopes.push_back(reader.Take("scopes", ParseTargetKind(scope), TargetKind::kService));
  service.generate_on_request = reader.Flag("generateOnRequest", true);
  const std::string delivery = reader.Text("delivery", false, std::string(Name(Delivery::kWrapped)));
  service.delivery = reader.Take("delivery", ParseDelivery(delivery), Delivery::kWrapped);
  for (const std::string& principal : reader.Texts("readers", {})) service.readers.emplace_back(principal);
  service.user_uri = reader.Text("userUri", false);
  RotationPolicy& rotation = service.rotation;
  rotation.crypto_period = reader.Number("cryptoPeriod", 0);
  rotation.overlap = reader.Number("overlap", 0);
  // A tenth of the period: early enough for a peer that asks once in a while, late enough to be of use.
  rotation.make_ahead = reader.Number("makeAhead", rotation.crypto_period / 10);
  const std::int64_t kept = reader.Number("versionsKept", 0);
  if (kept > kMostVersionsKept) reader.Wrong("versionsKept", "must be at most 1000000");
  rotation.versions_kept = static_cast<std::uint32_t>(std::min(kept, kMostVersionsKept));
  service.max_records = reader.Number("maxRecords", 0);
  for (const std::string& server : reader.Texts("groupServers", {}))
    service.group_servers.emplace_back(server);
  const std::string join = reader.Text("join", false, std::string(Name(JoinPolicy::kFromCurrent)));
  for (const std::string& one : reader.Texts("provisioners", {}))
    service.access.provisioners.emplace_back(one);
  for (const std::string& one : reader.Texts("ueIssuers", {})) service.access.ue_issuers.emplace_back(one);
  service.access.ue_service_key = reader.Flag("ueServiceKey", false);
  service.access.home = reader.Text("home", false);
  service.access.home_ue = reader.Text("homeUe", false);
  service.access.home_permanent = reader.Flag("homePermanent", false);
  service.join = reader.Take("join", ParseJoinPolicy(join), JoinPolicy::kFromCurrent);
  const std::string recipients = reader.Text("recipients", false, std::string(Name(Recipients::kAny)));
  service.recipients = reader.Take("recipients", ParseRecipients(recipients), Recipients::kAny);
  SKMS_TRYV(reader.Finish());
  return service;
}

Result<Principal> PrincipalFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  Principal principal;
  const std::string id = reader.Text("id", true);
  principal.id = PrincipalId(id);
  principal.client_id = reader.Text("clientId", false, id);
  principal.role = reader.Text("role", false, principal.role);
  const Bytes certificate = reader.Octets("certificate", true);
  if (const Status facts = ReadCertificateFacts(certificate, principal); facts.has_error())
    reader.Wrong("certificate", facts.error().detail);
  SKMS_TRYV(reader.Finish());
  return principal;
}

Result<RotationOrder> RotationOrderFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  RotationOrder order;
  Selector& selector = order.selector;
  selector.service = ValServiceId(reader.Text("service", true));
  order.dry_run = reader.Flag("dryRun", false);
  int targets = 0;
  for (const auto& [member, kind] :
       {std::pair("userId", TargetKind::kUser), std::pair("ueId", TargetKind::kUe),
        std::pair("clientId", TargetKind::kClient), std::pair("groupId", TargetKind::kGroup)}) {
    const std::string target = reader.Text(member, false);
    if (!reader.Has(member)) continue;
    if (++targets > 1) reader.Wrong(member, "give at most one of 'userId', 'ueId', 'clientId' and 'groupId'");
    selector.kind = kind;
    selector.target = target;
    if (const Status fits = CheckIdentifier(member, target); fits.has_error())
      reader.Wrong(member, fits.error().detail);
  }
  SKMS_TRYV(reader.Finish());
  return order;
}

Result<KeyChange> KeyChangeFromJson(const json& body, InvalidParams& invalid) {
  BodyReader reader(body, invalid);
  KeyChange change;
  change.action = reader.Text("action", true);
  change.reason = reader.Text("reason", true);
  change.rotate = reader.Flag("rotate", false);
  change.dry_run = reader.Flag("dryRun", false);
  SKMS_TRYV(reader.Finish());
  return change;
}

namespace {

Error WrongParameter(const std::string& name, const std::string& reason, InvalidParams& invalid) {
  invalid.push_back({name, reason});
  return InvalidArgument("'" + name + "' " + reason);
}

bool ReadLimit(const std::string& value, std::uint32_t& limit) {
  const char* end = value.data() + value.size();
  const auto [last, code] = std::from_chars(value.data(), end, limit);
  return code == std::errc{} && last == end && limit >= 1 && limit <= kMostInAPage;
}

/// Every parameter once, in `take`'s hands; it returns what is wrong with one, or "".
template <class Take>
Status ReadParameters(const std::string& query, InvalidParams& invalid, const Take& take) {
  const auto parameters = http::ParseQuery(query);
  if (parameters.has_error()) return WrongParameter(parameters.error().detail, "is not readable", invalid);
  std::set<std::string> seen;
  for (const auto& [name, value] : parameters.value()) {
    if (!seen.insert(name).second) return WrongParameter(name, "stands twice", invalid);
    if (const std::string wrong = take(name, value); !wrong.empty())
      return WrongParameter(name, wrong, invalid);
  }
  return Ok();
}

const std::string kLimitRule = "must be 1 to " + std::to_string(kMostInAPage);

}  // namespace

Result<KeyListQuery> KeyQueryFromText(const std::string& query, InvalidParams& invalid) {
  KeyListQuery wanted;
  SKMS_TRYV(
      ReadParameters(query, invalid, [&](const std::string& name, const std::string& value) -> std::string {
        if (name == "service") {
          wanted.service = ValServiceId(value);
        } else if (name == "state") {
          const auto state = ParseKeyState(value);
          if (state.has_error()) return "is no state; known: " + KeyStateNames();
          wanted.state = state.value();
        } else if (name == "expiringBefore") {
          const auto before = ParseDateTime(value);
          if (!before) return "is no time like 2026-12-31T00:00:00Z";
          wanted.expiring_before = *before / 1000;
        } else if (name == "targetPrefix") {
          wanted.target_prefix = value;
        } else if (name == "after") {
          wanted.after_kid = value;
        } else if (name == "limit") {
          if (!ReadLimit(value, wanted.limit)) return kLimitRule;
        } else {
          return "is no filter; known: service, state, expiringBefore, targetPrefix, after, limit";
        }
        return "";
      }));
  return wanted;
}

Result<PayloadQuery> PayloadQueryFromText(const std::string& query, InvalidParams& invalid) {
  PayloadQuery wanted;
  SKMS_TRYV(
      ReadParameters(query, invalid, [&](const std::string& name, const std::string& value) -> std::string {
        if (name == "service") {
          wanted.service = value;
        } else if (name == "after") {
          wanted.page.after = value;
        } else if (name == "limit") {
          if (!ReadLimit(value, wanted.page.limit)) return kLimitRule;
        } else {
          return "is not known here; known: service, after, limit";
        }
        return "";
      }));
  return wanted;
}

Result<Page> PageFromText(const std::string& query, InvalidParams& invalid) {
  Page page;
  SKMS_TRYV(
      ReadParameters(query, invalid, [&](const std::string& name, const std::string& value) -> std::string {
        if (name == "after") {
          page.after = value;
        } else if (name == "limit") {
          if (!ReadLimit(value, page.limit)) return kLimitRule;
        } else {
          return "is not known here; known: after, limit";
        }
        return "";
      }));
  return page;
}

}  // namespace skms::admin
