#include "appliance/status_view.h"

#include <string_view>
#include <utility>

#include "base/log.h"
#include "keystore/key_life.h"

namespace skms::appliance {
namespace {

bool EndsWith(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

/// What asks for keys: KM-S and KM-UU.
bool IsDelivery(const http::RouteFigures& route) {
  return (route.method == "GET" && EndsWith(route.pattern, "/key-records")) ||
         (route.method == "POST" && EndsWith(route.pattern, "/key-request"));
}

void Count(const http::RouteFigures& route, HistoryTotals& totals) {
  for (std::size_t i = 0; i < route.outcomes.size(); ++i) {
    switch (static_cast<http::Outcome>(i)) {
      case http::Outcome::kOk:
        totals.delivered += route.outcomes[i];
        break;
      case http::Outcome::kUnavailable:
      case http::Outcome::kError:
        totals.failed += route.outcomes[i];
        break;
      default:
        totals.refused += route.outcomes[i];
    }
  }
}

admin::PageToken TokenOf(const hsm::TokenStatus& token) {
  if (!token.health.available) return {token.info.label, "lost: " + token.health.trouble, false};
  if (token.blank) return {token.info.label, "blank: it waits to join", false};
  if (!token.holds_all) return {token.info.label, "lacks keys that are in use", false};
  return {token.info.label,
          "serving, " + std::to_string(token.leased) + " of " + std::to_string(token.sessions) +
              " sessions in use",
          true};
}

void AddAudit(const MetricSources& from, admin::StatusPage& page) {
  const admin::AuditReport report = from.audit();
  const auto chain = from.store->Audit();
  page.audit_entries = chain.has_value() ? chain.value().entries : 0;
  page.audit_signed = report.signed_up_to;
  page.audit_signed_at = report.signed_at_ms / 1000;
  page.audit_checked = report.checked;
  page.audit_trouble = chain.has_error() ? "it cannot be read; see the log" : report.trouble;
  if (page.audit_trouble.empty() && report.late)
    page.audit_trouble = "entries wait for their checkpoint far too long";
  if (!report.exported.on) return;
  page.audit_export = std::to_string(report.exported.behind) + " entries behind" +
                      (report.exported.trouble.empty() ? "" : ": " + report.exported.trouble);
}

}  // namespace

StatusView::StatusView(MetricSources sources, Metrics& metrics)
    : from_(std::move(sources)), metrics_(metrics), history_([this] { return Totals(); }, from_.clock) {}

HistoryTotals StatusView::Totals() const {
  HistoryTotals totals;
  for (const auto& [listener, api] : from_.apis) {
    if (api == nullptr) continue;
    for (const http::RouteFigures& route : api->figures().routes) {
      if (IsDelivery(route)) Count(route, totals);
    }
  }
  for (const hsm::TokenStatus& token : from_.module->tokens()) {
    totals.tokens[token.info.label] = {token.times.inside.count(),
                                       std::chrono::duration<double>(token.times.inside.sum).count()};
  }
  const auto counts = from_.store->CountKeyStates();
  if (counts.has_error()) return totals;
  for (const auto& [state, count] : counts.value()) totals.keys.push_back(count);
  return totals;
}

admin::StatusPage StatusView::Page() {
  admin::StatusPage page;
  const admin::ApplianceState state = from_.state();
  page.skms_id = from_.configuration.skms.id;
  page.version = SKMS_VERSION;
  page.now = from_.clock.NowSeconds();
  page.started = from_.started;
  page.state = admin::Text(state.name);
  page.reasons = state.reasons;
  for (const hsm::TokenStatus& token : from_.module->tokens()) page.tokens.push_back(TokenOf(token));
  const auto counts = from_.store->CountKeyStates();
  if (counts.has_error()) LogError("status page: " + counts.error().Describe());
  for (const keystore::StateRule& rule : keystore::StateRules())
    page.key_states.emplace_back(Name(rule.state));
  if (counts.has_value()) {
    for (const auto& [name, count] : counts.value()) page.keys.push_back(count);
  }
  const auto backlog = from_.store->ReadRotationBacklog();
  if (backlog.has_error()) LogError("status page: " + backlog.error().Describe());
  if (backlog.has_value()) {
    page.due = backlog.value().due;
    page.more_due = backlog.value().due >= keystore::RotationBacklog::kMost;
    page.late = backlog.value().late;
  }
  if (const admin::RotationReport rotation = from_.rotation(); rotation.held)
    page.rotation_held = rotation.reason;
  AddAudit(from_, page);
  for (const Metrics::Expiry& one : metrics_.Expiries()) page.expiries.push_back({one.setting, one.until});
  page.minutes = history_.Minutes();
  return page;
}

}  // namespace skms::appliance
