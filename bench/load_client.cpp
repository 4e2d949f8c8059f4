// An HTTPS client: N keep-alive connections over mutual TLS, each sending the next request when the last
// answer is in; with --rate at its time, and what an answer takes counts from then, however late the request
// went out. "{n}" in the target becomes a number that is never repeated, for requests that must create.
//
// Prints one JSON object. The access token comes from a file.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <algorithm>
#include <atomic>
#include <boost/program_options.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/file.h"
#include "bench/latency.h"

namespace {

namespace po = boost::program_options;
using skms::bench::Sample;
using skms::bench::SteadyClock;

struct Options {
  std::string address = "127.0.0.1";
  int port = 0;
  std::string host;
  std::string ca;
  std::string certificate;
  std::string key;
  std::string token;
  std::string target;
  std::size_t connections = 1;
  double seconds = 2;
  double rate = 0;  ///< requests a second, of all connections; 0: as fast as they are answered
  std::size_t first = 0;
  std::size_t requests = 0;  ///< of all connections, beside the first of each; 0: as many as the time allows
};

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

class Connection {
 public:
  Connection(SSL_CTX* context, const Options& options) : options_(options), ssl_(SSL_new(context)) {
    Connect();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    SSL_free(ssl_);
    ::close(fd_);
  }

  /// Status of the answer, or 0 when the connection broke.
  int Get(const std::string& target) {
    const std::string request = "GET " + target + " HTTP/1.1\r\nHost: " + options_.host +
                                "\r\nAccept: application/json\r\nAuthorization: Bearer " + options_.token +
                                "\r\n\r\n";
    if (SSL_write(ssl_, request.data(), static_cast<int>(request.size())) <= 0) return 0;
    std::string answer;
    std::size_t end = std::string::npos;
    while ((end = answer.find("\r\n\r\n")) == std::string::npos) {
      if (!Read(answer)) return 0;
    }
    // HAProxy writes names of fields in lower case.
    const std::size_t length_at = std::min(answer.find("Content-Length: "), answer.find("content-length: "));
    const std::size_t length =
        length_at < end ? std::strtoul(answer.c_str() + length_at + 16, nullptr, 10) : 0;
    while (answer.size() < end + 4 + length) {
      if (!Read(answer)) return 0;
    }
    return static_cast<int>(std::strtol(answer.c_str() + 9, nullptr, 10));
  }

 private:
  void Connect() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options_.port));
    ::inet_pton(AF_INET, options_.address.c_str(), &address.sin_addr);
    const int yes = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    SSL_set_fd(ssl_, fd_);
    SSL_connect(ssl_);
  }

  bool Read(std::string& answer) {
    char buffer[8192];
    const int got = SSL_read(ssl_, buffer, sizeof buffer);
    if (got <= 0) return false;
    answer.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  const Options& options_;
  SSL* ssl_;
  int fd_ = -1;
};

std::string Target(const std::string& pattern, std::size_t number) {
  const std::size_t at = pattern.find("{n}");
  if (at == std::string::npos) return pattern;
  return pattern.substr(0, at) + std::to_string(number) + pattern.substr(at + 3);
}

int RunLoad(const Options& options, SSL_CTX* context) {
  std::vector<Sample> samples(options.connections);
  std::map<int, std::size_t> statuses;
  std::mutex mutex;
  std::atomic<std::size_t> next{options.first};
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::size_t i = 0; i < options.connections; ++i) {
    connections.push_back(std::make_unique<Connection>(context, options));
    if (connections.back()->Get(Target(options.target, next++)) == 0) {
      std::cerr << "skms_bench_load: connection " << i << " failed\n";
      ERR_print_errors_fp(stderr);
      return 1;
    }
  }
  const auto begin = SteadyClock::now();
  const auto end = begin + std::chrono::duration_cast<SteadyClock::duration>(
                               std::chrono::duration<double>(options.seconds));
  const auto due = [&](std::size_t connection, std::size_t turn) {
    const double numbered = static_cast<double>(turn * options.connections + connection);
    return begin + std::chrono::duration_cast<SteadyClock::duration>(
                       std::chrono::duration<double>(numbered / options.rate));
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < options.connections; ++i) {
    threads.emplace_back([&, i] {
      std::map<int, std::size_t> seen;
      std::size_t turn = 0;
      const std::size_t last = options.first + options.connections + options.requests;
      for (auto before = SteadyClock::now(); before < end;) {
        if (options.requests > 0 && next >= last) break;
        if (options.rate > 0) {
          before = due(i, turn++);
          if (before >= end) break;
          std::this_thread::sleep_until(before);
        }
        const int status = connections[i]->Get(Target(options.target, next++));
        const auto after = SteadyClock::now();
        ++seen[status];
        if (status == 200) {
          samples[i].microseconds.push_back(
              std::chrono::duration<double, std::micro>(after - before).count());
        } else {
          ++samples[i].failures;
        }
        if (status == 0) connections[i] = std::make_unique<Connection>(context, options);
        before = after;
      }
      const std::lock_guard lock(mutex);
      for (const auto& [status, count] : seen) statuses[status] += count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::string report = Report(samples, std::chrono::duration<double>(SteadyClock::now() - begin).count());
  report.pop_back();
  report += ",\"next\":" + std::to_string(next.load()) + ",\"statuses\":{";
  for (const auto& [status, count] : statuses) {
    report += (report.back() == '{' ? "\"" : ",\"") + std::to_string(status) + "\":" + std::to_string(count);
  }
  std::cout << report << "}}\n";
  return 0;
}

int Run(int argc, char** argv) {
  Options o;
  std::string token_file;
  po::options_description options("Options");
  options.add_options()("port", po::value(&o.port)->required())(
      "host", po::value(&o.host)->required(), "Host header")("ca", po::value(&o.ca)->required())(
      "cert", po::value(&o.certificate)->required())("key", po::value(&o.key)->required())(
      "token-file", po::value(&token_file)->required())("target", po::value(&o.target)->required())(
      "connections", po::value(&o.connections))("seconds", po::value(&o.seconds))(
      "rate", po::value(&o.rate),
      "requests a second of all connections; without: as fast as they are answered")(
      "first", po::value(&o.first), "first number for {n}")(
      "requests", po::value(&o.requests), "so many of all connections; without: until the time is over");
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);
  const auto token = skms::ReadFile(token_file);
  if (token.has_error()) {
    std::cerr << "skms_bench_load: " << token.error().detail << '\n';
    return 1;
  }
  o.token = token.value().substr(0, token.value().find('\n'));
  const std::unique_ptr<SSL_CTX, FreeContext> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(context.get(), o.ca.c_str(), nullptr) != 1 ||
      SSL_CTX_use_certificate_chain_file(context.get(), o.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), o.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  return RunLoad(o, context.get());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skms_bench_load: " << error.what() << '\n';
    return 2;
  }
}
