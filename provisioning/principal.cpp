#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pem_file.h"

namespace skms::provisioning {

namespace po = boost::program_options;
using nlohmann::json;

void DescribePrincipalAdd(OptionsDescription& options) {
  options.add_options()("certificate", po::value<std::string>()->required(),
                        "its client certificate (PEM or DER)")(
      "client-id", po::value<std::string>(), "client_id in its access tokens (default: ID)")(
      "role", po::value<std::string>()->default_value("val-server"), "val-server or group-server");
}

Status RunPrincipalAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(const Bytes certificate, ReadCertificate(options["certificate"].as<std::string>()));
  const json body{{"id", id},
                  {"certificate", ToBase64Url(certificate)},
                  {"clientId", options.count("client-id") > 0 ? options["client-id"].as<std::string>() : id},
                  {"role", options["role"].as<std::string>()}};
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/principals", body));
  std::cout << "principal '" << id
            << "' added; let it read a service with: skmsctl service set SERVICE --add-reader " << id << '\n';
  return Ok();
}

Status RunPrincipalList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/principals"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& one : answer["principals"]) {
    rows.push_back({Cell(one["id"]), Cell(one["role"]), Cell(one["clientId"]),
                    Cell(one["certificateSubject"]), Cell(one["certificateNotAfter"])});
  }
  if (rows.empty()) {
    std::cout << "no principals yet; add one with: skmsctl principal add ID --certificate FILE\n";
  } else {
    std::cout << RenderTable({"PRINCIPAL", "ROLE", "CLIENT ID", "CERTIFICATE", "VALID UNTIL"}, rows);
  }
  return Ok();
}

Status RunPrincipalRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/principals/" + EncodeSegment(id)));
  std::cout << "principal '" << id << "' removed\n";
  return Ok();
}

}  // namespace skms::provisioning
