#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <typeinfo>
#include <utility>

#include "api/http/problem_details.h"
#include "api/http/query.h"
#include "api/http/route_meter.h"
#include "api/http/router.h"
#include "base/encoding.h"
#include "base/log.h"

namespace skms::http {
namespace {

/// "/a/b" → "", "a", "b". "/a/" is another path than "/a".
std::vector<std::string> Segments(std::string_view path) {
  std::vector<std::string> segments;
  for (std::size_t from = 0;;) {
    const std::size_t slash = path.find('/', from);
    segments.emplace_back(path.substr(from, slash == std::string_view::npos ? slash : slash - from));
    if (slash == std::string_view::npos) return segments;
    from = slash + 1;
  }
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
}

struct Route {
  std::string method;
  std::string text;  ///< of the pattern
  std::vector<std::string> pattern;
  Handler handler;
  RouteOptions options;
  std::unique_ptr<RouteMeter> meter = std::make_unique<RouteMeter>();
};

/// The values of "{…}" segments, or nullopt when the path is another.
std::optional<PathValues> Match(const std::vector<std::string>& pattern,
                                const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  PathValues values;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (!pattern[i].empty() && pattern[i].front() == '{') {
      std::string value;
      if (!PercentDecode(path[i], value) || value.empty()) return std::nullopt;
      values.push_back(std::move(value));
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return values;
}

const std::string kGet = "GET";

}  // namespace

class Api::State {
 public:
  explicit State(const Limits& limits) : limits_(limits) {}

  void Add(std::string method, const std::string& pattern, Handler handler, const RouteOptions& options) {
    methods_.insert(method);
    routes_.push_back({std::move(method), pattern, Segments(pattern), std::move(handler), options});
  }

  void SetAround(Around around) { around_ = std::move(around); }

  bool MayRunTwice(const Request& request) const {
    if (request.method == kGet) return true;
    const std::vector<std::string> path = Segments(request.path);
    return std::any_of(routes_.begin(), routes_.end(), [&](const Route& route) {
      return route.options.may_run_twice && route.method == request.method && Match(route.pattern, path);
    });
  }

  std::size_t BodyLimit(std::string_view method, std::string_view path) const {
    std::optional<std::vector<std::string>> segments;
    for (const Route& route : routes_) {
      if (route.options.max_body_bytes == 0 || route.method != method) continue;
      if (!segments) segments = Segments(path);
      if (Match(route.pattern, *segments)) return route.options.max_body_bytes;
    }
    return limits_.max_body_bytes;
  }

  Response Handle(const Request& request, RequestContext& context) {
    const auto begun = std::chrono::steady_clock::now();
    RouteMeter* meter = &unrouted_;
    Response response = Dispatch(request, context, meter);
    // The first run of a request is counted when it comes back, as what the client got.
    const int instead = context.sent_instead ? context.sent_instead->load() : 0;
    if (!context.second_run)
      meter->Count(instead != 0 ? instead : response.status, std::chrono::steady_clock::now() - begun);
    return response;
  }

  void CountRefusal(int status) { unrouted_.Count(status); }
  void CountConnectionWait(std::chrono::steady_clock::duration waited) { connections_.Observe(waited); }

  ApiFigures figures() const {
    ApiFigures now;
    now.routes.reserve(routes_.size() + 1);
    for (const Route& route : routes_) now.routes.push_back(route.meter->Read(route.method, route.text));
    now.routes.push_back(unrouted_.Read("", ""));
    now.admission = admission_.Read();
    now.connections = connections_.Read();
    now.limit = limits_.max_concurrent_requests;
    const std::lock_guard lock(mutex_);
    now.running = running_.size();
    now.waiting = waiting_;
    if (!running_.empty()) now.oldest = std::chrono::steady_clock::now() - *running_.begin();
    return now;
  }

  const Limits& limits() const { return limits_; }

