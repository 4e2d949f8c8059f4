// The one file that serves through cpp-httplib. It brings the reading of request line and fields and the
// writing of answers; sockets, threads, TLS, deadlines, limits and framing checks are ours, because Debian's
// 0.11.4 has none that hold (docs/transport.md).
#include <httplib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "api/http/acceptor.h"
#include "api/http/bounded_tasks.h"
#include "api/http/connection.h"
#include "api/http/edge_fields.h"
#include "api/http/final_answer.h"
#include "api/http/late_answers.h"
#include "api/http/listening_socket.h"
#include "api/http/problem_details.h"
#include "api/http/request_head.h"
#include "api/http/request_reader.h"
#include "api/http/tls_server.h"
#include "api/http/transport.h"
#include "base/log.h"
#include "base/seldom.h"
#include "base/thread_priority.h"

namespace skms::http {
namespace {

using Time = Connection::Time;
using std::chrono::steady_clock;

constexpr std::size_t kDrainBytes = 4U << 20U;
constexpr std::chrono::seconds kDrainTime{2};

/// One request's head as cpp-httplib reads it, and the way its answer goes out.
class HeadStream final : public httplib::Stream {
 public:
  HeadStream(Connection& connection, std::string_view head, Time deadline, LateAnswers::Pending& pending)
      : connection_(connection), head_(head), deadline_(deadline), pending_(pending) {}

