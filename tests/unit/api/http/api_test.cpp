// Api: routing, limits, admission and the exception boundary, without any transport.
#include <doctest/doctest.h>

#include <latch>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "api/http/router.h"

namespace skms::http {
namespace {

Handler Echo(const std::string& text) {
  return [text](const Request&, RequestContext&, const PathValues& values) {
    Response response;
    response.body = text;
    for (const std::string& value : values) response.body += "|" + value;
    return response;
  };
}

Request To(std::string method, std::string path) {
  Request request;
  request.method = std::move(method);
  request.path = std::move(path);
  return request;
}

Response Ask(Api& api, const Request& request) {
  RequestContext context;
  return api.Handle(request, context);
}

const RouteFigures& Of(const ApiFigures& figures, const std::string& method, const std::string& pattern) {
  for (const RouteFigures& route : figures.routes) {
    if (route.method == method && route.pattern == pattern) return route;
  }
  FAIL("no such route");
  return figures.routes.front();
}

std::uint64_t Count(const RouteFigures& route, Outcome outcome) {
  return route.outcomes.at(static_cast<std::size_t>(outcome));
}

TEST_CASE("requests are counted by the route they took and how they ended") {
  Api api{Limits{}};
  api.Add("GET", "/a/{id}", Echo("get"));
  api.Add("POST", "/a/{id}", [](const Request& request, RequestContext&, const PathValues&) {
    Response response;
    response.status = std::stoi(request.body);
    return response;
  });
  Ask(api, To("GET", "/a/1"));
  Ask(api, To("HEAD", "/a/2"));
  Ask(api, To("GET", "/b"));
  Ask(api, To("PUT", "/a/1"));
  api.CountRefusal(431);
  for (const char* status : {"304", "400", "401", "403", "404", "429", "503", "500", "502"}) {
    Request request = To("POST", "/a/1");
    request.body = status;
    Ask(api, request);
  }
  const ApiFigures figures = api.figures();
  CHECK(Count(Of(figures, "GET", "/a/{id}"), Outcome::kOk) == 2);
  CHECK(Of(figures, "GET", "/a/{id}").duration.count() == 2);
  const RouteFigures& post = Of(figures, "POST", "/a/{id}");
  CHECK(post.outcomes == std::array<std::uint64_t, 8>{1, 1, 1, 1, 1, 1, 1, 2});
  const RouteFigures& none = Of(figures, "", "");
  CHECK(Count(none, Outcome::kNotFound) == 1);
  CHECK(Count(none, Outcome::kBadRequest) == 2);
  CHECK(figures.admission.count() == 11);
  CHECK(figures.running == 0);
}

TEST_CASE("a path leads to its handler with its values decoded") {
  Api api{Limits{}};
  api.Add("GET", "/a/{id}/b", Echo("get"));
  api.Add("GET", "/a/b", Echo("plain"));
  CHECK(Ask(api, To("GET", "/a/x%2Fy/b")).body == "get|x/y");
  CHECK(Ask(api, To("GET", "/a/b")).body == "plain");
  for (const char* path : {"/a", "/a/b/", "//a/b", "/a//b", "/a/%zz/b", "/A/b", "", "/a/x/b/c"}) {
    CAPTURE(path);
    const Response response = Ask(api, To("GET", path));
    CHECK(response.status == 404);
    CHECK(nlohmann::json::parse(response.body).at("cause") == "RESOURCE_URI_STRUCTURE_NOT_FOUND");
  }
}

TEST_CASE("a known path with another method says what is allowed") {
  Api api{Limits{}};
  api.Add("GET", "/a", Echo(""));
  api.Add("PUT", "/a", Echo(""));
  const Response response = Ask(api, To("DELETE", "/a"));
  CHECK(response.status == 405);
  CHECK(*response.headers.Find("Allow") == "GET, HEAD, PUT, OPTIONS");
  CHECK(Ask(api, To("HEAD", "/a")).status == 200);
  const Response options = Ask(api, To("OPTIONS", "/a"));
  CHECK(options.status == 204);
  CHECK(*options.headers.Find("Allow") == "GET, HEAD, PUT, OPTIONS");
  CHECK(options.body.empty());
  CHECK(Ask(api, To("OPTIONS", "/b")).status == 404);
  CHECK(Ask(api, To("BREW", "/a")).status == 501);
}

TEST_CASE("limits hold whatever the transport let through") {
  Limits limits;
  limits.max_target_bytes = 20;
  limits.max_header_fields = 2;
  limits.max_header_bytes = 100;
  limits.max_body_bytes = 10;
  Api api{limits};
  api.Add("GET", "/a", Echo("ok"));
  Request request = To("GET", "/a");
  CHECK(Ask(api, request).status == 200);
  request.query = std::string(20, 'q');
  CHECK(Ask(api, request).status == 414);
  request = To("GET", "/a");
  request.body = std::string(11, 'b');
  CHECK(Ask(api, request).status == 413);
  request = To("GET", "/a");
  request.headers.Add("A", std::string(100, 'x'));
  CHECK(Ask(api, request).status == 431);
  request = To("GET", "/a");
  for (int i = 0; i < 3; ++i) request.headers.Add("A", "b");
  CHECK(Ask(api, request).status == 431);
  request = To("GET", "/a");
  request.headers.Add("A", "b\r\nC: d");
  CHECK(Ask(api, request).status == 400);
}

TEST_CASE("an exception is a 500 without its text, and the next request is served") {
  Api api{Limits{}};
  api.Add("GET", "/a", [](const Request&, RequestContext&, const PathValues&) -> Response {
    throw std::runtime_error("secret detail");
  });
  for (int i = 0; i < 100; ++i) {
    const Response response = Ask(api, To("GET", "/a"));
    CHECK(response.status == 500);
    CHECK(response.body.find("secret") == std::string::npos);
  }
}

TEST_CASE("every answer carries a request id of ours and is not stored") {
  Api api{Limits{}};
  api.Add("GET", "/a", Echo("ok"));
  Request request = To("GET", "/a");
  request.headers.Add("X-Request-Id", "theirs");
  RequestContext context;
  const Response response = api.Handle(request, context);
  CHECK(response.headers.Find("X-Request-Id")->size() == 16);
  CHECK(*response.headers.Find("X-Request-Id") == context.request_id);
  CHECK(*response.headers.Find("Cache-Control") == "no-store");
}

TEST_CASE("past the bound requests are turned away at once with 503 and Retry-After") {
  Limits limits;
  limits.max_concurrent_requests = 1;
  limits.max_waiting_requests = 0;
  Api api{limits};
  std::latch inside(1);
  std::latch release(1);
  api.Add("GET", "/slow", [&](const Request&, RequestContext&, const PathValues&) {
    inside.count_down();
    release.wait();
    return Response{};
  });
  int slow_status = 0;
  std::thread slow([&] { slow_status = Ask(api, To("GET", "/slow")).status; });
  inside.wait();
  const Response busy = Ask(api, To("GET", "/slow"));
  CHECK(busy.status == 503);
  CHECK(*busy.headers.Find("Retry-After") == "1");
  release.count_down();
  slow.join();
  CHECK(slow_status == 200);
}

TEST_CASE("a waiting request is served when its turn comes") {
  Limits limits;
  limits.max_concurrent_requests = 1;
  limits.max_waiting_requests = 8;
  limits.max_wait = std::chrono::minutes(1);
  Api api{limits};
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  api.Add("GET", "/a", [&](const Request&, RequestContext&, const PathValues&) {
    most = std::max(most.load(), ++running);
    std::this_thread::yield();
    --running;
    return Response{};
  });
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      if (Ask(api, To("GET", "/a")).status == 200) ++served;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(served == 8);
  CHECK(most == 1);
}

}  // namespace
}  // namespace skms::http