  std::optional<std::chrono::steady_clock::time_point> OldestRequest() const {
    const std::lock_guard lock(mutex_);
    if (running_.empty()) return std::nullopt;
    return *running_.begin();
  }

 private:
  Response Dispatch(const Request& request, RequestContext& context, RouteMeter*& meter) {
    if (const auto problem = CheckLimits(request)) return ToResponse(*problem, context.request_id);
    const std::vector<std::string> path = Segments(request.path);
    // RFC 9110 9.3.2: as GET, and the transport sends no content.
    const std::string& method = request.method == "HEAD" ? kGet : request.method;
    std::string allowed;
    for (const Route& route : routes_) {
      const auto values = Match(route.pattern, path);
      if (!values) continue;
      if (route.method == method) {
        meter = route.meter.get();
        return Admitted(route, request, context, *values);
      }
      allowed += (allowed.empty() ? "" : ", ") + route.method + (route.method == kGet ? ", HEAD" : "");
    }
    if (!allowed.empty()) allowed += ", OPTIONS";
    if (request.method == "OPTIONS" && !allowed.empty()) return Options(allowed);
    return ToResponse(NoRoute(request.method, allowed), context.request_id);
  }

  std::optional<ProblemDetails> CheckLimits(const Request& request) const {
    if (request.path.size() + request.query.size() > limits_.max_target_bytes) {
      return Problem(414, "URI Too Long", "the path and query are longer than accepted", "");
    }
    std::size_t bytes = 0;
    for (const auto& [name, value] : request.headers.fields()) {
      bytes += name.size() + value.size() + 4;
      if (HasControl(name) || HasControl(value)) {
        return Problem(400, "Bad Request", "a header field holds a control character", "INVALID_MSG_FORMAT");
      }
    }
    if (bytes > limits_.max_header_bytes || request.headers.fields().size() > limits_.max_header_fields) {
      return Problem(431, "Request Header Fields Too Large", "more header fields than accepted", "");
    }
    if (request.body.size() > BodyLimit(request.method, request.path)) {
      return Problem(413, "Content Too Large", "the body is larger than accepted", "");
    }
    return std::nullopt;
  }

  /// Says nothing that 405 does not say, so it needs no credentials.
  static Response Options(const std::string& allowed) {
    Response response;
    response.status = 204;
    response.headers.Set("Allow", allowed);
    return response;
  }

  ProblemDetails NoRoute(const std::string& method, const std::string& allowed) const {
    if (methods_.count(method) == 0 && method != "GET" && method != "HEAD" && method != "POST" &&
        method != "PUT" && method != "DELETE" && method != "PATCH" && method != "OPTIONS") {
      return Problem(501, "Not Implemented", "this method is not known here", "");
    }
    if (allowed.empty()) {
      return Problem(404, "Not Found", "there is no such resource", "RESOURCE_URI_STRUCTURE_NOT_FOUND");
    }
    ProblemDetails problem = Problem(405, "Method Not Allowed", "this resource serves " + allowed, "");
    problem.allow = allowed;
    return problem;
  }

  Response Admitted(const Route& route, const Request& request, RequestContext& context,
                    const PathValues& values) {
    const std::optional<Running::iterator> entered = Enter(context.second_run);
    if (!entered) {
      ProblemDetails problem = ProblemFor(ErrorCode::kResourceExhausted);
      return ToResponse(problem, context.request_id);
    }
    const std::unique_ptr<State, LeaveAtEnd> admitted(this, LeaveAtEnd{*entered});
    try {
      const auto handle = [&] { return route.handler(request, context, values); };
      return around_ ? around_(request, context, handle) : handle();
    } catch (const std::exception& exception) {
      // Its type only: a library's text may quote what the client sent.
      LogError("request " + context.request_id + ": exception of type " + typeid(exception).name());
    } catch (...) {
      LogError("request " + context.request_id + ": exception of no known type");
    }
    return ToResponse(ProblemFor(ErrorCode::kInternal), context.request_id);
  }

