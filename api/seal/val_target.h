// ValTargetUe (TS 29.549 7.3.1.4.2.3): the query of SS_KeyInfoRetrieval decoded into a Selector.
//
// Two forms are on the wire: `val-tgt-ue=<JSON>` (YAML 1.3.0) and the exploded `valUserId=`/`valUeId=` of
// YAML 1.1.1. Both at once, both members, or any other parameter are refused: a misspelt target must not
// become a request for the whole service's key.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "api/http/problem_details.h"
#include "keystore/identifiers.h"

namespace skms::seal {

/// The selector, or the 400 to answer (causes of TS 29.500 table 5.2.7.2-1, with invalidParams).
std::variant<keystore::Selector, http::ProblemDetails> DecodeSelector(std::string_view query);

/// ValTargetUe as JSON into `out`. `at` names it in invalidParams ("val-tgt-ue", "/valTgtUe"). nullopt: well.
std::optional<http::ProblemDetails> DecodeValTargetUe(const nlohmann::json& target, const std::string& at,
                                                      const std::string& cause, keystore::Selector& out);

}  // namespace skms::seal
