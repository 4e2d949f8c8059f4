// Content negotiation as far as we need it (RFC 9110 12.5.1): every success is application/json.
#pragma once

#include "api/http/message.h"

namespace skms::http {

/// True when there is no Accept field, or one of them allows application/json (also by "*/*" or
/// "application/*") with a weight above 0.
bool AcceptsJson(const Request& request);

/// True when the body is said to be application/json, with or without parameters (RFC 9110 8.3).
bool HasJsonBody(const Request& request);

}  // namespace skms::http