  using Running = std::multiset<std::chrono::steady_clock::time_point>;

  struct LeaveAtEnd {
    Running::iterator entered;
    void operator()(State* state) const { state->Leave(entered); }
  };

  std::optional<Running::iterator> Enter(bool has_place) {
    const auto has_room = [this] { return running_.size() < limits_.max_concurrent_requests; };
    std::unique_lock lock(mutex_);
    auto waited = std::chrono::steady_clock::duration::zero();
    if (!has_place && !has_room()) {
      if (waiting_ >= limits_.max_waiting_requests) return std::nullopt;
      const auto begun = std::chrono::steady_clock::now();
      ++waiting_;
      const bool admitted = left_.wait_for(lock, limits_.max_wait, has_room);
      --waiting_;
      waited = std::chrono::steady_clock::now() - begun;
      if (!admitted) {
        admission_.Observe(waited);
        return std::nullopt;
      }
    }
    admission_.Observe(waited);
    return running_.insert(std::chrono::steady_clock::now());
  }

  void Leave(Running::iterator entered) {
    {
      const std::lock_guard lock(mutex_);
      running_.erase(entered);
    }
    left_.notify_one();
  }

  const Limits limits_;
  Around around_;
  std::vector<Route> routes_;
  std::set<std::string> methods_;
  mutable std::mutex mutex_;
  std::condition_variable left_;
  Running running_;  ///< when each of them began
  std::size_t waiting_ = 0;
  RouteMeter unrouted_;  ///< what belongs to no route
  DurationHistogram admission_;
  DurationHistogram connections_;
};

std::string NewRequestId() {
  std::array<std::uint8_t, 8> octets{};
  // Only uniqueness is asked of it; without randomness the id is all zeros and the request still served.
  RAND_bytes(octets.data(), static_cast<int>(octets.size()));
  return ToHex(octets);
}

Api::Api(Limits limits) : state_(std::make_unique<State>(limits)) {}
Api::~Api() = default;

void Api::Add(std::string method, const std::string& pattern, Handler handler, RouteOptions options) {
  state_->Add(std::move(method), pattern, std::move(handler), options);
}

void Api::SetAround(Around around) { state_->SetAround(std::move(around)); }

bool Api::MayRunTwice(const Request& request) const { return state_->MayRunTwice(request); }

std::size_t Api::BodyLimit(std::string_view method, std::string_view path) const {
  return state_->BodyLimit(method, path);
}

Response Api::Handle(const Request& request, RequestContext& context) {
  if (context.request_id.empty()) context.request_id = NewRequestId();
  const LogRequest logged(context.request_id);
  Response response = state_->Handle(request, context);
  response.headers.Set("X-Request-Id", context.request_id);
  if (response.headers.Find("Cache-Control") == nullptr) response.headers.Set("Cache-Control", "no-store");
  return response;
}

std::optional<std::chrono::steady_clock::time_point> Api::OldestRequest() const {
  return state_->OldestRequest();
}

const Limits& Api::limits() const { return state_->limits(); }
ApiFigures Api::figures() const { return state_->figures(); }
void Api::CountRefusal(int status) { state_->CountRefusal(status); }
void Api::CountConnectionWait(std::chrono::steady_clock::duration waited) {
  state_->CountConnectionWait(waited);
}

Outcome OutcomeOf(int status) {
  if (status < 400) return Outcome::kOk;
  switch (status) {
    case 401:
      return Outcome::kUnauthenticated;
    case 403:
      return Outcome::kForbidden;
    case 404:
      return Outcome::kNotFound;
    case 429:
      return Outcome::kRateLimited;
    case 503:
      return Outcome::kUnavailable;
    default:
      return status < 500 ? Outcome::kBadRequest : Outcome::kError;
  }
}

}  // namespace skms::http
