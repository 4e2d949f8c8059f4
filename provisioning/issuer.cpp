#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr std::size_t kMaxJwksBytes = 60000;  // with its envelope it must fit one request of 64 KiB

/// The JWK Set, or where it is published.
Status AddKeySource(const Options& options, json& body) {
  if (options.count("jwks") + options.count("jwks-uri") != 1)
    throw po::error("give one of --jwks and --jwks-uri");
  if (options.count("jwks-ca") > 0) {
    if (options.count("jwks-uri") == 0) throw po::error("--jwks-ca belongs to --jwks-uri");
    SKMS_TRY(const std::string ca, ReadFile(options["jwks-ca"].as<std::string>(), kMaxJwksBytes));
    body["jwksCa"] = ca;
  }
  if (options.count("jwks-uri") > 0) {
    body["jwksUri"] = options["jwks-uri"].as<std::string>();
    return Ok();
  }
  const std::string path = options["jwks"].as<std::string>();
  SKMS_TRY(const std::string text, ReadFile(path, kMaxJwksBytes));
  body["jwks"] = json::parse(text, nullptr, false);
  if (!body["jwks"].is_object())
    return ConfigurationError(path + ": is not a JWK Set (a JSON object with 'keys')");
  return Ok();
}

}  // namespace

void DescribeIssuerAdd(OptionsDescription& options) {
  options.add_options()("issuer", po::value<std::string>()->value_name("URL")->required(),
                        "required value of iss")(
      "audience", po::value<std::string>()->value_name("TEXT")->required(), "required in aud")(
      "jwks", po::value<std::string>()->value_name("FILE"), "the issuer's JWK Set (public keys only)")(
      "jwks-uri", po::value<std::string>()->value_name("URL"),
      "where the issuer publishes its JWK Set (https); read now, every hour, and when a new key is named")(
      "jwks-ca", po::value<std::string>()->value_name("FILE"),
      "certificates (PEM) that the URL is verified against (default: the host's own)")(
      "services-claim", po::value<std::string>()->value_name("NAME"), "claim with the VAL service IDs")(
      "user-claim", po::value<std::string>()->value_name("NAME"), "claim with the VAL user ID")(
      "ue-claim", po::value<std::string>()->value_name("NAME"), "claim with the VAL UE ID")(
      "client-claim", po::value<std::string>()->value_name("NAME"), "claim with the VAL client ID")(
      "provisioning-claim", po::value<std::string>()->value_name("NAME"),
      "claim that lets a VAL server provision payloads (default SKeyProv)")(
      "provisioning-values", po::value<std::string>()->value_name("LIST"),
      "forms of it that count: true,list,string (default true,list); the last two hold service IDs");
}

Status RunIssuerAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  json body{{"id", id},
            {"issuer", options["issuer"].as<std::string>()},
            {"audience", options["audience"].as<std::string>()}};
  SKMS_TRYV(AddKeySource(options, body));
  for (const auto& [option, member] :
       {std::pair("services-claim", "servicesClaim"), std::pair("user-claim", "userClaim"),
        std::pair("ue-claim", "ueClaim"), std::pair("client-claim", "clientClaim"),
        std::pair("provisioning-claim", "provisioningClaim")}) {
    if (options.count(option) > 0) body[member] = options[option].as<std::string>();
  }
  if (options.count("provisioning-values") > 0)
    body["provisioningValues"] = AtCommas(options["provisioning-values"].as<std::string>());
  SKMS_TRY(const json added, AdminSend(session, "POST", "/admin/v1/issuers", body));
  std::string sentence = "issuer '" + id + "' is trusted now";
  if (added.contains("fetchError")) {
    sentence += ", but its keys could not be fetched: " + Printable(added.value("fetchError", "")) +
                "; it is tried again every minute, or now with: skmsctl issuer fetch " + id;
  }
  PrintDone(session.json, "issuer", id, "added", sentence);
  return Ok();
}

Status RunIssuerList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/issuers"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  json issuers = answer.at("issuers");
  for (json& issuer : issuers) {
    issuer["keys"] = issuer.value("jwks", json::object()).value("keys", json::array()).size();
    issuer["from"] = issuer.value("jwksUri", "file");
    if (issuer.contains("fetchError")) {
      issuer["lastFetch"] = "failed: " + issuer["fetchError"].get<std::string>();
    } else if (issuer.contains("fetched")) {
      issuer["lastFetch"] = issuer["fetched"];
    }
  }
  PrintList(
      issuers,
      {{"ISSUER", "id"},
       {"ISS", "issuer"},
       {"AUDIENCE", "audience"},
       {"KEYS", "keys"},
       {"FROM", "from"},
       {"LAST FETCH", "lastFetch"}},
      "no issuer is trusted yet; add one with: skmsctl issuer add ID --issuer URL --audience AUD --jwks "
      "FILE");
  return Ok();
}

Status RunIssuerFetch(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(const json issuer,
           AdminSend(session, "POST", "/admin/v1/issuers/" + PercentEncode(id) + "/keys", {}));
  if (issuer.contains("fetchError"))
    return Error{ErrorCode::kIo,
                 issuer["fetchError"].get<std::string>() + "; the last good keys stay in use"};
  const std::size_t keys = issuer.value("jwks", json::object()).value("keys", json::array()).size();
  PrintDone(
      session.json, "issuer", id, "fetched",
      "issuer '" + id + "' has " + std::to_string(keys) + (keys == 1 ? " key" : " keys") + " at its URI");
  return Ok();
}

Status RunIssuerRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/issuers/" + PercentEncode(id)));
  PrintDone(session.json, "issuer", id, "removed", "issuer '" + id + "' is trusted no longer");
  return Ok();
}

}  // namespace skms::provisioning
