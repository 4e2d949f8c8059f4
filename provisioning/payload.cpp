#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

namespace po = boost::program_options;
using nlohmann::json;

void DescribePayloadList(OptionsDescription& options) {
  options.add_options()("service", po::value<std::string>()->value_name("ID"), "only this service's")(
      "after", po::value<std::string>()->value_name("ID"), "go on behind this payload")(
      "limit", po::value<std::string>()->value_name("NUMBER"), "at most so many (default 100, at most 1000)");
}

Status RunPayloadList(const Session& session, const Options& options) {
  std::string query;
  for (const char* name : {"service", "after", "limit"}) {
    if (options.count(name) == 0) continue;
    query += (query.empty() ? "?" : "&") + std::string(name) + "=" +
             PercentEncode(options[name].as<std::string>());
  }
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/payloads" + query));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  PrintList(answer.at("payloads"),
            {{"ID", "id"},
             {"SERVICE", "service"},
             {"SCOPE", "scope"},
             {"TARGET", "target"},
             {"PAYLOAD ID", "payloadId"},
             {"VERSION", "version"},
             {"BYTES", "bytes"},
             {"BY", "provisionedBy"},
             {"SINCE", "created"}},
            "no payloads; VAL servers provision them where a service names them: skmsctl service set ID "
            "--add-provisioner PRINCIPAL");
  return Ok();
}

Status RunPayloadRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/payloads/" + PercentEncode(id)));
  PrintDone(session.json, "payload", id, "removed", "payload '" + id + "' removed with its former versions");
  return Ok();
}

}  // namespace skms::provisioning
