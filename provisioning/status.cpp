#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

using nlohmann::json;

namespace {

std::string Rotation(const json& rotation) {
  if (rotation.value("held", false)) {
    return "HELD: " + Cell(rotation, "reason") + "; when the time is right: skmsctl rotation resume";
  }
  return Cell(rotation, "made") + " made, " + Cell(rotation, "activated") + " activated, " +
         Cell(rotation, "ended") + " ended, " + Cell(rotation, "destroyed") + " destroyed since the start" +
         (rotation.value("behind", false) ? "; catching up" : "");
}

std::string TokenHealth(const json& health) {
  const std::string since = " since " + Cell(health, "seconds") + " s";
  if (!health.value("available", false)) return "LOST" + since + ": " + Cell(health, "trouble");
  const std::string recoveries = Cell(health, "recoveries");
  return "available" + since + (recoveries == "0" ? "" : ", came back from losses: " + recoveries);
}

std::string Sessions(const json& sessions) {
  std::string text = Cell(sessions, "inUse") + " of " + Cell(sessions, "limit") + " in use";
  const double leases = sessions.value("leases", 0.0);
  if (leases < 1) return text;
  const auto each = [&](const char* sum) {
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%.2f ms", sessions.value(sum, 0.0) * 1000 / leases);
    return std::string(out.data());
  };
  return text + "; on average waited for " + each("waitSeconds") + ", held " + each("heldSeconds") +
         ", of that in the module " + each("callSeconds");
}

}  // namespace

namespace {

/// "state  degraded", and a line for each reason.
std::vector<std::pair<std::string, std::string>> State(const json& status) {
  std::vector<std::pair<std::string, std::string>> lines{{"state", Cell(status, "state")}};
  for (const json& reason : status.at("reasons")) lines.emplace_back("", reason.get<std::string>());
  return lines;
}

std::pair<std::string, std::string> ServerLine(const json& status) {
  return {"server", Cell(status, "skms") + ", skmsd " + Cell(status, "version") + ", up since " +
                        Cell(status, "started")};
}

/// All that a server knows of itself before a token is open.
std::vector<std::pair<std::string, std::string>> LockedLines(const json& status) {
  auto lines = State(status);
  lines.push_back(ServerLine(status));
  return lines;
}

/// One line a token; none where there is one token, of which the rest speaks.
std::vector<std::pair<std::string, std::string>> SeveralTokens(const json& tokens) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (tokens.size() < 2) return lines;
  for (const json& token : tokens) {
    const bool well = token.at("state") == "serving";
    std::string text = Cell(token, "label") + ": " + Cell(token, "state");
    if (!well && token.at("health").contains("trouble")) text += ", " + Cell(token.at("health"), "trouble");
    lines.emplace_back(lines.empty() ? "tokens" : "", text);
  }
  return lines;
}

}  // namespace

Status RunRotationResume(const Session& session, const Options& /*options*/) {
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/rotation/resume", json::object()));
  PrintDone(session.json, "rotation", "rotation", "resumed", "rotation goes on with the present time");
  return Ok();
}

Status RunStatus(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json status, AdminGet(session, "/admin/v1/status"));
  if (session.json) {
    PrintJson(status);
    return Ok();
  }
  if (status.at("state") == "locked") {
    std::cout << RenderPairs(LockedLines(status));
    return Ok();
  }
  const json& token = status.at("token");
  const json& keys = status.at("tokenKeys");
  SKMS_TRY(const json tokens, AdminGet(session, "/admin/v1/tokens"));
  std::vector<std::pair<std::string, std::string>> lines{
      ServerLine(status),
      {"token", Cell(token, "label") + ", serial " + Cell(token, "serial") + ", " +
                    Cell(token, "manufacturer") + " " + Cell(token, "model")},
      {"token health", TokenHealth(status.at("tokenHealth"))},
      {"token keys", "kek " + Cell(keys, "kek") + ", mac " + Cell(keys, "mac") + ", sign " +
                         Cell(keys, "sign") + ", transfer " + Cell(keys, "transfer") + " (generations)"},
      {"sessions", Sessions(status.at("sessions"))},
      {"rotation", Rotation(status.at("rotation"))},
      {"services", Cell(status, "services")},
      {"principals", Cell(status, "principals")},
      {"recipients", Cell(status, "recipients")},
      {"issuers", Cell(status, "issuers")},
      {"key versions", Cell(status, "keyVersions")},
      {"schema version", Cell(status, "schemaVersion")},
      {"audit entries", Cell(status.at("audit"), "entries")},
      {"audit head", Cell(status.at("audit"), "head")},
      {"audit signed",
       "up to entry " + Cell(status.at("audit"), "signedUpTo") +
           (status.at("audit").contains("signedAt") ? ", " + Cell(status.at("audit"), "signedAt")
                                                    : std::string())}};
  if (const json& store = status.at("store"); store.at("shared") == true)
    lines.emplace_back("shared store", store.at("leads") == true
                                           ? "this server leads"
                                           : "led by " + (store.contains("leader") ? Cell(store, "leader")
                                                                                   : std::string("nobody")));
  if (const json& audit = status.at("audit"); audit.contains("export")) {
    const json& exported = audit.at("export");
    lines.emplace_back("audit exported",
                       "up to entry " + Cell(exported, "upTo") + ", " + Cell(exported, "behind") + " to go" +
                           (exported.contains("trouble") ? ": " + Cell(exported, "trouble") : ""));
  }
  const auto state = State(status);
  lines.insert(lines.begin(), state.begin(), state.end());
  const auto several = SeveralTokens(tokens.at("tokens"));
  const auto after_health =
      std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.first == "token keys"; });
  lines.insert(after_health, several.begin(), several.end());
  std::cout << RenderPairs(lines);
  return Ok();
}

}  // namespace skms::provisioning
