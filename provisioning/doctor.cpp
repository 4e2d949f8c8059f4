#include "provisioning/doctor.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "provisioning/commands.h"
#include "provisioning/edge_config.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 3> kNames{"ok", "warn", "fail"};

const char* Name(Verdict verdict) { return kNames.at(static_cast<std::size_t>(verdict)); }

/// Columns of a width that most checks fit, for nobody knows yet which come.
std::string Line(const std::string& verdict, const std::string& check, const std::string& seen) {
  constexpr std::size_t kVerdict = 9;
  constexpr std::size_t kCheck = 24;
  std::string line = verdict;
  line.resize(std::max(line.size() + 2, kVerdict), ' ');
  line += Printable(check);
  line.resize(std::max(line.size() + (check.empty() ? 0 : 2), kVerdict + kCheck), ' ');
  return line + Printable(seen) + "\n";
}

void Tell(const Finding& one) {
  std::cout << Line(Name(one.verdict), one.check, one.seen);
  if (!one.cure.empty()) std::cout << Line("", "", "cure: " + one.cure);
  std::cout << std::flush;
}

json ToJson(const std::vector<Finding>& all) {
  json list = json::array();
  for (const Finding& one : all) {
    list.push_back({{"check", one.check}, {"verdict", Name(one.verdict)}, {"seen", one.seen}});
    if (!one.cure.empty()) list.back()["cure"] = one.cure;
  }
  return list;
}

Verdict Worst(const std::vector<Finding>& all) {
  Verdict worst = Verdict::kOk;
  for (const Finding& one : all) worst = std::max(worst, one.verdict);
  return worst;
}

/// The first failure decides the exit code; warnings alone are exit code 1.
Status Outcome(const std::vector<Finding>& all) {
  const auto count = [&all](Verdict verdict) {
    return std::to_string(std::count_if(all.begin(), all.end(),
                                        [verdict](const Finding& one) { return one.verdict == verdict; }));
  };
  const Verdict worst = Worst(all);
  if (worst == Verdict::kOk) return Ok();
  if (worst == Verdict::kWarn) return Error{ErrorCode::kInvalidArgument, "warnings: " + count(worst)};
  const auto first =
      std::find_if(all.begin(), all.end(), [](const Finding& one) { return one.verdict == Verdict::kFail; });
  return Error{first->code, "failures: " + count(Verdict::kFail) + ", warnings: " + count(Verdict::kWarn) +
                                "; the first failure: " + first->check};
}

void ExamineAll(const Session& session, const Options& options, Findings& found) {
  const std::int64_t now = SystemClock().NowSeconds();
  const auto loaded = LoadWithWholePaths(session);
  if (loaded.has_error()) {
    found.Fail("configuration", loaded.error().detail,
               "skmsd --config " + ShellWord(session.config_path) + " --check-config");
    return ExamineHost(nullptr, found);
  }
  const appliance::Configuration& configuration = loaded.value();
  found.Ok("configuration", configuration.path);
  ExamineFiles(configuration, found);
  const DaemonSeen daemon = ExamineDaemon(session, found);
  ExamineTokens(session, configuration, daemon, found);
  ExamineDatabase(configuration, daemon, options.count("thorough") > 0, now, found);
  ExamineCertificates(configuration, now, found);
  ExamineEdge(configuration, options["edge-directory"].as<std::string>(),
              options["haproxy"].as<std::string>(), daemon, found);
  ExamineHost(&configuration, found);
}

}  // namespace

void DescribeDoctor(OptionsDescription& options) {
  namespace po = boost::program_options;
  options.add_options()("thorough", "read every page of the database, however large it is")(
      "edge-directory", po::value<std::string>()->value_name("FILE")->default_value(kEdgeDirectory),
      "where edge config wrote HAProxy's configuration")(
      "haproxy", po::value<std::string>()->value_name("FILE")->default_value(kHaproxy),
      "the program that checks it");
}

Status RunDoctor(const Session& session, const Options& options) {
  if (session.remote) SKMS_TRYV(session.LoadConfiguration());  // it is not a finding, but a mistake
  if (session.json) {
    Findings found;
    ExamineAll(session, options, found);
    PrintJson({{"verdict", Name(Worst(found.all()))}, {"findings", ToJson(found.all())}});
    return Outcome(found.all());
  }
  std::cout << Line("VERDICT", "CHECK", "SEEN");
  Findings found(Tell);
  ExamineAll(session, options, found);
  return Outcome(found.all());
}

}  // namespace skms::provisioning
