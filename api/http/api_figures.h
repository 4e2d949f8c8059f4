// ApiFigures: how the requests of one Api have fared: each route's outcomes and times, and the queues before
// it.
//
// Plain values.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/duration_histogram.h"

namespace skms::http {

enum class Outcome {
  kOk,               ///< up to 399
  kBadRequest,       ///< 4xx that has no name of its own here
  kUnauthenticated,  ///< 401
  kForbidden,        ///< 403
  kNotFound,         ///< 404
  kRateLimited,      ///< 429
  kUnavailable,      ///< 503: too many at once, the token is lost
  kError,            ///< another 5xx
};
inline constexpr std::array<const char*, 8> kOutcomeNames{
    "ok", "bad_request", "unauthenticated", "forbidden", "not_found", "rate_limited", "unavailable", "error"};

Outcome OutcomeOf(int status);

/// Of one method of one resource; of all that belonged to none where both names are empty.
struct RouteFigures {
  std::string method;
  std::string pattern;
  std::array<std::uint64_t, kOutcomeNames.size()> outcomes{};
  DurationHistogram::Snapshot duration;  ///< from when the request was read to its answer
};

struct ApiFigures {
  std::vector<RouteFigures> routes;
  DurationHistogram::Snapshot admission;    ///< wait for a place among the concurrent requests
  DurationHistogram::Snapshot connections;  ///< wait of a connection for a thread
  std::size_t running = 0;
  std::size_t waiting = 0;
  std::size_t limit = 0;               ///< of those that run
  std::chrono::nanoseconds oldest{0};  ///< how long the oldest of those that run has been at it
};

}  // namespace skms::http
