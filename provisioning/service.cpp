#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;
using Texts = std::vector<std::string>;

std::string PathOf(const Options& options) {
  return "/admin/v1/services/" + PercentEncode(options["argument"].as<std::string>());
}

void DescribePolicy(OptionsDescription& options) {
  options.add_options()("profile",
                        po::value<std::string>()->value_name("aes-128|aes-256|hmac-sha256|ec-p256"),
                        "kind of key (default aes-256); fixed once there are keys")(
      "scope", po::value<std::string>()->value_name("LIST"),
      "which keys there may be: service,user,ue (default service)")(
      "generate-on-request", po::value<std::string>()->value_name("yes|no"),
      "does the first request make the key (default yes)")(
      "delivery", po::value<std::string>()->value_name("wrapped|tls"),
      "wrapped to the recipient (default), or in plaintext inside TLS")(
      "user-uri", po::value<std::string>()->value_name("URI"), "userUri of the service itself");
}

/// "service,user" → "service", "user".
Texts AtCommas(const std::string& text) {
  Texts words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

/// Writes what was given over `service`.
void ApplyPolicy(const Options& options, json& service) {
  if (options.count("profile") > 0) service["profile"] = options["profile"].as<std::string>();
  if (options.count("scope") > 0) service["scopes"] = AtCommas(options["scope"].as<std::string>());
  if (options.count("delivery") > 0) service["delivery"] = options["delivery"].as<std::string>();
  if (options.count("user-uri") > 0) service["userUri"] = options["user-uri"].as<std::string>();
  if (options.count("generate-on-request") > 0) {
    const std::string answer = options["generate-on-request"].as<std::string>();
    if (answer != "yes" && answer != "no") throw po::error("--generate-on-request is yes or no");
    service["generateOnRequest"] = answer == "yes";
  }
  if (options.count("delivery") > 0 && service["delivery"] == "tls") {
    std::cerr
        << "skmsctl: warning: with --delivery tls, skmsd sees the keys of this service in plaintext, and "
           "so does everything on their way that ends TLS\n";
  }
}

Texts Given(const Options& options, const char* name) {
  return options.count(name) > 0 ? options[name].as<Texts>() : Texts();
}

}  // namespace

void DescribeServiceAdd(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("reader", po::value<Texts>()->value_name("PRINCIPAL"),
                        "who may ask for keys (repeat for more); without one, nobody");
}

void DescribeServiceSet(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("add-reader", po::value<Texts>()->value_name("PRINCIPAL"),
                        "may ask from now on (repeat for more)")(
      "remove-reader", po::value<Texts>()->value_name("PRINCIPAL"), "may not ask any more");
}

Status RunServiceAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  const Texts readers = Given(options, "reader");
  json service{{"id", id}, {"readers", readers}};
  ApplyPolicy(options, service);
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/services", service));
  PrintDone(session.json, "service", id, "added",
            "service '" + id + "' added" +
                (readers.empty() ? "; nobody may ask for its keys yet: skmsctl service set " + ShellWord(id) +
                                       " --add-reader PRINCIPAL"
                                 : ""));
  return Ok();
}

Status RunServiceSet(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(json service, AdminGet(session, PathOf(options)));
  ApplyPolicy(options, service);
  Texts readers = service.value("readers", Texts());
  for (const std::string& reader : Given(options, "add-reader")) {
    if (std::find(readers.begin(), readers.end(), reader) == readers.end()) readers.push_back(reader);
  }
  for (const std::string& reader : Given(options, "remove-reader")) {
    if (std::erase(readers, reader) == 0) return NotFound("'" + reader + "' is no reader of this service");
  }
  service["readers"] = readers;
  SKMS_TRYV(AdminSend(session, "PUT", PathOf(options), service));
  PrintDone(session.json, "service", id, "changed", "service '" + id + "' changed");
  return Ok();
}

Status RunServiceList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/services"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  PrintList(answer.at("services"),
            {{"SERVICE", "id"},
             {"PROFILE", "profile"},
             {"SCOPES", "scopes"},
             {"ON REQUEST", "generateOnRequest"},
             {"DELIVERY", "delivery"},
             {"READERS", "readers"}},
            "no services yet; add one with: skmsctl service add ID --reader PRINCIPAL");
  return Ok();
}

Status RunServiceShow(const Session& session, const Options& options) {
  SKMS_TRY(const json service, AdminGet(session, PathOf(options)));
  if (session.json) {
    PrintJson(service);
    return Ok();
  }
  std::cout << RenderPairs({{"service", Cell(service, "id")},
                            {"profile", Cell(service, "profile")},
                            {"scopes", Cell(service, "scopes")},
                            {"generate on request", Cell(service, "generateOnRequest")},
                            {"delivery", Cell(service, "delivery")},
                            {"readers", Cell(service, "readers")},
                            {"user URI", Cell(service, "userUri")}});
  return Ok();
}

Status RunServiceRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, PathOf(options)));
  PrintDone(session.json, "service", id, "removed", "service '" + id + "' removed");
  return Ok();
}

}  // namespace skms::provisioning
