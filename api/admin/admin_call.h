// One request on the admin socket, and the forms of its answers; shared by the files that serve its
// resources.
//
// A Call lives as long as its request; one thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "api/admin/body_reader.h"
#include "api/http/router.h"
#include "keystore/approvals.h"
#include "keystore/key_store.h"

namespace skms::admin {

/// One administrator's request with what the handlers need of it.
struct Call {
  const http::Request& request;
  const http::RequestContext& context;
  const http::PathValues& values;
  InvalidParams invalid{};                       ///< what decoding found wrong
  std::optional<keystore::Approval> approval{};  ///< that is used up for it

  keystore::Requester by() const;
};

http::Response JsonResponse(int status, const nlohmann::json& body);
/// Prometheus' text format 0.0.4.
http::Response MetricsResponse(std::string text);
/// The error as a problem, with its detail: the administrator is trusted with it. Logged from 500 on.
http::Response Failed(const Error& error, const Call& call);
/// 204, or Failed.
http::Response NoContent(const Status& done, const Call& call);
/// 403 for somebody who may not use the admin socket.
http::Response NotAnAdministrator(const Call& call);
/// 200, or Failed.
http::Response Answer(const Result<nlohmann::json>& answer, const Call& call);

}  // namespace skms::admin
