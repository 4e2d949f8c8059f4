// AdminClient: skmsctl's side of the admin socket.
//
// Errors: kResourceExhausted (nobody answers on the socket: exit 4), kUnauthenticated (the socket or the
// daemon refuses this user), else the daemon's own refusal with its detail.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "provisioning/command.h"

namespace skms::provisioning {

Result<nlohmann::json> AdminGet(const Session& session, const std::string& path);
Result<nlohmann::json> AdminSend(const Session& session, const std::string& method, const std::string& path,
                                 const nlohmann::json& body);
Status AdminDelete(const Session& session, const std::string& path);

/// Percent-encodes one path segment or query value.
std::string EncodeSegment(const std::string& text);

}  // namespace skms::provisioning
