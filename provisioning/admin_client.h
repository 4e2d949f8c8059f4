// The client side of the admin socket, and of the administrators' TLS port of another host (remote_server.h).
// One request, one connection; one thread.
//
// Errors: kResourceExhausted (nobody answers on the socket: exit 4), kUnauthenticated (the socket or the
// daemon refuses this user), kIo (the answer broke off: what was asked for may have been done), else the
// daemon's own refusal with its detail.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "provisioning/command.h"

namespace skms::provisioning {

Result<nlohmann::json> AdminGet(const Session& session, const std::string& path);
/// The body of a successful answer that is no JSON.
Result<std::string> AdminGetText(const Session& session, const std::string& path);
Result<nlohmann::json> AdminSend(const Session& session, const std::string& method, const std::string& path,
                                 const nlohmann::json& body);
/// As AdminSend, for what takes as long as the database is large.
Result<nlohmann::json> AdminSendPatiently(const Session& session, const std::string& method,
                                          const std::string& path, const nlohmann::json& body);
/// False: there is no socket, or nobody listens on it. A daemon that is busy or ill is there. Errors:
/// kUnauthenticated, kIo.
Result<bool> IsDaemonThere(const Session& session);
Status AdminDelete(const Session& session, const std::string& path);

/// Of AdminSend and AdminDelete also kApprovalNeeded: nothing was done, others must approve it first.
///
/// The JSON of a successful answer, or the Error that a problem document stands for. `body` empty is an empty
/// object.
Result<nlohmann::json> DecodeAnswer(int status, const std::string& body);

}  // namespace skms::provisioning