  bool is_readable() const override { return !head_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const std::size_t got = head_.copy(out, size);
    head_.remove_prefix(got);
    return static_cast<ssize_t>(got);
  }
  ssize_t write(const char* data, size_t size) override {
    return pending_.Begin() && connection_.WriteAll({data, size}, deadline_) ? static_cast<ssize_t>(size)
                                                                             : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override { get_remote_ip_and_port(ip, port); }
  socket_t socket() const override { return connection_.fd(); }

 private:
  Connection& connection_;
  std::string_view head_;
  const Time deadline_;
  LateAnswers::Pending& pending_;
};

/// What the routing callback needs and cpp-httplib's Request does not carry; and the request as the Api gets
/// it, which is kept until its answer has gone out: it may be run again meanwhile.
struct ActiveRequest {
  Connection& connection;
  const RequestHead& head;
  std::string body;
  RequestContext peer;  ///< as it is before a handler writes to it
  RequestContext context;
  Request request;
  std::atomic<bool> named{false};  ///< peer.request_id is there, and changes no more
};
thread_local ActiveRequest* active = nullptr;

struct ServerOptions {
  std::size_t threads = 64;
  std::chrono::milliseconds keep_alive{2000};
  std::chrono::milliseconds request_time{10000};
  std::chrono::milliseconds answer_time{0};
  TransportKind unix_kind = TransportKind::kAdmin;
  std::optional<uid_t> unix_peer{};
};

/// The edge's own fields do not count as the client's.
Limits HeadLimits(Limits limits, bool edge) {
  if (edge) {
    limits.max_header_fields += kEdgeFields;
    limits.max_header_bytes += kEdgeFieldBytes;
  }
  return limits;
}

class Server final : public httplib::Server {
 public:
  Server(std::unique_ptr<TlsServer> tls, const ServerOptions& options, Api& api)
      : tls_(std::move(tls)),
        options_(options),
        api_(api),
        head_limits_(HeadLimits(api.limits(), !tls_ && options.unix_kind == TransportKind::kEdge)),
        late_(options.answer_time),
        stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    // Only what the Keep-Alive field announces; the times are kept in ServeOne.
    set_keep_alive_max_count(1000000);
    set_keep_alive_timeout(std::max<time_t>(1, options_.keep_alive.count() / 1000));
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, response);
      return HandlerResponse::Handled;
    });
    // What cpp-httplib refuses by itself gets our form; answers of ours have a body already.
    set_error_handler(HandlerWithResponse([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return HandlerResponse::Unhandled;
      Fill(ToResponse(ProblemFor(ErrorCode::kInvalidArgument), ""), response);
      return HandlerResponse::Handled;
    }));
    set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
          Fill(ToResponse(ProblemFor(ErrorCode::kInternal), ""), response);
        });
  }
  ~Server() override { ::close(stop_fd_); }

  void SignalStop() {
    stopping_ = true;
    const std::uint64_t one = 1;
    if (::write(stop_fd_, &one, sizeof one) != sizeof one)
      LogError("transport: the stop signal is not heard");
  }
  int stop_fd() const { return stop_fd_; }

  /// Serves a connection, which it owns and which has waited since `accepted`, to its end.
  void Serve(int fd, Time accepted) {
    api_.CountConnectionWait(steady_clock::now() - accepted);
    Connection connection(fd, stop_fd_, tls_.get());
    if (!connection.Handshake(steady_clock::now() + options_.request_time)) return;
    RequestContext peer;
    connection.Describe(peer);
    if (!tls_) peer.transport = options_.unix_kind;
    if (options_.unix_peer && (!peer.credentials || peer.credentials->uid != *options_.unix_peer)) {
      if (tells_peer_.Now()) {
        LogWarning("transport: a process of user " +
                   (peer.credentials ? std::to_string(peer.credentials->uid) : std::string("unknown")) +
                   " is turned away from a socket that is for user " + std::to_string(*options_.unix_peer) +
                   " alone; see edge.user, listen_ue.trusted_user");
      }
      return;
    }
    std::string buffered;
    bool first = true;
    while (ServeOne(connection, peer, buffered, first)) first = false;
  }
  /// No request is run again any more; waits for those that are.
  void EndRuns() { late_.End(); }

 private:
  static void Fill(const Response& ours, httplib::Response& response) {
    response.status = ours.status;
    for (const auto& [name, value] : ours.headers.fields()) response.set_header(name, value);
    response.body = ours.body;
  }

  void Answer(const httplib::Request& request, httplib::Response& response) {
    Request& ours = active->request;
    ours.method = request.method;
    const std::string& target = active->head.target;
    const std::size_t question = std::min(target.find('?'), target.size());
    ours.path = target.substr(0, question);
    if (question < target.size()) ours.query = target.substr(question + 1);
    for (const auto& [name, value] : request.headers) {
      // Added by cpp-httplib itself, not by the client.
      if (name != "REMOTE_ADDR" && name != "REMOTE_PORT" && name != "LOCAL_ADDR" && name != "LOCAL_PORT") {
        ours.headers.Add(name, value);
      }
    }
    ours.body = std::move(active->body);
    if (active->peer.transport == TransportKind::kEdge) {
      const auto problem = TakeEdgeFields(ours, active->peer);
      active->context = active->peer;
      if (problem) {
        LogError("edge: " + problem->detail + "; is it HAProxy with what skmsctl edge config made?");
        api_.CountRefusal(problem->status);
        return Fill(ToResponse(*problem, active->peer.request_id), response);
      }
      active->named.store(true, std::memory_order_release);
    }
    Fill(api_.Handle(ours, active->context), response);
  }

  /// One request on a kept connection; false: close it. When stopping, a request that has already arrived is
  /// still served, and is the connection's last.
  bool ServeOne(Connection& connection, const RequestContext& peer, std::string& buffered, bool first) {
    // The edge has a request in hand when it connects, and cannot know that we stop.
    const bool expected = first && peer.transport == TransportKind::kEdge;
    if (buffered.empty() && !connection.WaitForRequest(steady_clock::now() + options_.keep_alive, !expected))
      return false;
    const Time deadline = steady_clock::now() + options_.request_time;
    std::optional<ProblemDetails> oversize;
    const std::optional<std::size_t> head_bytes =
        ReadHead(connection, head_limits_, buffered, deadline, !expected, oversize);
    if (oversize) return Refuse(connection, *oversize);
    if (!head_bytes) return false;
    RequestHead head;
    if (const auto problem =
            CheckHead(std::string_view{buffered}.substr(0, *head_bytes), head_limits_, head,
                      [this](auto method, auto path) { return api_.BodyLimit(method, path); })) {
      return Refuse(connection, *problem);
    }
    buffered.erase(0, *head_bytes);
    ActiveRequest request{connection, head, {}, peer, {}, {}};
    request.peer.deadline = deadline;
    request.peer.sent_instead = std::make_shared<std::atomic<int>>(0);
    if (peer.transport != TransportKind::kEdge) {
      request.peer.request_id = NewRequestId();
      request.named.store(true, std::memory_order_release);
    }
    request.context = request.peer;
    if (!ReadBody(connection, head, buffered, request.body, deadline)) return false;

    active = &request;
    bool closed = false;
    // The answer may be written after the request's own time: a slow token is not the client's fault.
    LateAnswers::Pending pending(
        late_, [&request] { AnswerLate(request); }, [this, &request] { return AnotherRun(request); });
    HeadStream stream(connection, head.for_httplib, deadline + options_.request_time, pending);
    const bool served = process_request(stream, stopping_, closed, [](httplib::Request&) {});
    active = nullptr;
    return served && !closed && !stopping_;
  }

  /// For the handler of `hanging` is inside the module, and its thread no use until that comes back.
  LateAnswers::Run AnotherRun(const ActiveRequest& hanging) const {
    if (!api_.MayRunTwice(hanging.request)) return {};
    RequestContext context = hanging.peer;
    context.second_run = true;
    return [&api = api_, request = hanging.request, context = std::move(context),
            &connection = hanging.connection, time = options_.request_time]() mutable -> LateAnswers::Answer {
      const Response response = api.Handle(request, context);
      // The first run was let in: what refuses the second (a rate, a token that has expired) says nothing of
      // it.
      if (response.status >= 400) return {};
      return [&connection, time, status = response.status, sent = context.sent_instead,
              text = FinalAnswer(response, response.status == 200 ? "OK" : ""),
              log = "transport: request " + context.request_id + ": " + request.method +
                    " hangs in the token; answered by running it again"] {
        sent->store(status);
        LogWarning(log);
        connection.WriteAll(text, steady_clock::now() + time);
      };
    };
  }

  static void AnswerLate(const ActiveRequest& late) {
    // The edge's name of a request is there once its header fields were looked at.
    const bool named = late.named.load(std::memory_order_acquire);
    const std::string id = named ? late.peer.request_id : "";
    LogWarning("transport: request " + (id.empty() ? "without a name" : id) + ": " + late.head.method +
               " takes too long; answered 503 in its place");
    ProblemDetails problem = ProblemFor(ErrorCode::kResourceExhausted);
    problem.detail = "no answer in time: the token or the database hangs";
    late.peer.sent_instead->store(problem.status);
    std::string answer = FinalAnswer(problem, id);
    if (late.head.method == "HEAD") answer.resize(answer.find("\r\n\r\n") + 4);
    late.connection.WriteAll(answer, steady_clock::now() + kDrainTime);
  }

  bool Refuse(Connection& connection, const ProblemDetails& problem) {
    api_.CountRefusal(problem.status);
    const Time deadline = steady_clock::now() + kDrainTime;
    if (connection.WriteAll(FinalAnswer(problem), deadline)) connection.Drain(kDrainBytes, deadline);
    return false;
  }

  const std::unique_ptr<TlsServer> tls_;
  const ServerOptions options_;
  Api& api_;
  const Limits head_limits_;
  LateAnswers late_;
  const int stop_fd_;
  std::atomic<bool> stopping_{false};
  Seldom tells_peer_;
};

