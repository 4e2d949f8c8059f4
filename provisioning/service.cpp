#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
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
      "which keys there may be: service,user,ue,client,group (default service)")(
      "generate-on-request", po::value<std::string>()->value_name("yes|no"),
      "does the first request make the key (default yes)")(
      "delivery", po::value<std::string>()->value_name("wrapped|tls"),
      "wrapped to the recipient (default), or in plaintext inside TLS")(
      "recipients", po::value<std::string>()->value_name("any|trusted"),
      "whom keys may be wrapped to: any recipient (default), or only keys that the token's security officer "
      "marked TRUSTED; fixed once there are keys")("user-uri", po::value<std::string>()->value_name("URI"),
                                                   "userUri of the service itself")(
      "crypto-period", po::value<std::string>()->value_name("TIME"),
      "how long a version protects, like 90d, 12h, 30m (default 0: only key rotate makes the next)")(
      "overlap", po::value<std::string>()->value_name("TIME"),
      "how long the former version stays active beside the next (default 0)")(
      "make-ahead", po::value<std::string>()->value_name("TIME"),
      "how early the next version is made and handed out (default a tenth of the crypto-period)")(
      "versions-kept", po::value<std::string>()->value_name("NUMBER"),
      "versions of a key that keep their material; older deactivated ones are destroyed (default 0: all)")(
      "max-records", po::value<std::string>()->value_name("NUMBER"),
      "keys the service may have, each with any versions (default 0: no limit)")(
      "join", po::value<std::string>()->value_name("from-current|all-versions|rekey"),
      "what a new group member sees: the key from now on (default), former versions too, or a new key")(
      "ue-service-level", po::value<std::string>()->value_name("yes|no"),
      "may a UE have the service's own key (default no: its user's, its own, and its groups')")(
      "home", po::value<std::string>()->value_name("URI"),
      "apiRoot of the key management server that has this service; clients are sent there; 'here' ends that")(
      "home-ue", po::value<std::string>()->value_name("URI"),
      "that server's apiRoot for UEs (KM-UU), where it is another than --home; 'here' forgets it")(
      "home-permanent", po::value<std::string>()->value_name("yes|no"),
      "tell clients that it has moved for good (308), not for now (307)");
}

