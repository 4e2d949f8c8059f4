// token list, prepare, join: the tokens of the configuration, and how one comes to hold what the others hold.
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "hsm/token_ceremony.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pin_entry.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

std::string LabelOf(const Options& options) { return options["argument"].as<std::string>(); }

std::string PathOf(const std::string& label, const char* rest) {
  return "/admin/v1/tokens/" + PercentEncode(label) + rest;
}

/// Groups of eight digits: what two people read to each other.
std::string Spaced(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    if (i > 0 && i % 8 == 0) out += ' ';
    out += hex[i];
  }
  return out;
}

/// As it was shown, or without blanks; lower case.
std::string Unspaced(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == ':') continue;
    out += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

std::string HealthText(const json& token) {
  const json& health = token.at("health");
  if (token.at("state") == "blank")
    return "has no keys of ours; next: skmsctl token prepare " + Cell(token, "label");
  if (!health.value("available", false)) return Cell(health, "trouble");
  return "since " + Cell(health, "seconds") + " s";
}

}  // namespace

Status RunTokenList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/tokens"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& token : answer.at("tokens")) {
    const json& sessions = token.at("sessions");
    rows.push_back({Cell(token, "label"), Cell(token, "serial"), Cell(token, "state"), Cell(token, "weight"),
                    Cell(token.at("held"), "kek"), Cell(sessions, "inUse") + "/" + Cell(sessions, "limit"),
                    HealthText(token)});
  }
  std::cout << RenderTable({"LABEL", "SERIAL", "STATE", "WEIGHT", "KEKS", "SESSIONS", "HEALTH"}, rows);
  return Ok();
}

Status RunTokenPrepare(const Session& session, const Options& options) {
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const appliance::TokenSection token, appliance::FindToken(configuration, LabelOf(options)));
  SKMS_TRY(const SecretBytes pin, PinFor(token));
  const hsm::TokenOptions wanted{token.module, token.init_args, token.label, token.serial};
  SKMS_TRY(const hsm::JoinKey key, hsm::TokenCeremony::Prepare(wanted, pin));
  if (session.json) {
    PrintJson({{"label", key.token.label}, {"serial", key.token.serial}, {"fingerprint", key.fingerprint}});
    return Ok();
  }
  std::cout << "token '" << Printable(key.token.label) << "', serial " << Printable(key.token.serial)
            << ": its join key is ready\n\n  fingerprint  " << Spaced(key.fingerprint)
            << "\n\nwrite it down; then, where the daemon runs: skmsctl token join " << ShellWord(token.label)
            << "\n";
  return Ok();
}

void DescribeTokenJoin(OptionsDescription& options) {
  options.add_options()("fingerprint", po::value<std::string>()->value_name("HEX"),
                        "what skmsctl token prepare showed; without it, what the daemon sees is shown");
}

Status RunTokenJoin(const Session& session, const Options& options) {
  const std::string label = LabelOf(options);
  if (options.count("fingerprint") == 0) {
    SKMS_TRY(const json seen, AdminGet(session, PathOf(label, "/join-key")));
    if (session.json) {
      PrintJson(seen);
      return Ok();
    }
    std::cout << "the daemon sees token '" << Cell(seen, "label") << "', serial " << Cell(seen, "serial")
              << "\n\n  fingerprint  " << Spaced(seen.at("fingerprint"))
              << "\n\nif that is what skmsctl token prepare showed: skmsctl token join " << ShellWord(label)
              << " --fingerprint HEX, with HEX as it was shown there\n";
    return Ok();
  }
  const std::string fingerprint = Unspaced(options["fingerprint"].as<std::string>());
  SKMS_TRY(const json report,
           AdminSend(session, "POST", PathOf(label, "/join"), {{"fingerprint", fingerprint}}));
  if (session.json) {
    PrintJson(report);
    return Ok();
  }
  std::cout << "token '" << Printable(label)
            << "' has joined: it serves what is made from now on, generation "
            << Cell(report.at("use"), "kek")
            << ";\nwhat was there is re-wrapped in the background, see: skmsctl kek status --wait\n";
  return Ok();
}

}  // namespace skms::provisioning
