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

}  // namespace

void DescribeIssuerAdd(OptionsDescription& options) {
  options.add_options()("issuer", po::value<std::string>()->value_name("URL")->required(),
                        "required value of iss")(
      "audience", po::value<std::string>()->value_name("TEXT")->required(), "required in aud")(
      "jwks", po::value<std::string>()->value_name("FILE")->required(),
      "the issuer's JWK Set (public keys only)");
}

Status RunIssuerAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  const std::string path = options["jwks"].as<std::string>();
  SKMS_TRY(const std::string text, ReadFile(path, kMaxJwksBytes));
  json jwks = json::parse(text, nullptr, false);
  if (!jwks.is_object()) return ConfigurationError(path + ": is not a JWK Set (a JSON object with 'keys')");
  const json body{{"id", id},
                  {"issuer", options["issuer"].as<std::string>()},
                  {"audience", options["audience"].as<std::string>()},
                  {"jwks", std::move(jwks)}};
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/issuers", body));
  PrintDone(session.json, "issuer", id, "added", "issuer '" + id + "' is trusted now");
  return Ok();
}

Status RunIssuerList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/issuers"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  json issuers = answer.at("issuers");
  for (json& issuer : issuers)
    issuer["keys"] = issuer.value("jwks", json::object()).value("keys", json::array()).size();
  PrintList(
      issuers, {{"ISSUER", "id"}, {"ISS", "issuer"}, {"AUDIENCE", "audience"}, {"KEYS", "keys"}},
      "no issuer is trusted yet; add one with: skmsctl issuer add ID --issuer URL --audience AUD --jwks "
      "FILE");
  return Ok();
}

Status RunIssuerRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/issuers/" + PercentEncode(id)));
  PrintDone(session.json, "issuer", id, "removed", "issuer '" + id + "' is trusted no longer");
  return Ok();
}

}  // namespace skms::provisioning
