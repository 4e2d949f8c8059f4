#include "client/cli/conform_command.h"

#include <chrono>
#include <iostream>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"
#include "client/cli/command.h"
#include "client/conform/cases.h"
#include "client/conform/report.h"

namespace skms::client {
namespace {

using conform::Case;
using conform::CaseResult;

constexpr std::size_t kMaxTokenBytes = 16384;
constexpr unsigned kReportMode = 0644;

Status ReadTokenOption(const Given& given, const char* option, SecretBytes& out) {
  if (given.count(option) == 0) return Ok();
  SKMS_TRY(out, ReadSecretFile(Value(given, option), kMaxTokenBytes));
  return Ok();
}

Status FillSetup(const Given& given, conform::Setup& setup) {
  setup.km_s = EndpointOf(given);
  setup.service = Value(given, "service");
  setup.user = Value(given, "user");
  setup.foreign = setup.km_s;
  setup.foreign.certificate_path = Value(given, "foreign-cert");
  setup.foreign.private_key_path = Value(given, "foreign-key");
  setup.km_uu = {Value(given, "ue-url"), setup.km_s.ca_path};
  setup.ue_user = Value(given, "ue-user");
  setup.bound_key_path = Value(given, "bound-key");
  for (const char* option : {"service", "user", "ue-user"})
    if (!IsValidUtf8(Value(given, option)))
      return InvalidArgument(std::string("--") + option + " is no UTF-8");
  for (const char* option : {"foreign-cert", "ca", "cert"}) {
    if (given.count(option) > 0) SKMS_TRYV(ReadFile(Value(given, option)));
  }
  for (const char* option : {"key", "foreign-key", "bound-key"}) {
    if (given.count(option) > 0) SKMS_TRYV(ReadSecretFile(Value(given, option)));
  }
  SKMS_TRYV(ReadTokenOption(given, "token-file", setup.token));
  SKMS_TRYV(ReadTokenOption(given, "unscoped-token-file", setup.unscoped));
  SKMS_TRYV(ReadTokenOption(given, "expired-token-file", setup.expired));
  SKMS_TRYV(ReadTokenOption(given, "provisioning-token-file", setup.provisioning));
  return ReadTokenOption(given, "ue-token-file", setup.ue_token);
}

std::vector<Case> Selected(const Given& given) {
  std::vector<Case> cases = conform::AllCases();
  if (given.count("only") > 0) {
    const std::string prefix = Value(given, "only");
    std::erase_if(cases, [&](const Case& one) { return std::string(one.name).rfind(prefix, 0) != 0; });
  }
  return cases;
}

/// A case that stumbles over an answer is that case's failure, not the run's end.
conform::Verdict Run(const Case& test, conform::Probe& probe) {
  try {
    return test.run(probe);
  } catch (const std::exception& error) {
    return conform::Fail(std::string("the answer cannot be judged: ") + error.what());
  }
}

CaseResult Try(const Case& test, conform::Probe& probe) {
  const auto began = std::chrono::steady_clock::now();
  const std::string missing = conform::MissingFor(test.needs, probe.setup());
  conform::Verdict verdict = missing.empty() ? Run(test, probe) : conform::Skip("needs " + missing);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return {test, std::move(verdict), took.count()};
}

int WriteReports(const Given& given, const std::vector<CaseResult>& results) {
  const std::string server = Value(given, "url");
  for (const auto& [option, text] : {std::pair("json", conform::JsonReport(server, results)),
                                     std::pair("junit", conform::JUnitReport(server, results))}) {
    if (given.count(option) == 0) continue;
    const Status written = WriteFileAtomically(Value(given, option), AsBytes(text), kReportMode);
    if (written.has_error()) return Complain(written.error().detail, "", kExitFile);
  }
  return 0;
}

int List() {
  for (const Case& test : conform::AllCases())
    std::cout << test.name << "  " << test.says << "  [" << test.clause << "]\n";
  return 0;
}

}  // namespace

int RunConform(const Given& given) {
  if (given.count("list") > 0) return List();
  const std::vector<Case> cases = Selected(given);
  if (cases.empty())
    return Complain("no case begins with '" + Value(given, "only") + "'", "skmc conform --list", kExitUsage);
  conform::Setup setup;
  const Status filled = FillSetup(given, setup);
  if (filled.has_error()) return Complain(filled.error().detail, "", kExitFile);
  const SystemClock clock;
  conform::Probe probe(setup, clock);
  if (const conform::Reply first = probe.Tokenless("/"); !first.answer)
    return Complain(first.failure, "", kExitNetwork);
  std::vector<CaseResult> results;
  for (const Case& test : cases) {
    results.push_back(Try(test, probe));
    std::cout << conform::TextLine(results.back()) << std::flush;
  }
  const conform::Counts counts = conform::Count(results);
  std::cout << counts.passed << " passed, " << counts.failed << " failed, " << counts.skipped << " skipped\n";
  const int written = WriteReports(given, results);
  if (written != 0) return written;
  return counts.failed == 0 ? 0 : kExitRefused;
}

void DescribeConform(Options& options) {
  options.add_options()("url", Text("URL")->required(), "apiRoot of KM-S, https://host:port")(
      "ca", Text("FILE")->required(), "CA bundle of the server's certificate")(
      "cert", Text("FILE")->required(), "client certificate (PEM)")(
      "key", Text("FILE")->required(), "its private key (PEM)")("token-file", Text("FILE")->required(),
                                                                "access token for KM-S, without SKeyProv")(
      "service", Text("ID")->required(), "a VAL service whose key the caller may have")(
      "user", Text("ID"), "a user in it, whose key the caller may have")(
      "provisioning-token-file", Text("FILE"),
      "access token with SKeyProv: key provisioning is tried too, and stores small payloads of id "
      "skmc-conform")("unscoped-token-file", Text("FILE"), "a good token without the scope of KM-S")(
      "expired-token-file", Text("FILE"), "a token that has run out")(
      "foreign-cert", Text("FILE"), "a certificate that is not the token's")(
      "foreign-key", Text("FILE"), "its private key")("ue-url", Text("URL"),
                                                      "apiRoot of KM-UU: it is tried too")(
      "ue-token-file", Text("FILE"), "access token for KM-UU")("ue-user", Text("ID"),
                                                               "the user that it names")(
      "bound-key", Text("FILE"), "RSA or EC private key that it is bound to (cnf.jkt), if it is")(
      "only", Text("TEXT"), "cases whose names begin with this")("json", Text("FILE"),
                                                                 "write the report to this file as JSON")(
      "junit", Text("FILE"), "write the report to this file as JUnit XML")(
      "list", "print the cases with their clauses and exit");
}

}  // namespace skms::client
