// The fields that SEAL KM Request (TS 33.434 table 5.3.2-1) and KP Request (table 5.8.2-1) share, as JSON:
// {"version", "skmsUri", "serviceId", at most one of "clientId", "deviceId" and "userId", "dateTime"}.
//
// The standard has no stage 3 for them; the members are ours, api/openapi/skms_km_uu.yaml. Pure functions;
// thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/http/problem_details.h"
#include "api/seal/request_checks.h"
#include "keystore/identifiers.h"

namespace skms::seal {

struct KmMessage {
  std::string skms_uri;  ///< as sent
  keystore::Selector selector;
  std::int64_t date_time = 0;  ///< seconds since 1970
};

/// What a message is held against.
struct KmExpectation {
  std::vector<ApiRoot> roots;  ///< that name this server
  std::int64_t now = 0;        ///< seconds since 1970
  std::int64_t window = 5;     ///< seconds
};

/// Fills `out`. nullopt: well. Else 400 for what is missing or malformed, 400 for another server's URI, 403
/// for a time outside the window: all ErrorCode 04, with invalidParams as JSON pointers; what was readable
/// until then is in `out`, for the answer to echo. Members that are not of the table are passed over
/// (TS 29.500 5.2.7.2).
std::optional<http::ProblemDetails> DecodeKmMessage(const nlohmann::json& body, const KmExpectation& expected,
                                                    KmMessage& out);

/// "serviceId" and the one of "clientId", "deviceId", "userId", with the values of the request: every answer
/// echoes them.
std::vector<std::pair<std::string, std::string>> Echo(const keystore::Selector& selector);

/// The text member `name` of 1 to `most` bytes without control characters, or the 400 to answer.
std::variant<std::string, http::ProblemDetails> TextMember(const nlohmann::json& body, const char* name,
                                                           std::size_t most);

}  // namespace skms::seal
