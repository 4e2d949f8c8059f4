#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "hsm/crypto_module.h"
#include "hsm/profile.h"
#include "hsm/quirks.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pin_entry.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr const char* kWords[] = {"yes", "no", "warn", "fail"};  // as the admin API spells them
constexpr const char* kLoudWords[] = {"yes", "no", "WARN", "FAIL"};

/// One line per profile, then whether the configured one is met.
std::string Verdicts(const hsm::Capabilities& capabilities, hsm::Profile wanted) {
  std::string lines;
  for (const hsm::Profile profile : hsm::kProfiles) {
    const hsm::ProfileVerdict verdict = hsm::Judge(profile, capabilities);
    lines += "profile " + std::string(hsm::NameOf(profile)) + ": " +
             (verdict.passes() ? "met" : "NOT met: " + hsm::FailedLines(verdict)) + '\n';
  }
  const std::string name(hsm::NameOf(wanted));
  if (!capabilities.usable()) return lines + "verdict: this token CANNOT be used; each FAIL above says why";
  if (!hsm::Judge(wanted, capabilities).passes())
    return lines + "verdict: the daemon does NOT start on this token, for token.profile is " + name;
  return lines + "verdict: this token can be used (token.profile " + name +
         "); each WARN above weakens what it promises";
}

void PrintProbe(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities, hsm::Profile wanted) {
  std::cout << Printable("token '" + info.label + "', serial " + info.serial + ", " + info.manufacturer +
                         " " + info.model + ", firmware " + info.firmware)
            << "\n\n";
  std::vector<std::vector<std::string>> rows;
  for (const hsm::CapabilityRow& row : capabilities.rows)
    rows.push_back({row.name, kLoudWords[static_cast<std::size_t>(row.finding)], row.detail});
  std::cout << RenderTable({"CAPABILITY", "FINDING", "DETAIL"}, rows) << '\n';
  std::vector<std::vector<std::string>> quirks;
  for (const hsm::Quirk& quirk : hsm::QuirksOf(capabilities))
    quirks.push_back({std::string(quirk.name), std::string(quirk.measure)});
  if (!quirks.empty()) std::cout << RenderTable({"QUIRK", "MEASURE"}, quirks) << '\n';
  std::cout << Verdicts(capabilities, wanted) << '\n';
}

json RowsToJson(const std::vector<hsm::CapabilityRow>& rows) {
  json list = json::array();
  for (const hsm::CapabilityRow& row : rows) {
    list.push_back({{"capability", row.name},
                    {"finding", kWords[static_cast<std::size_t>(row.finding)]},
                    {"detail", row.detail}});
  }
  return list;
}

void PrintProbeJson(const hsm::TokenInfo& info, const hsm::Capabilities& capabilities) {
  json quirks = json::array();
  for (const hsm::Quirk& quirk : hsm::QuirksOf(capabilities)) {
    quirks.push_back({{"quirk", std::string(quirk.name)},
                      {"capability", std::string(quirk.found_by)},
                      {"measure", std::string(quirk.measure)}});
  }
  json profiles = json::array();
  for (const hsm::Profile profile : hsm::kProfiles) {
    const hsm::ProfileVerdict verdict = hsm::Judge(profile, capabilities);
    profiles.push_back({{"profile", std::string(hsm::NameOf(profile))},
                        {"passes", verdict.passes()},
                        {"failed", RowsToJson(verdict.failed)}});
  }
  PrintJson({{"label", info.label},
             {"serial", info.serial},
             {"manufacturer", info.manufacturer},
             {"model", info.model},
             {"firmware", info.firmware},
             {"usable", capabilities.usable()},
             {"capabilities", RowsToJson(capabilities.rows)},
             {"quirks", std::move(quirks)},
             {"profiles", std::move(profiles)}});
}

}  // namespace

void DescribeTokenProbe(OptionsDescription& options) {
  options.add_options()("label", boost::program_options::value<std::string>()->value_name("LABEL"),
                        "which of several tokens; the only one, unless given");
}

Status RunTokenProbe(const Session& session, const Options& given) {
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const appliance::TokenSection token,
           appliance::FindToken(configuration,
                                given.count("label") > 0 ? given["label"].as<std::string>() : std::string()));
  SKMS_TRY(const SecretBytes pin, PinFor(token));
  const hsm::Profile profile = hsm::ProfileNamed(token.profile).value_or(hsm::Profile::kStrict);
  hsm::TokenInfo info;
  const hsm::TokenOptions options{token.module, token.init_args, token.label, token.serial};
  SKMS_TRY(const hsm::Capabilities capabilities, hsm::CryptoModule::ProbeToken(options, pin, &info));
  if (session.json) {
    PrintProbeJson(info, capabilities);
  } else {
    PrintProbe(info, capabilities, profile);
  }
  const hsm::ProfileVerdict verdict = hsm::Judge(profile, capabilities);
  if (verdict.passes()) return Ok();
  return Error{ErrorCode::kUnsupported,
               "the token is below token.profile " + token.profile + ": " + hsm::FailedLines(verdict)};
}

}  // namespace skms::provisioning
