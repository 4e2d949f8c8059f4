#include <boost/program_options.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/encoding.h"
#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"
#include "provisioning/pin_entry.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

std::string Text(const Options& options, const char* name) {
  return options.count(name) > 0 ? options[name].as<std::string>() : std::string();
}

/// As the configuration knows it, which is not read beside --socket or --url.
Result<std::string> LabelFor(const Session& session, const Options& options) {
  std::string label = Text(options, "label");
  if (!session.socket.empty() || session.remote) return label;
  SKMS_TRY(const appliance::Configuration configuration, session.LoadConfiguration());
  SKMS_TRY(const appliance::TokenSection token, appliance::FindToken(configuration, label));
  return token.label;
}

/// What was locked hands its socket on within a moment.
Status AwaitOpen(const Session& session) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    // What asks while the socket is handed on may be cut off.
    const auto status = AdminGet(session, "/admin/v1/status");
    if (status.has_value() && status.value().at("state") != "locked") return Ok();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return Error{ErrorCode::kLocked, "the token took the PIN, and the server is still locked; see its log"};
}

}  // namespace

void DescribeUnlock(OptionsDescription& options) {
  options.add_options()("label", po::value<std::string>()->value_name("LABEL"), "which of several tokens")(
      "pin-file", po::value<std::string>()->value_name("FILE"),
      "file of mode 0400 with the PIN; without it, it is asked "
      "for, and not shown");
}

Status RunUnlock(const Session& session, const Options& options) {
  SKMS_TRY(const std::string label, LabelFor(session, options));
  // Before a PIN is typed for nothing.
  SKMS_TRY(const json status, AdminGet(session, "/admin/v1/status"));
  const std::string file = Text(options, "pin-file");
  SecretBytes pin;
  if (file.empty()) {
    SKMS_TRY(pin, AskPin(label));
  } else {
    SKMS_TRY(pin, ReadSecretFile(file, appliance::kMaxPinBytes));
  }
  const ByteView octets = pin.ExposeSecret();
  if (!IsValidUtf8(AsText(octets)))
    return InvalidArgument("the PIN is not UTF-8, and would be another when it arrives; use token.pin_file");
  json body{{"pin", std::string(reinterpret_cast<const char*>(octets.data()), octets.size())}};
  if (!label.empty()) body["token"] = label;
  SKMS_TRYV(AdminSend(session, "POST", "/admin/v1/unlock", body));
  SKMS_TRYV(AwaitOpen(session));
  PrintDone(session.json, "token", label, "unlocked",
            status.at("state") == "locked" ? "unlocked; the server is open" : "the token is open");
  return Ok();
}

}  // namespace skms::provisioning
