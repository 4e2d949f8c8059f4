// Reads a request's head and body from a connection, as they come, before anything of them is believed.
//
// One thread for each connection. `buffered` holds what has come and is not taken yet.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "api/http/connection.h"
#include "api/http/problem_details.h"
#include "api/http/request_head.h"
#include "api/http/router.h"

namespace skms::http {

/// How many octets the head has, with the empty line. nullopt: the connection ends, or `oversize` says why it
/// is to be refused. `stoppable`: an end of the server ends it, too.
std::optional<std::size_t> ReadHead(Connection& connection, const Limits& limits, std::string& buffered,
                                    std::chrono::steady_clock::time_point deadline, bool stoppable,
                                    std::optional<ProblemDetails>& oversize);
/// Takes the body out of `buffered`. False: the connection ends.
bool ReadBody(Connection& connection, const RequestHead& head, std::string& buffered, std::string& body,
              std::chrono::steady_clock::time_point deadline);

}  // namespace skms::http
