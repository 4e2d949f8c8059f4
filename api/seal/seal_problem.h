// ErrorCode values of TS 33.434 table 5.3.3-2 on top of HTTP problems.
#pragma once

#include "api/http/problem_details.h"

namespace skms::seal {

/// Sets `error_code` by status: 404 → "02", 401 → "03", 400 and 403 → "04", 500 → "01"; others carry none.
http::ProblemDetails WithSealErrorCode(http::ProblemDetails problem);

/// `cause` of an information element (TS 29.500 table 5.2.7.2-1).
inline constexpr const char* kMandatoryIeMissing = "MANDATORY_IE_MISSING";
inline constexpr const char* kMandatoryIeIncorrect = "MANDATORY_IE_INCORRECT";
inline constexpr const char* kOptionalIeIncorrect = "OPTIONAL_IE_INCORRECT";

/// 400 for one query parameter or header. `cause` as in TS 29.500 table 5.2.7.2-1.
http::ProblemDetails BadParameter(std::string cause, std::string param, std::string reason);

}  // namespace skms::seal
