// The unix transport on a real socket: who the peer is, what a slow or silent client may do, and how it
// stops.
#include "api/http/transport.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "api/http/inherited_listeners.h"
#include "api/http/listening_socket.h"
#include "tests/support/temporary_directory.h"

namespace skms::http {
namespace {

class UnixClient {
 public:
  explicit UnixClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  UnixClient(const UnixClient&) = delete;
  UnixClient& operator=(const UnixClient&) = delete;
  ~UnixClient() { ::close(fd_); }

  bool connected() const { return connected_; }
  bool TrySend(const std::string& octets) const {
    return ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(octets.size());
  }
  void Send(const std::string& octets) const { REQUIRE(TrySend(octets)); }
  /// Everything until the server closes.
  std::string ReadToEnd() const {
    std::string all;
    char chunk[4096];
    for (;;) {
      const ssize_t got = ::recv(fd_, chunk, sizeof chunk, 0);
      if (got <= 0) return all;
      all.append(chunk, static_cast<std::size_t>(got));
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

struct Fixture {
  Fixture() {
    api.Add("GET", "/peer", [](const Request&, RequestContext& context, const PathValues&) {
      Response response;
      response.body =
          std::to_string(context.credentials->uid) + " " + std::to_string(context.credentials->pid);
      return response;
    });
    api.Add("POST", "/echo", [](const Request& request, RequestContext&, const PathValues&) {
      Response response;
      response.body = request.path + "?" + request.query + " " + request.body;
      return response;
    });
    options.path = directory.File("s");
  }
  test::TemporaryDirectory directory;
  Api api{Limits{}};
  UnixOptions options;
};

constexpr const char* kGetPeer = "GET /peer HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

TEST_CASE("the peer of a unix socket is known by its credentials, and the file has its mode") {
  Fixture f;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  struct stat status {};
  REQUIRE(::stat(f.options.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(transport->Start().has_value());
  CHECK(transport->running());
  const UnixClient client(f.options.path);
  client.Send(kGetPeer);
  CHECK(client.ReadToEnd().find(std::to_string(::geteuid()) + " " + std::to_string(::getpid())) !=
        std::string::npos);
  transport->Stop();
  CHECK_FALSE(transport->running());
  CHECK(::access(f.options.path.c_str(), F_OK) != 0);
}

TEST_CASE("who asks on the administrators' socket does not wait for a core behind the requests of others") {
  Fixture f;
  f.api.Add("GET", "/nice", [](const Request&, RequestContext&, const PathValues&) {
    Response response;
    response.body = "nice " + std::to_string(::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())));
    return response;
  });
  const int mine = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
  for (const auto& [kind, nice] : {std::pair(TransportKind::kAdmin, mine),
                                   std::pair(TransportKind::kAssertingProxy, std::max(mine, 5))}) {
    f.options.kind = kind;
    const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
    REQUIRE(transport->Start().has_value());
    const UnixClient client(f.options.path);
    client.Send("GET /nice HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(client.ReadToEnd().find("nice " + std::to_string(nice)) != std::string::npos);
  }
}

TEST_CASE("a body arrives whole in pieces, and two requests in one write are two answers") {
  Fixture f;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const UnixClient client(f.options.path);
  client.Send("POST /echo?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
  client.Send("defPOST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nxyz");
  const std::string answers = client.ReadToEnd();
  CHECK(answers.find("/echo?a=1 abcdef") != std::string::npos);
  CHECK(answers.find("/echo? xyz") != std::string::npos);
}

TEST_CASE("an escaped line break that cpp-httplib unescapes in a header is refused") {
  Fixture f;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const UnixClient client(f.options.path);
  client.Send("GET /peer HTTP/1.1\r\nHost: h\r\nX-A: a%0d%0aX-B: b\r\nConnection: close\r\n\r\n");
  CHECK(client.ReadToEnd().find("HTTP/1.1 400") == 0);
}

TEST_CASE("a second server on the same path is refused, a stale file and a foreign one are told apart") {
  Fixture f;
  {
    const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
    REQUIRE(transport->Start().has_value());
    const auto second = CreateUnixTransport(f.options, f.api);
    REQUIRE(second.has_error());
    CHECK(second.error().detail.find("another skmsd") != std::string::npos);
  }
  {
    // A socket file whose server is gone.
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, f.options.path.c_str(), f.options.path.size() + 1);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);
    CHECK(CreateUnixTransport(f.options, f.api).has_value());
  }
  ::unlink(f.options.path.c_str());
  std::ofstream(f.options.path) << "precious";
  CHECK(CreateUnixTransport(f.options, f.api).error().code == ErrorCode::kConfiguration);
  CHECK(std::filesystem::file_size(f.options.path) == 8);
}

TEST_CASE("Stop lets the request in flight finish and closes idle connections at once") {
  Fixture f;
  std::latch inside(1);
  std::latch release(1);
  f.api.Add("GET", "/slow", [&](const Request&, RequestContext&, const PathValues&) {
    inside.count_down();
    release.wait();
    Response response;
    response.body = "finished";
    return response;
  });
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const UnixClient idle(f.options.path);
  const UnixClient busy(f.options.path);
  busy.Send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  inside.wait();
  std::thread stopper([&] { transport->Stop(); });
  CHECK(idle.ReadToEnd().empty());  // returns because Stop closed it, while /slow is still held
  release.count_down();
  const std::string answer = busy.ReadToEnd();
  stopper.join();
  CHECK(answer.find("HTTP/1.1 200") == 0);
  CHECK(answer.find("finished") != std::string::npos);
  CHECK_FALSE(UnixClient(f.options.path).connected());
}

TEST_CASE("connections past the threads and the queue are closed, and service goes on") {
  Fixture f;
  f.options.max_connections = 1;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  {
    const UnixClient held(f.options.path);  // takes the thread
    held.Send("GET /peer HTTP/1.1\r\n");    // and keeps it, its head unfinished
    std::vector<std::unique_ptr<UnixClient>> others;
    others.reserve(8);
    for (int i = 0; i < 8; ++i) others.push_back(std::make_unique<UnixClient>(f.options.path));
    CHECK(others.back()->ReadToEnd().empty());  // turned away, not left waiting
  }
  // The thread comes free when it has seen the others go; until then newcomers are turned away too.
  std::string answer;
  for (int attempt = 0; attempt < 100000 && answer.empty(); ++attempt) {
    const UnixClient next(f.options.path);
    if (next.TrySend(kGetPeer)) answer = next.ReadToEnd();
  }
  CHECK(answer.find("HTTP/1.1 200") == 0);
}

TEST_CASE("what the edge says is known of a request, and does not count as its client's") {
  Fixture f;
  f.api.Add("GET", "/who", [](const Request& request, RequestContext& context, const PathValues&) {
    Response response;
    response.body = context.request_id + " " +
                    std::to_string(context.certificate ? context.certificate->der.size() : 0) + " " +
                    std::to_string(request.headers.Count("Client-Cert"));
    return response;
  });
  f.options.kind = TransportKind::kEdge;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const auto ask = [&](const std::string& fields) {
    const UnixClient client(f.options.path);
    client.Send("GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + fields + "\r\n");
    return client.ReadToEnd();
  };
  // As many octets as a client may send, and the edge's beside them.
  const std::string largest =
      "X-A: " + std::string(7900, 'a') + "\r\nX-B: " + std::string(7900, 'b') + "\r\n";
  const std::string certificate = "Client-Cert: :" + std::string(4000, 'A') + ":\r\n";
  CHECK(ask(largest + "X-Request-Id: 00000000000000aa\r\n" + certificate).find("00000000000000aa 3000 0") !=
        std::string::npos);
  CHECK(ask("X-Request-Id: 00000000000000ab\r\n").find("00000000000000ab 0 0") != std::string::npos);
  CHECK(ask("Client-Cert: nonsense\r\n").find("HTTP/1.1 400") == 0);
  CHECK(ask(largest + largest).find("HTTP/1.1 431") == 0);
}

TEST_CASE("anywhere else the edge's fields are as any other") {
  Fixture f;
  f.api.Add("GET", "/who", [](const Request&, RequestContext& context, const PathValues&) {
    Response response;
    response.body = std::string(context.certificate ? "known" : "unknown") + " " + context.request_id;
    return response;
  });
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const UnixClient client(f.options.path);
  client.Send(
      "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\nClient-Cert: :MIIB:\r\nX-Request-Id: "
      "00000000000000aa\r\n\r\n");
  const std::string answer = client.ReadToEnd();
  CHECK(answer.find("unknown") != std::string::npos);
  CHECK(answer.find("00000000000000aa") == std::string::npos);
}

TEST_CASE("the request that the edge connects for is served, also when Stop comes between") {
  Fixture f;
  f.options.kind = TransportKind::kEdge;
  f.options.max_connections = 2;
  const auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
  REQUIRE(transport->Start().has_value());
  const UnixClient silent(f.options.path);
  {
    const UnixClient later(f.options.path);
    later.Send(kGetPeer);
    REQUIRE_FALSE(later.ReadToEnd().empty());  // so the one before it has been accepted, too
  }
  std::thread stopper([&] { transport->Stop(); });
  while (UnixClient(f.options.path).connected()) std::this_thread::yield();
  silent.Send(kGetPeer);
  CHECK(silent.ReadToEnd().find("HTTP/1.1 200") == 0);
  stopper.join();
}

/// A listening socket that somebody else holds.
int ListenAt(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd, 16) == 0);
  return fd;
}

TEST_CASE("an inherited socket outlives its transport, and the next one serves who came between") {
  Fixture f;
  const int held = ListenAt(f.options.path);
  const auto inherit = [&] {
    auto inherited = std::move(InheritedListeners::Of({::dup(held)})).value();
    CHECK_FALSE(inherited.TakeUnix("/elsewhere"));
    CHECK(inherited.CheckAllTaken().error().detail.find(f.options.path) != std::string::npos);
    f.options.inherited = inherited.TakeUnix(f.options.path);
    REQUIRE(f.options.inherited);
    CHECK(inherited.CheckAllTaken().has_value());
    auto transport = std::move(CreateUnixTransport(f.options, f.api)).value();
    REQUIRE(transport->Start().has_value());
    return transport;
  };
  {
    const auto first = inherit();
    const UnixClient client(f.options.path);
    client.Send(kGetPeer);
    CHECK(client.ReadToEnd().find("HTTP/1.1 200") == 0);
  }
  const UnixClient between(f.options.path);
  REQUIRE(between.connected());
  between.Send(kGetPeer);
  const auto second = inherit();
  CHECK(between.ReadToEnd().find("HTTP/1.1 200") == 0);
  ::close(held);
}

TEST_CASE("a copy of inherited sockets stays open when what it came from is closed") {
  Fixture f;
  InheritedListeners first;
  REQUIRE(first.Add(ListenAt(f.options.path)).has_value());
  const InheritedListeners second = std::move(first.Duplicate()).value();
  first = InheritedListeners();
  CHECK_FALSE(first.HasUnix(f.options.path));
  CHECK(second.HasUnix(f.options.path));
  CHECK(UnixClient(f.options.path).connected());
}

TEST_CASE("only listening stream sockets are taken over, by path, or by address and port") {
  CHECK(InheritedListeners::Of({::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}).error().code ==
        ErrorCode::kConfiguration);
  CHECK(InheritedListeners::Of({::dup(STDERR_FILENO)}).has_error());
  for (const char* address : {"127.0.0.1", "::1"}) {
    const int listener = std::move(ListenOnTcp(address, 0)).value();
    const int port = BoundPort(listener);
    auto inherited = std::move(InheritedListeners::Of({listener})).value();
    CHECK_FALSE(inherited.TakeTcp(address, port + 1));
    const auto taken = inherited.TakeTcp(address, port);
    CHECK(taken == listener);
    ::close(listener);
  }
}

}  // namespace
}  // namespace skms::http
