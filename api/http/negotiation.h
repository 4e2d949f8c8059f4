// Content negotiation and entity tags as far as we need them (RFC 9110 12.5.1, 13.1.2): every success is
// application/json. Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "api/http/message.h"

namespace skms::http {

/// True when there is no Accept field, or one of them allows application/json (also by "*/*" or
/// "application/*") with a weight above 0.
bool AcceptsJson(const Request& request);

/// True when the body is said to be application/json, with or without parameters (RFC 9110 8.3).
bool HasJsonBody(const Request& request);

/// True when If-None-Match is "*" or one of its tags is `tag`, by the weak comparison of RFC 9110 8.8.3.2.
bool HasEntity(const Request& request, std::string_view tag);

/// An answer of application/json.
Response JsonAnswer(int status, std::string body);
/// 304 for a requester that has the entity `tag`.
Response NotModified(std::string tag);

}  // namespace skms::http
