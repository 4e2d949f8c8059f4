// Problem: a refusal as the server told it (RFC 9457, TS 29.122 5.2.6; ErrorCode of TS 33.434 table 5.3.3-2).
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "client/https.h"

namespace skms::client {

struct Problem {
  struct Parameter {
    std::string param;  ///< JSON pointer, query parameter or header
    std::string reason;
  };

  long status = 0;
  std::string title;
  std::string detail;
  std::string cause;       ///< e.g. "MANDATORY_QUERY_PARAM_MISSING" (TS 29.500 5.2.7.2)
  std::string error_code;  ///< "01" to "04", or empty
  std::string instance;    ///< the request's id: name it to the administrator
  std::vector<Parameter> invalid_params;
  std::string location;     ///< of 307 and 308
  long retry_after_s = -1;  ///< of 429 and 503; -1: not told
};

/// What is not problem+json gives a Problem with the status alone.
Problem ReadProblem(const HttpAnswer& answer);

/// One sentence: "Forbidden: … (CAUSE) [urn:…]; /payload: is missing".
std::string Describe(const Problem& problem);

/// 400 kInvalidArgument, 401 kUnauthenticated, 403 kPermissionDenied, 404 kNotFound, 413 kTooLarge, 429 and
/// 503 kResourceExhausted, 307 and 308 kConflict (another server has it), any other kIo; with Describe's
/// sentence.
Error ErrorOf(const Problem& problem);

}  // namespace skms::client
