#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

std::string PathOf(const Options& options) {
  return "/admin/v1/services/" + EncodeSegment(options["argument"].as<std::string>());
}

void DescribePolicy(OptionsDescription& options) {
  options.add_options()("profile", po::value<std::string>(),
                        "aes-128, aes-256 (default), hmac-sha256 or ec-p256")(
      "scope", po::value<std::string>(), "which keys there may be: service,user,ue (default service)")(
      "generate-on-request", po::value<std::string>(),
      "yes (default) or no: does the first request make the key")(
      "delivery", po::value<std::string>(), "wrapped (default), or tls: plaintext inside TLS")(
      "user-uri", po::value<std::string>(), "userUri for the service itself");
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

/// Writes what was given over `service`.
Status ApplyPolicy(const Options& options, json& service) {
  if (options.count("profile") > 0) service["profile"] = options["profile"].as<std::string>();
  if (options.count("scope") > 0) service["scopes"] = Split(options["scope"].as<std::string>());
  if (options.count("delivery") > 0) service["delivery"] = options["delivery"].as<std::string>();
  if (options.count("user-uri") > 0) service["userUri"] = options["user-uri"].as<std::string>();
  if (options.count("generate-on-request") > 0) {
    const std::string answer = options["generate-on-request"].as<std::string>();
    if (answer != "yes" && answer != "no") return InvalidArgument("--generate-on-request is yes or no");
    service["generateOnRequest"] = answer == "yes";
  }
  if (service.value("delivery", "wrapped") == "tls") {
    std::cerr
        << "skmsctl: warning: with --delivery tls the keys of this service pass through skmsd in the clear\n";
  }
  return Ok();
}

std::vector<std::string> Given(const Options& options, const char* name) {
  return options.count(name) > 0 ? options[name].as<std::vector<std::string>>() : std::vector<std::string>();
}

void PrintPolicy(const json& service) {
  std::cout << RenderPairs({{"service", Cell(service["id"])},
                            {"profile", Cell(service["profile"])},
                            {"scopes", Cell(service["scopes"])},
                            {"generate on request", Cell(service["generateOnRequest"])},
                            {"delivery", Cell(service["delivery"])},
                            {"readers", Cell(service["readers"])},
                            {"user URI", Cell(service["userUri"])}});
}

}  // namespace

void DescribeServiceAdd(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("reader", po::value<std::vector<std::string>>(),
                        "a principal that may ask for keys (repeat for more); nobody may without one");
}

void DescribeServiceSet(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("add-reader", po::value<std::vector<std::string>>(),
                        "a principal that may ask from now on")(
      "remove-reader", po::value<std::vector<std::string>>(), "a principal that may not ask any more");
}

Status RunServiceAdd(const Session& session, const Options& options) {
  json service{{"id", options["argument"].as<std::string>()}, {"readers", Given(options, "reader")}};
  SKMS_TRYV(ApplyPolicy(options, service));
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/services", service));
  std::cout << "service '" << service["id"].get<std::string>() << "' added"
            << (service["readers"].empty()
                    ? "; nobody may ask for its keys yet: skmsctl service set --add-reader"
                    : "")
            << '\n';
  return Ok();
}

Status RunServiceSet(const Session& session, const Options& options) {
  SKMS_TRY(json service, AdminGet(session, PathOf(options)));
  SKMS_TRYV(ApplyPolicy(options, service));
  auto readers = service["readers"].get<std::vector<std::string>>();
  for (const std::string& reader : Given(options, "add-reader")) {
    if (std::find(readers.begin(), readers.end(), reader) == readers.end()) readers.push_back(reader);
  }
  for (const std::string& reader : Given(options, "remove-reader")) {
    if (std::erase(readers, reader) == 0) return NotFound("'" + reader + "' is no reader of this service");
  }
  service["readers"] = readers;
  SKMS_TRYV(AdminSend(session, "PUT", PathOf(options), service));
  std::cout << "service '" << service["id"].get<std::string>() << "' changed\n";
  return Ok();
}

Status RunServiceList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/services"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& service : answer["services"]) {
    rows.push_back({Cell(service["id"]), Cell(service["profile"]), Cell(service["scopes"]),
                    Cell(service["generateOnRequest"]), Cell(service["delivery"]), Cell(service["readers"])});
  }
  if (rows.empty()) {
    std::cout << "no services yet; add one with: skmsctl service add ID --reader PRINCIPAL\n";
  } else {
    std::cout << RenderTable({"SERVICE", "PROFILE", "SCOPES", "ON REQUEST", "DELIVERY", "READERS"}, rows);
  }
  return Ok();
}

Status RunServiceShow(const Session& session, const Options& options) {
  SKMS_TRY(const json service, AdminGet(session, PathOf(options)));
  if (session.json) {
    PrintJson(service);
  } else {
    PrintPolicy(service);
  }
  return Ok();
}

Status RunServiceRemove(const Session& session, const Options& options) {
  SKMS_TRYV(AdminDelete(session, PathOf(options)));
  std::cout << "service '" << options["argument"].as<std::string>() << "' removed\n";
  return Ok();
}

}  // namespace skms::provisioning
