#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

namespace po = boost::program_options;
using nlohmann::json;

void DescribeIssuerAdd(OptionsDescription& options) {
  options.add_options()("issuer", po::value<std::string>()->required(), "required value of iss")(
      "audience", po::value<std::string>()->required(), "required in aud")(
      "jwks", po::value<std::string>()->required(), "file with the issuer's JWK Set (public keys)");
}

Status RunIssuerAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  const std::string path = options["jwks"].as<std::string>();
  SKMS_TRY(const std::string text, ReadFile(path, 65536));
  json jwks = json::parse(text, nullptr, false);
  if (!jwks.is_object()) return ConfigurationError(path + ": is not a JWK Set (a JSON object with 'keys')");
  const json body{{"id", id},
                  {"issuer", options["issuer"].as<std::string>()},
                  {"audience", options["audience"].as<std::string>()},
                  {"jwks", std::move(jwks)}};
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/issuers", body));
  std::cout << "issuer '" << id << "' is trusted\n";
  return Ok();
}

Status RunIssuerList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/issuers"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& one : answer["issuers"]) {
    rows.push_back({Cell(one["id"]), Cell(one["issuer"]), Cell(one["audience"]),
                    std::to_string(one["jwks"].value("keys", json::array()).size())});
  }
  if (rows.empty()) {
    std::cout << "no issuer is trusted yet; add one with: skmsctl issuer add ID --issuer URL --audience AUD "
                 "--jwks FILE\n";
  } else {
    std::cout << RenderTable({"ID", "ISSUER", "AUDIENCE", "KEYS"}, rows);
  }
  return Ok();
}

Status RunIssuerRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/issuers/" + EncodeSegment(id)));
  std::cout << "issuer '" << id << "' is trusted no longer\n";
  return Ok();
}

}  // namespace skms::provisioning
