// The daemon's transport without the daemon: the same listener, TLS, reading of requests and routing, in
// front of a handler that answers fixed octets. What skmsd reaches beside it is what skmsd itself costs.
//
// Prints its port when it serves, and ends with its standard input.
#include <boost/program_options.hpp>
#include <iostream>
#include <memory>
#include <string>

#include "api/http/router.h"
#include "api/http/transport.h"
#include "base/file.h"

namespace {

namespace po = boost::program_options;
namespace http = skms::http;

struct Options {
  http::DirectOptions direct;
  http::UnixOptions edge;
  std::string path;
  std::string body_file;
};

Options Read(int argc, char** argv) {
  Options o;
  po::options_description options("Options");
  options.add_options()("certificate", po::value(&o.direct.certificate_path))(
      "key", po::value(&o.direct.private_key_path))("client-ca", po::value(&o.direct.client_ca_path))(
      "port", po::value(&o.direct.port)->default_value(0))(
      "edge-socket", po::value(&o.edge.path), "serve an edge on this unix socket instead of TLS on a port")(
      "path", po::value(&o.path)->required(), "that is answered")(
      "body-file", po::value(&o.body_file)->required(), "the answer's content");
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);
  return o;
}

int Run(int argc, char** argv) {
  Options o = Read(argc, argv);
  const auto body = skms::ReadFile(o.body_file);
  if (body.has_error()) {
    std::cerr << "skms_bench_bare_transport: " << body.error().Describe() << '\n';
    return 1;
  }
  http::Limits limits;
  limits.max_concurrent_requests = 64;
  limits.max_waiting_requests = 1000;
  limits.max_wait = std::chrono::seconds(30);
  http::Api api(limits);
  api.Add("GET", o.path, [&](const http::Request&, http::RequestContext&, const http::PathValues&) {
    http::Response response;
    response.status = 200;
    response.headers.Set("Content-Type", "application/json");
    response.headers.Set("ETag", "W/\"AAAAAAAAAAAAAAAAAAAAAA\"");
    response.body = body.value();
    return response;
  });
  o.direct.max_connections = o.edge.max_connections = 256;
  o.direct.keep_alive = o.edge.keep_alive = std::chrono::seconds(30);
  o.direct.answer_time = o.edge.answer_time = std::chrono::seconds(10);
  o.edge.kind = http::TransportKind::kEdge;
  auto transport = o.edge.path.empty() ? http::CreateDirectTransport(o.direct, api)
                                       : http::CreateUnixTransport(o.edge, api);
  if (transport.has_error()) {
    std::cerr << "skms_bench_bare_transport: " << transport.error().Describe() << '\n';
    return 1;
  }
  if (const auto started = transport.value()->Start(); started.has_error()) {
    std::cerr << "skms_bench_bare_transport: " << started.error().Describe() << '\n';
    return 1;
  }
  std::cout << transport.value()->port() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  transport.value()->Stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skms_bench_bare_transport: " << error.what() << '\n';
    return 2;
  }
}
