// What the reverse proxy on this host says of a client in fields of its request: the client certificate that
// it verified (RFC 9440) and the id under which its own log knows the request.
//
// Only for transports of kind kEdge, whose socket nobody but the proxy's user can open; the proxy takes these
// fields from its clients away. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <optional>

#include "api/http/message.h"
#include "api/http/problem_details.h"

namespace skms::http {

/// What these fields may add to a head beside what its client sent.
inline constexpr std::size_t kEdgeFields = 4;
inline constexpr std::size_t kEdgeFieldBytes = 8192;

/// Moves Client-Cert and X-Request-Id out of `request` into `context`; Client-Cert-Chain is dropped. An id
/// that has not our form (16 lower-case hex digits) is dropped too. Returns the 400 to answer for a
/// Client-Cert that is doubled or no byte sequence (RFC 8941 3.3.5): the proxy is not what it should be.
std::optional<ProblemDetails> TakeEdgeFields(Request& request, RequestContext& context);

}  // namespace skms::http
