// The octets of an answer that is the last on its connection, and is not written through cpp-httplib
// (RFC 9112). Pure; thread-safe.
#pragma once

#include <string>

#include "api/http/message.h"
#include "api/http/problem_details.h"

namespace skms::http {

/// `reason` may be empty (RFC 9112 4).
std::string FinalAnswer(const Response& response, const std::string& reason);
/// `request_id` may be empty: then the answer does not say which request it is of.
std::string FinalAnswer(const ProblemDetails& problem, const std::string& request_id = "");

}  // namespace skms::http
