// The report of a conformance run, as text for people, as JSON, and as JUnit XML for CI systems. Pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "client/conform/cases.h"

namespace skms::client::conform {

struct Counts {
  int passed = 0, failed = 0, skipped = 0;
};
Counts Count(const std::vector<CaseResult>& results);

/// One line for a case; of one that failed or was skipped, why.
std::string TextLine(const CaseResult& result);
/// {"server","passed","failed","skipped","cases":[{"name","clause","requirement","outcome","reason"?,"seconds"}]}
std::string JsonReport(const std::string& server, const std::vector<CaseResult>& results);
/// One testsuite; the clause is each case's classname.
std::string JUnitReport(const std::string& server, const std::vector<CaseResult>& results);

}  // namespace skms::client::conform