class HttplibTransport final : public Transport {
 public:
  HttplibTransport(int listener, std::unique_ptr<TlsServer> tls, const ServerOptions& options, Api& api,
                   std::string path)
      : port_(BoundPort(listener)),
        path_(std::move(path)),
        threads_(options.threads),
        // While the edge is reloaded there are two of it, each of which sends as many as there are threads.
        queued_(options.unix_kind == TransportKind::kEdge && !tls ? 4 * options.threads : options.threads),
        // Who asks whether the server lives does not wait for a core behind the requests of others.
        priority_(!tls && options.unix_kind == TransportKind::kAdmin
                      ? std::nullopt
                      : std::optional<ThreadPriority>(ThreadPriority::kRequests)),
        server_(std::move(tls), options, api),
        acceptor_(listener, server_.stop_fd(), [this](int connection) { Take(connection); }) {}
  ~HttplibTransport() override { Stop(); }

  Status Start() override {
    tasks_.emplace(threads_, queued_, priority_);
    SKMS_TRYV(acceptor_.Start());
    started_ = true;
    return Ok();
  }

  void Stop() override {
    if (!tasks_) return;
    server_.SignalStop();
    acceptor_.Join();
    tasks_->Shutdown();
    tasks_.reset();
    server_.EndRuns();
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  bool running() const override { return started_ && !acceptor_.ended(); }
  int port() const override { return port_; }

 private:
  void Take(int connection) {
    std::function<void()> task = [this, connection, at = steady_clock::now()] {
      server_.Serve(connection, at);
    };
    if (tasks_->Enqueue(task)) return;
    ::close(connection);
    if (tells_full_.Now())
      LogWarning("transport: more connections than max_connections and its queue; some are closed");
  }

  const int port_;
  const std::string path_;
  const std::size_t threads_;
  const std::size_t queued_;
  Seldom tells_full_;
  const std::optional<ThreadPriority> priority_;
  Server server_;
  std::optional<BoundedTasks> tasks_;
  Acceptor acceptor_;
  std::atomic<bool> started_{false};
};

}  // namespace

Result<std::unique_ptr<Transport>> CreateDirectTransport(const DirectOptions& options, Api& api) {
  SKMS_TRY(std::unique_ptr<TlsServer> tls, TlsServer::Create(options));
  int listener = options.inherited.value_or(-1);
  if (!options.inherited) {
    SKMS_TRY(listener, ListenOnTcp(options.address, options.port));
  }
  ServerOptions server;
  server.threads = options.max_connections;
  server.keep_alive = options.keep_alive;
  server.request_time = options.request_time;
  server.answer_time = options.answer_time;
  return std::unique_ptr<Transport>(new HttplibTransport(listener, std::move(tls), server, api, ""));
}

Result<std::unique_ptr<Transport>> CreateUnixTransport(const UnixOptions& options, Api& api) {
  int listener = options.inherited.value_or(-1);
  if (!options.inherited) {
    SKMS_TRY(listener, ListenOnUnix(options.path, options.mode, options.group));
  }
  const ServerOptions server{options.max_connections, options.keep_alive, options.request_time,
                             options.answer_time,     options.kind,       options.peer};
  return std::unique_ptr<Transport>(
      new HttplibTransport(listener, nullptr, server, api, options.inherited ? "" : options.path));
}

}  // namespace skms::http
