#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pem_file.h"

namespace skms::provisioning {

namespace po = boost::program_options;
using nlohmann::json;

void DescribePrincipalAdd(OptionsDescription& options) {
  options.add_options()("certificate", po::value<std::string>()->value_name("FILE")->required(),
                        "its client certificate (PEM or DER)")(
      "client-id", po::value<std::string>()->value_name("TEXT"),
      "client_id in its access tokens (default: ID)")(
      "role", po::value<std::string>()->value_name("val-server|group-server")->default_value("val-server"),
      "what it is");
}

namespace {

void WarnOfKey(const std::string& id, WrapTarget target) {
  if (target == WrapTarget::kRsa) return;
  std::cerr
      << "skmsctl: warning: "
      << (target == WrapTarget::kEc
              ? "keys are wrapped to this certificate (EC) only by a token that has ECDH with a KDF (see: "
                "skmsctl token probe), payloads never; to enrol a key for all: "
              : "keys cannot be wrapped to this certificate (neither RSA nor EC on P-256 or P-384); enrol "
                "a key with: ")
      << "skmsctl recipient add ID --principal " << ShellWord(id) << " --public-key FILE\n";
}

}  // namespace

Status RunPrincipalAdd(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(const Bytes certificate, ReadCertificate(options["certificate"].as<std::string>()));
  SKMS_TRY(const Bytes spki, PublicKeyOfCertificate(certificate));
  const json body{{"id", id},
                  {"certificate", ToBase64Url(certificate)},
                  {"clientId", options.count("client-id") > 0 ? options["client-id"].as<std::string>() : id},
                  {"role", options["role"].as<std::string>()}};
  SKMS_TRY(const json added, AdminSend(session, "POST", "/admin/v1/principals", body));
  // RFC 3339 in UTC: the order of the texts is the order of the times.
  if (added.value("certificateNotAfter", "~") < FormatUtc(SystemClock().NowSeconds())) {
    std::cerr << "skmsctl: warning: the certificate has expired: nobody can connect with it\n";
  }
  WarnOfKey(id, WrapTargetOf(spki));
  PrintDone(session.json, "principal", id, "added",
            "principal '" + id +
                "' added; let it ask for a service's keys with: skmsctl service set SERVICE --add-reader " +
                ShellWord(id));
  return Ok();
}

Status RunPrincipalList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/principals"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  PrintList(answer.at("principals"),
            {{"PRINCIPAL", "id"},
             {"ROLE", "role"},
             {"CLIENT ID", "clientId"},
             {"CERTIFICATE", "certificateSubject"},
             {"VALID UNTIL", "certificateNotAfter"}},
            "no principals yet; add one with: skmsctl principal add ID --certificate FILE");
  return Ok();
}

Status RunPrincipalRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRYV(AdminDelete(session, "/admin/v1/principals/" + PercentEncode(id)));
  PrintDone(session.json, "principal", id, "removed", "principal '" + id + "' removed");
  return Ok();
}

}  // namespace skms::provisioning
