#include <iostream>
#include <nlohmann/json.hpp>

#include "hsm/crypto_module.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr const char* kFindings[] = {"yes", "no", "WARN", "FAIL"};

const char* Word(hsm::Finding finding) { return kFindings[static_cast<std::size_t>(finding)]; }

void PrintProbe(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities) {
  std::cout << "token '" << info.label << "', serial " << info.serial << ", " << info.manufacturer << ' '
            << info.model << ", firmware " << info.firmware << "\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const hsm::CapabilityRow& row : capabilities.rows)
    rows.push_back({row.name, Word(row.finding), row.detail});
  std::cout << RenderTable({"CAPABILITY", "FINDING", "DETAIL"}, rows) << '\n'
            << (capabilities.usable() ? "verdict: this token can be used\n"
                                      : "verdict: this token cannot be used\n");
}

void PrintProbeJson(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities) {
  json rows = json::array();
  for (const hsm::CapabilityRow& row : capabilities.rows) {
    rows.push_back({{"capability", row.name}, {"finding", Word(row.finding)}, {"detail", row.detail}});
  }
  PrintJson({{"label", info.label},
             {"serial", info.serial},
             {"manufacturer", info.manufacturer},
             {"model", info.model},
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
