#include <iostream>
#include <nlohmann/json.hpp>

#include "hsm/crypto_module.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr const char* kWords[] = {"yes", "no", "warn", "fail"};  // as the admin API spells them
constexpr const char* kLoudWords[] = {"yes", "no", "WARN", "FAIL"};

const char* Verdict(const hsm::Capabilities& capabilities) {
  if (!capabilities.usable()) return "verdict: this token CANNOT be used; each FAIL above says why";
  for (const hsm::CapabilityRow& row : capabilities.rows) {
    if (row.finding == hsm::Finding::kWarn)
      return "verdict: this token can be used; each WARN above weakens what it promises";
  }
  return "verdict: this token can be used";
}

void PrintProbe(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities) {
  std::cout << Printable("token '" + info.label + "', serial " + info.serial + ", " + info.manufacturer +
                         " " + info.model + ", firmware " + info.firmware)
            << "\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const hsm::CapabilityRow& row : capabilities.rows)
    rows.push_back({row.name, kLoudWords[static_cast<std::size_t>(row.finding)], row.detail});
  std::cout << RenderTable({"CAPABILITY", "FINDING", "DETAIL"}, rows) << '\n'
            << Verdict(capabilities) << '\n';
}

void PrintProbeJson(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities) {
  json rows = json::array();
  for (const hsm::CapabilityRow& row : capabilities.rows) {
    rows.push_back({{"capability", row.name},
                    {"finding", kWords[static_cast<std::size_t>(row.finding)]},
                    {"detail", row.detail}});
  }
  PrintJson({{"label", info.label},
             {"serial", info.serial},
             {"manufacturer", info.manufacturer},
             {"model", info.model},
             {"firmware", info.firmware},
             {"usable", capabilities.usable()},
             {"capabilities", std::move(rows)}});
}

}  // namespace

Status RunTokenProbe(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const SecretBytes pin, appliance::ReadPin(configuration.token));
  hsm::TokenInfo info;
  const hsm::TokenOptions options{configuration.token.module, configuration.token.label,
                                  configuration.token.serial};
  SKMS_TRY(const hsm::Capabilities capabilities, hsm::CryptoModule::ProbeToken(options, pin, &info));
  if (session.json) {
    PrintProbeJson(info, capabilities);
  } else {
    PrintProbe(info, capabilities);
  }
  if (capabilities.usable()) return Ok();
  return Error{ErrorCode::kUnsupported, "the token failed the probe; see the FAIL lines"};
}

}  // namespace skms::provisioning
