// kek: the life of the token keys: the next generation, how far the rows are, the end of the former one.
#include <unistd.h>

#include <boost/program_options.hpp>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr const char* kPath = "/admin/v1/token-keys";
constexpr int kBarWidth = 40;

/// Of what had to go when it began; 1 where nothing had to.
double ShareDone(const json& report) {
  if (report.at("phase") == "done") return 1;
  const double total = report.at("total").get<double>();
  return total > 0 ? report.at("done").get<double>() / total : 0;
}

std::string TimeLeft(const json& report) {
  const auto rate = report.at("rowsPerSecond").get<std::int64_t>();
  const std::int64_t left = report.at("total").get<std::int64_t>() - report.at("done").get<std::int64_t>();
  if (rate <= 0) return "";
  const std::int64_t seconds = left / rate;
  if (seconds < 120) return ", " + std::to_string(seconds) + " s left";
  return ", " + std::to_string(seconds / 60) + " min left";
}

/// "[########........]  50 %  500 of 1000 rows, 250 a second, 2 s left"
std::string ProgressBar(const json& report) {
  const double share = ShareDone(report);
  const int filled = static_cast<int>(share * kBarWidth);
  std::string bar = "[" + std::string(static_cast<std::size_t>(filled), '#') +
                    std::string(static_cast<std::size_t>(kBarWidth - filled), '.') + "] " +
                    std::to_string(static_cast<int>(share * 100)) + " %  ";
  bar += Cell(report, "done") + " of " + Cell(report, "total") + " rows, " + Cell(report, "rowsPerSecond") +
         " a second" + TimeLeft(report);
  return bar;
}

std::string PhaseText(const json& report) {
  const std::string phase = report.at("phase");
  if (phase == "done") return "all " + Cell(report, "rows") + " rows are under the keys in use";
  if (phase == "counting") return "the rows are being counted";
  if (phase == "damaged") {
    return Cell(report, "damaged") +
           " rows CANNOT be brought under the keys in use; the daemon's log names them; the former keys are "
           "kept";
  }
  return ProgressBar(report);
}

std::string Generations(const json& use) {
  return "kek " + Cell(use, "kek") + ", mac " + Cell(use, "mac") + ", sign " + Cell(use, "sign") +
         ", transfer " + Cell(use, "transfer");
}

void PrintReport(const json& report) {
  std::vector<std::pair<std::string, std::string>> pairs{{"in use", Generations(report.at("use"))},
                                                         {"KEKs in the tokens", Cell(report, "keks")},
                                                         {"re-wrapping", PhaseText(report)}};
  if (report.contains("trouble")) pairs.emplace_back("it waits", Cell(report, "trouble"));
  std::cout << RenderPairs(pairs);
  if (report.at("phase") == "done" && report.at("keks").size() > 1)
    std::cout << "next: skmsctl kek retire, once backups that were made before are no longer needed\n";
}

bool IsOver(const json& report) { return report.at("phase") == "done" || report.at("phase") == "damaged"; }

/// Until it is over. On a terminal one line that moves, else nothing in between.
Result<json> Watch(const Session& session) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !session.json;
  for (;;) {
    SKMS_TRY(json report, AdminGet(session, kPath));
    if (IsOver(report)) {
      if (terminal) std::cout << "\r\x1b[K";
      return report;
    }
    if (terminal) std::cout << "\r\x1b[K" << PhaseText(report) << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

Status Show(const Session& session, const json& report) {
  if (session.json) {
    PrintJson(report);
  } else {
    PrintReport(report);
  }
  if (report.at("phase") != "damaged") return Ok();
  return IntegrityError("not every row could be re-wrapped");
}

}  // namespace

void DescribeKekWait(OptionsDescription& options) {
  options.add_options()("wait",
                        "until every row is under the keys in use, with a progress bar on a terminal");
}

Status RunKekStatus(const Session& session, const Options& options) {
  if (options.count("wait") > 0) {
    SKMS_TRY(const json report, Watch(session));
    return Show(session, report);
  }
  SKMS_TRY(const json report, AdminGet(session, kPath));
  return Show(session, report);
}

Status RunKekRotate(const Session& session, const Options& options) {
  SKMS_TRY(const json begun, AdminSend(session, "POST", std::string(kPath) + "/rotate", json::object()));
  if (options.count("wait") == 0) {
    if (!session.json)
      std::cout << "a new KEK and MAC key are in use; what was there is re-wrapped in the background\n";
    return Show(session, begun);
  }
  SKMS_TRY(const json report, Watch(session));
  return Show(session, report);
}

void DescribeKekRetire(OptionsDescription& options) {
  options.add_options()("yes", "do it: the former keys, and every backup made under them, are lost for ever");
}

Status RunKekRetire(const Session& session, const Options& options) {
  if (options.count("yes") == 0) {
    SKMS_TRY(const json report, AdminGet(session, kPath));
    if (!session.json) PrintReport(report);
    return InvalidArgument(
        "this destroys every generation but those in use, in every token: what is wrapped under them, "
        "backups "
        "above all, can never be opened again; with --yes it is done");
  }
  SKMS_TRY(const json answer, AdminSend(session, "POST", std::string(kPath) + "/retire", json::object()));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  const json& destroyed = answer.at("destroyed");
  std::cout << "no row was under them; destroyed: " << Generations(destroyed) << '\n';
  return Ok();
}

}  // namespace skms::provisioning