/// Writes what was given over `service`.
void ApplyPolicy(const Options& options, json& service) {
  if (options.count("profile") > 0) service["profile"] = options["profile"].as<std::string>();
  if (options.count("scope") > 0) service["scopes"] = AtCommas(options["scope"].as<std::string>());
  if (options.count("delivery") > 0) service["delivery"] = options["delivery"].as<std::string>();
  if (options.count("recipients") > 0) service["recipients"] = options["recipients"].as<std::string>();
  if (options.count("user-uri") > 0) service["userUri"] = options["user-uri"].as<std::string>();
  if (options.count("join") > 0) service["join"] = options["join"].as<std::string>();
  for (const auto& [option, member] :
       {std::pair("crypto-period", "cryptoPeriod"), std::pair("overlap", "overlap"),
        std::pair("make-ahead", "makeAhead")}) {
    if (options.count(option) > 0) service[member] = ParseDuration(option, options[option].as<std::string>());
  }
  // Another period has another tenth.
  if (options.count("crypto-period") > 0 && options.count("make-ahead") == 0) service.erase("makeAhead");
  for (const auto& [option, member] :
       {std::pair("versions-kept", "versionsKept"), std::pair("max-records", "maxRecords")}) {
    if (options.count(option) > 0) service[member] = ParseCount(option, options[option].as<std::string>());
  }
  if (options.count("home") > 0) {
    const std::string home = options["home"].as<std::string>();
    service["home"] = home == "here" ? "" : home;
    if (home == "here") service["homeUe"] = "";
  }
  if (options.count("home-ue") > 0) {
    const std::string home = options["home-ue"].as<std::string>();
    service["homeUe"] = home == "here" ? "" : home;
  }
  for (const auto& [option, member] :
       {std::pair("generate-on-request", "generateOnRequest"), std::pair("ue-service-level", "ueServiceKey"),
        std::pair("home-permanent", "homePermanent")}) {
    if (options.count(option) == 0) continue;
    const std::string answer = options[option].as<std::string>();
    if (answer != "yes" && answer != "no") throw po::error("--" + std::string(option) + " is yes or no");
    service[member] = answer == "yes";
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

/// Adds and takes away principals in a list of the service.
Status ChangeList(json& service, const char* member, const char* what, const Texts& add,
                  const Texts& remove) {
  Texts names = service.value(member, Texts());
  for (const std::string& name : add) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  for (const std::string& name : remove) {
    if (std::erase(names, name) == 0) return NotFound("'" + name + "' is no " + what + " of this service");
  }
  service[member] = names;
  return Ok();
}

std::string Count(const json& service, const char* member, const char* when_zero) {
  const auto number = service.value(member, std::int64_t{0});
  return number == 0 ? when_zero : std::to_string(number);
}

std::string HomeText(const json& service) {
  const std::string home = service.value("home", "");
  if (home.empty()) return "here";
  return Printable(home) + (service.value("homePermanent", false) ? " (for good)" : " (for now)");
}

std::string UeHomeText(const json& service) {
  const std::string home = service.value("homeUe", "");
  if (!home.empty()) return Printable(home);
  return service.value("home", "").empty() ? "here" : "the same";
}

}  // namespace

void DescribeServiceAdd(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("reader", po::value<Texts>()->value_name("PRINCIPAL"),
                        "who may ask for keys (repeat for more); without one, nobody")(
      "group-server", po::value<Texts>()->value_name("PRINCIPAL"),
      "who may manage groups of this service (repeat for more); needs the scope group")(
      "provisioner", po::value<Texts>()->value_name("PRINCIPAL"),
      "who may provision payloads, with SKeyProv in the token (repeat for more); without one, nobody")(
      "ue-issuer", po::value<Texts>()->value_name("ISSUER"),
      "whose access tokens open KM-UU to users and UEs (repeat for more); without one, no UE gets keys");
}

void DescribeServiceSet(OptionsDescription& options) {
  DescribePolicy(options);
  options.add_options()("add-reader", po::value<Texts>()->value_name("PRINCIPAL"),
                        "may ask from now on (repeat for more)")(
      "remove-reader", po::value<Texts>()->value_name("PRINCIPAL"), "may not ask any more")(
      "add-group-server", po::value<Texts>()->value_name("PRINCIPAL"), "may manage groups from now on")(
      "remove-group-server", po::value<Texts>()->value_name("PRINCIPAL"), "may not any more")(
      "add-provisioner", po::value<Texts>()->value_name("PRINCIPAL"), "may provision payloads from now on")(
      "remove-provisioner", po::value<Texts>()->value_name("PRINCIPAL"), "may not any more")(
      "add-ue-issuer", po::value<Texts>()->value_name("ISSUER"), "its tokens open KM-UU from now on")(
      "remove-ue-issuer", po::value<Texts>()->value_name("ISSUER"), "they do not any more");
}

Status RunServiceAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  const Texts readers = Given(options, "reader");
  json service{{"id", id},
               {"readers", readers},
               {"groupServers", Given(options, "group-server")},
               {"provisioners", Given(options, "provisioner")},
               {"ueIssuers", Given(options, "ue-issuer")}};
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
  SKMS_TRYV(ChangeList(service, "readers", "reader", Given(options, "add-reader"),
                       Given(options, "remove-reader")));
  SKMS_TRYV(ChangeList(service, "groupServers", "group server", Given(options, "add-group-server"),
                       Given(options, "remove-group-server")));
  SKMS_TRYV(ChangeList(service, "provisioners", "provisioner", Given(options, "add-provisioner"),
                       Given(options, "remove-provisioner")));
  SKMS_TRYV(ChangeList(service, "ueIssuers", "issuer for UEs", Given(options, "add-ue-issuer"),
                       Given(options, "remove-ue-issuer")));
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
             {"READERS", "readers"},
             {"GROUP SERVERS", "groupServers"}},
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
                            {"recipients", Cell(service, "recipients")},
                            {"readers", Cell(service, "readers")},
                            {"user URI", Cell(service, "userUri")},
                            {"crypto-period", FormatDuration(service.value("cryptoPeriod", std::int64_t{0}))},
                            {"overlap", FormatDuration(service.value("overlap", std::int64_t{0}))},
                            {"next made ahead", FormatDuration(service.value("makeAhead", std::int64_t{0}))},
                            {"versions kept", Count(service, "versionsKept", "all")},
                            {"records at most", Count(service, "maxRecords", "no limit")},
                            {"group servers", Cell(service, "groupServers")},
                            {"new members see", Cell(service, "join")},
                            {"provisioners", Cell(service, "provisioners")},
                            {"issuers for UEs", Cell(service, "ueIssuers")},
                            {"UEs get its own key", Cell(service, "ueServiceKey")},
                            {"home", HomeText(service)},
                            {"home for UEs", UeHomeText(service)}});
  return Ok();
}

Status RunServiceRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, PathOf(options)));
  PrintDone(session.json, "service", id, "removed", "service '" + id + "' removed");
  return Ok();
}

}  // namespace skms::provisioning
