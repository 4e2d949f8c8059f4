#include "client/conform/report.h"

#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "client/printable.h"

namespace skms::client::conform {
namespace {

const char* Word(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "passed";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kSkipped:
      return "skipped";
  }
  return "";
}

/// Text for XML 1.0: its five characters as entities, what it cannot hold as '?'.
std::string Xml(const std::string& said) {
  std::string text = Printable(said);
  // XML 1.0 excludes U+FFFE and U+FFFF: EF BF BE and EF BF BF.
  for (const char* excluded : {"\xEF\xBF\xBE", "\xEF\xBF\xBF"})
    for (std::size_t at = text.find(excluded); at != std::string::npos; at = text.find(excluded))
      text.replace(at, 3, "?");
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace

Counts Count(const std::vector<CaseResult>& results) {
  Counts counts;
  for (const CaseResult& result : results) {
    if (result.verdict.outcome == Outcome::kPassed) ++counts.passed;
    if (result.verdict.outcome == Outcome::kFailed) ++counts.failed;
    if (result.verdict.outcome == Outcome::kSkipped) ++counts.skipped;
  }
  return counts;
}

std::string TextLine(const CaseResult& result) {
  std::ostringstream line;
  line << std::left << std::setw(8) << Word(result.verdict.outcome) << std::setw(29) << result.test.name
       << result.test.says << "  [" << result.test.clause << "]\n";
  if (result.verdict.outcome != Outcome::kPassed)
    line << "          " << Printable(result.verdict.reason) << '\n';
  return line.str();
}

std::string JsonReport(const std::string& server, const std::vector<CaseResult>& results) {
  const Counts counts = Count(results);
  nlohmann::json cases = nlohmann::json::array();
  for (const CaseResult& result : results) {
    nlohmann::json one{{"name", result.test.name},
                       {"clause", result.test.clause},
                       {"requirement", result.test.says},
                       {"outcome", Word(result.verdict.outcome)},
                       {"seconds", result.seconds}};
    if (result.verdict.outcome != Outcome::kPassed) one["reason"] = result.verdict.reason;
    cases.push_back(std::move(one));
  }
  const nlohmann::json report{{"server", server},
                              {"passed", counts.passed},
                              {"failed", counts.failed},
                              {"skipped", counts.skipped},
                              {"cases", cases}};
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string JUnitReport(const std::string& server, const std::vector<CaseResult>& results) {
  const Counts counts = Count(results);
  std::ostringstream xml;
  xml << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"skmc conform " << Xml(server)
      << "\" tests=\"" << results.size() << "\" failures=\"" << counts.failed << "\" skipped=\""
      << counts.skipped << "\">\n";
  for (const CaseResult& result : results) {
    xml << "  <testcase classname=\"" << Xml(result.test.clause) << "\" name=\"" << Xml(result.test.name)
        << ": " << Xml(result.test.says) << "\" time=\"" << std::fixed << std::setprecision(3)
        << result.seconds << '"';
    if (result.verdict.outcome == Outcome::kPassed) {
      xml << "/>\n";
      continue;
    }
    const char* element = result.verdict.outcome == Outcome::kFailed ? "failure" : "skipped";
    xml << "><" << element << " message=\"" << Xml(result.verdict.reason) << "\"/></testcase>\n";
  }
  xml << "</testsuite>\n";
  return xml.str();
}

}  // namespace skms::client::conform
