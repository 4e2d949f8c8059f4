// The published cases: each one sentence of the standard, how it is tried, and what it needs to be tried.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "client/conform/probe.h"

namespace skms::client::conform {

/// What a case needs from the Setup beyond KM-S's endpoint, service and token.
enum Need : unsigned {
  kNothing = 0,
  kUser = 1U << 0U,
  kUnscoped = 1U << 1U,
  kExpired = 1U << 2U,
  kForeign = 1U << 3U,
  kProvisioning = 1U << 4U,
  kKmUu = 1U << 5U,
};

struct Case {
  const char* name;    ///< "km-s.service-missing"
  const char* clause;  ///< "TS 29.549 table 7.6.1.2.2-1"
  const char* says;    ///< what must be so
  unsigned needs;
  Verdict (*run)(Probe&);
};

/// Reference points in the order they are tried.
std::span<const Case> KmSCases();
std::span<const Case> HttpCases();
std::span<const Case> SecurityCases();
std::span<const Case> ProvisioningCases();
std::span<const Case> KmUuCases();
std::vector<Case> AllCases();

/// The option that is missing for `needs`, or "".
std::string MissingFor(unsigned needs, const Setup& setup);

struct CaseResult {
  Case test;
  Verdict verdict;
  double seconds = 0;
};

}  // namespace skms::client::conform
