// What the token's security officer does for strict recipients: the one PIN that the daemon never has.
#include "hsm/security_officer.h"
#include "base/public_key_file.h"

#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pem_file.h"
#include "provisioning/pin_entry.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr std::size_t kMostPinBytes = 256;

void DescribePinFile(OptionsDescription& options) {
  options.add_options()("so-pin-file", po::value<std::string>()->value_name("FILE"),
                        "PIN of the token's security officer, in a file of mode 0400 or 0600");
}

Result<SecretBytes> ReadOfficerPin(const Options& options) {
  if (options.count("so-pin-file") == 0) throw po::error("give --so-pin-file");
  return ReadSecretFile(options["so-pin-file"].as<std::string>(), kMostPinBytes);
}

hsm::TokenOptions TokenOf(const appliance::Configuration& configuration) {
  return {configuration.token.module, configuration.token.init_args, configuration.token.label,
          configuration.token.serial};
}

/// The file is what the officer looked at himself: a list that the daemon gave would be the daemon's word.
Result<Bytes> KeyToTrust(const Options& options) {
  if (options.count("public-key") + options.count("certificate") != 1)
    throw po::error("give one of --public-key and --certificate");
  if (options.count("public-key") > 0) return ReadPublicKey(options["public-key"].as<std::string>());
  SKMS_TRY(const Bytes certificate, ReadCertificate(options["certificate"].as<std::string>()));
  return PublicKeyOfCertificate(certificate);
}

/// The daemon looks at the token again, if it runs; one that does not will look when it starts.
Status TellDaemon(const Session& session) {
  const auto told = AdminSend(session, "POST", "/admin/v1/token/strict", json::object());
  if (told.has_value()) return Ok();
  if (told.error().code == ErrorCode::kResourceExhausted) {
    std::cerr << "skmsctl: no daemon answers; it will know of this when it starts\n";
    return Ok();
  }
  Error error = told.error();
  error.detail = "it is done on the token, but the daemon did not look again: " + error.detail;
  if (error.code == ErrorCode::kRoleMissing || error.code == ErrorCode::kApprovalNeeded)
    error.detail += "; it looks with: skmsctl token refresh";
  return error;
}

Status ChangeTrust(const Session& session, const Options& options, const char* result,
                   Status (*change)(const hsm::TokenOptions&, const SecretBytes&, ByteView),
                   const std::string& sentence) {
  SKMS_TRY(const Bytes spki, KeyToTrust(options));
  SKMS_TRY(const SecretBytes pin, ReadOfficerPin(options));
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRYV(change(TokenOf(configuration), pin, spki));
  SKMS_TRYV(TellDaemon(session));
  const std::string name = ToBase64Url(Sha256(spki));
  PrintDone(session.json, "key", name, result, "key " + name + " " + sentence);
  return Ok();
}

}  // namespace

void DescribeMakeStrictKek(OptionsDescription& options) {
  DescribePinFile(options);
  options.add_options()("next", "make another where there is one: new keys are wrapped under it");
}

Status RunMakeStrictKek(const Session& session, const Options& options) {
  SKMS_TRY(const SecretBytes officer_pin, ReadOfficerPin(options));
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const SecretBytes pin, PinFor(configuration.token));
  SKMS_TRY(const std::uint32_t generation,
           hsm::MakeStrictKek(TokenOf(configuration), pin, officer_pin, options.count("next") > 0));
  SKMS_TRYV(TellDaemon(session));
  const std::string label = "skms-strict-kek-" + std::to_string(generation);
  PrintDone(session.json, "kek", label, "made",
            label + " made and proven; next, the keys that may be wrapped to: skmsctl recipient trust");
  return Ok();
}

void DescribeRecipientTrust(OptionsDescription& options) {
  options.add_options()("public-key", po::value<std::string>()->value_name("FILE"),
                        "RSA public key (PEM or DER)")("certificate",
                                                       po::value<std::string>()->value_name("FILE"),
                                                       "certificate with an RSA key (PEM or DER)");
  DescribePinFile(options);
}

Status RunRecipientTrust(const Session& session, const Options& options) {
  return ChangeTrust(session, options, "trusted", &hsm::TrustRecipient,
                     "is TRUSTED; keys of services with recipients 'trusted' may be wrapped to it");
}

Status RunRecipientDistrust(const Session& session, const Options& options) {
  return ChangeTrust(session, options, "distrusted", &hsm::DistrustRecipient,
                     "is TRUSTED no longer; what was wrapped to it stays open to its holder");
}

Status RunTokenRefresh(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json view, AdminSend(session, "POST", "/admin/v1/token/strict", json::object()));
  if (session.json) {
    PrintJson(view);
    return Ok();
  }
  std::cout << RenderPairs(
      {{"strict KEK", Cell(view, "strictKek")}, {"trusted recipients", Cell(view, "trustedRecipients")}});
  return Ok();
}

}  // namespace skms::provisioning
