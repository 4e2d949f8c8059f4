// Router and Api: from a Request to the one handler that answers it, with the limits and the exception
// boundary that every transport shares.
//
// Api::Handle is synchronous and thread-safe; handlers are registered before serving starts and must be
// thread-safe. 404 RESOURCE_URI_STRUCTURE_NOT_FOUND for an unknown path, 405 + Allow for a known path, 501
// for a method nobody knows (TS 29.500 5.2.7.2), 413, 414, 431, 400 for what breaks the limits, 503 +
// Retry-After when too many requests run already, 500 for an exception (its text goes to the log only).
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http/api_figures.h"
#include "api/http/message.h"

namespace skms::http {

struct Limits {
  std::size_t max_target_bytes = 8192;       ///< path and query; 414 over it
  std::size_t max_header_fields = 100;       ///< 431 over it
  std::size_t max_header_bytes = 16384;      ///< names and values; 431 over it
  std::size_t max_body_bytes = 65536;        ///< 413 over it
  std::size_t max_concurrent_requests = 32;  ///< running at once; the next waits
  std::size_t max_waiting_requests = 64;     ///< waiting; the next gets 503 at once
  std::chrono::milliseconds max_wait{150};   ///< waiting longer gets 503
};

/// Values of "{name}" segments of the matched pattern, percent-decoded, in order.
using PathValues = std::vector<std::string>;
using Handler = std::function<Response(const Request&, RequestContext&, const PathValues&)>;

struct RouteOptions {
  std::size_t max_body_bytes = 0;  ///< this resource's own limit; 0: the general one
  bool may_run_twice = false;      ///< as a GET always may
};

/// 16 hex digits, random.
std::string NewRequestId();

class Api {
 public:
  explicit Api(Limits limits);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;
  ~Api();

  /// `pattern` like "/admin/v1/services/{id}". Not after the first Handle.
  void Add(std::string method, const std::string& pattern, Handler handler, RouteOptions options = {});
  /// Runs a handler, as often as it likes; the last answer counts. Not after the first Handle.
  using Around = std::function<Response(const Request& request, const RequestContext& context,
                                        const std::function<Response()>& handle)>;
  void SetAround(Around around);
  /// The limit that holds for a request's body: its resource's, or the general one. Before the body is read.
  std::size_t BodyLimit(std::string_view method, std::string_view path) const;

  /// Whether it does no harm to run this request a second time because the first run hangs.
  bool MayRunTwice(const Request& request) const;

  /// Answers every request, whatever it holds. HEAD is answered like GET, with a body that the transport must
  /// not send; OPTIONS of a known path with 204 and Allow.
  Response Handle(const Request& request, RequestContext& context);

  const Limits& limits() const;
  /// How requests have fared since the start.
  ApiFigures figures() const;
  /// A transport has refused a request that never came to Handle.
  void CountRefusal(int status);
  /// How long a connection waited for a thread of its transport.
  void CountConnectionWait(std::chrono::steady_clock::duration waited);
  /// When the oldest request that is still being handled began, also where its client has had a 503
  /// meanwhile.
  std::optional<std::chrono::steady_clock::time_point> OldestRequest() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::http
