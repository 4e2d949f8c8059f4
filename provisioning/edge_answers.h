// What the edge answers by itself: the files that HAProxy's configuration names for it. The rest is the
// daemon's.
//
// Pure; thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace skms::provisioning {

/// problem+json. The texts are ours: none has a quote in it.
std::string EdgeProblem(int status, const std::string& title, const std::string& detail,
                        const char* cause = "");

/// The "errorfile" lines of section defaults.
std::string EdgeErrorLines();

/// Name and contents: the error pages, and the Lua service "answer_after_body", which answers with the status
/// in txn.refused, 411 or 413.
std::vector<std::pair<std::string, std::string>> EdgeAnswerFiles();

}  // namespace skms::provisioning
