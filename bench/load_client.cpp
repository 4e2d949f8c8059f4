// An HTTPS client: N keep-alive connections over mutual TLS, each sending the next request when the last
// answer is in; with --rate at its time, and what an answer takes counts from then, however late the request
// went out. "{n}" in the target becomes a number that is never repeated, for requests that must create; with
// --below N it goes from 0 to N-1 in leaps, over and over, for requests that find something.
//
// With --socket it speaks to the daemon's socket as the edge does, without TLS, and says in a field whose
// certificate it is.
//
// Prints one JSON object. The access token comes from a file.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>
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
#include "bench/http2_client.h"
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
  std::string socket;         ///< unix socket of an edge; empty: TLS to the port
  std::string edge_fields{};  ///< what the edge adds to a request
  bool http2 = false;
  std::size_t connections = 1;
  double seconds = 2;
  double rate = 0;  ///< requests a second, of all connections; 0: as fast as they are answered
  std::size_t first = 0;
  std::size_t below = 0;     ///< 0: any number
  std::size_t requests = 0;  ///< of all connections, beside the first of each; 0: as many as the time allows
};

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

class Connection {
 public:
  Connection(SSL_CTX* context, const Options& options)
      : options_(options), ssl_(options.socket.empty() ? SSL_new(context) : nullptr) {
    if (ssl_ != nullptr) {
      Connect();
    } else {
      ConnectToSocket();
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    http2_.reset();
    SSL_free(ssl_);
    ::close(fd_);
  }

  /// Status of the answer, or 0 when the connection broke.
  int Get(const std::string& target) {
    if (options_.http2) return http2_ ? http2_->Get(target) : 0;
    const std::string request = "GET " + target + " HTTP/1.1\r\nHost: " + options_.host +
                                "\r\nAccept: application/json\r\nAuthorization: Bearer " + options_.token +
                                "\r\n" + options_.edge_fields + "\r\n";
    if (!Write(request)) return 0;
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
    if (SSL_connect(ssl_) == 1 && options_.http2)
      http2_ = std::make_unique<skms::bench::Http2Client>(ssl_, options_.host, options_.token);
  }

  void ConnectToSocket() {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    options_.socket.copy(address.sun_path, sizeof address.sun_path - 1);
    (void)::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);  // Get tells
  }

  bool Write(const std::string& request) {
    if (ssl_ != nullptr) return SSL_write(ssl_, request.data(), static_cast<int>(request.size())) > 0;
    return ::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size());
  }

  bool Read(std::string& answer) {
    char buffer[8192];
    const int got = ssl_ != nullptr ? SSL_read(ssl_, buffer, sizeof buffer)
                                    : static_cast<int>(::recv(fd_, buffer, sizeof buffer, 0));
    if (got <= 0) return false;
    answer.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  const Options& options_;
  SSL* ssl_;
  int fd_ = -1;
  std::unique_ptr<skms::bench::Http2Client> http2_;
};

std::string Target(const std::string& pattern, std::size_t number, std::size_t below) {
  // Far apart, and each once in a round, for it is a prime that divides none of the sizes.
  constexpr std::size_t kLeap = 6700417;
  const std::size_t at = pattern.find("{n}");
  if (at == std::string::npos) return pattern;
  if (below > 0) number = number % below * kLeap % below;
  return pattern.substr(0, at) + std::to_string(number) + pattern.substr(at + 3);
}

/// Client-Cert of RFC 9440; empty: the file holds no certificate.
std::string EdgeFields(const std::string& certificate_file) {
  const auto pem = skms::ReadFile(certificate_file);
  if (pem.has_error()) return "";
  BIO* const bio = BIO_new_mem_buf(pem.value().data(), static_cast<int>(pem.value().size()));
  X509* const certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  unsigned char* der = nullptr;
  const int length = certificate == nullptr ? 0 : i2d_X509(certificate, &der);
  X509_free(certificate);
  if (length <= 0) return "";
  std::string base64(static_cast<std::size_t>(length + 2) / 3 * 4 + 1, '\0');
  base64.resize(static_cast<std::size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), der, length)));
  OPENSSL_free(der);
  return "Client-Cert: :" + base64 + ":\r\n";
}

int RunLoad(const Options& options, SSL_CTX* context) {
  std::vector<Sample> samples(options.connections);
  std::map<int, std::size_t> statuses;
  std::mutex mutex;
  std::atomic<std::size_t> next{options.first};
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::size_t i = 0; i < options.connections; ++i) {
    connections.push_back(std::make_unique<Connection>(context, options));
    if (connections.back()->Get(Target(options.target, next++, options.below)) == 0) {
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
        const int status = connections[i]->Get(Target(options.target, next++, options.below));
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
  options.add_options()("port", po::value(&o.port)->required())("socket", po::value(&o.socket),
                                                                "the edge's, in place of TLS to the port")(
      "host", po::value(&o.host)->required(), "Host header")("ca", po::value(&o.ca)->required())(
      "cert", po::value(&o.certificate)->required())("key", po::value(&o.key)->required())(
      "token-file", po::value(&token_file)->required())("http2", po::bool_switch(&o.http2))(
      "target", po::value(&o.target)->required())("connections", po::value(&o.connections))(
      "seconds", po::value(&o.seconds))(
      "rate", po::value(&o.rate),
      "requests a second of all connections; without: as fast as they are answered")(
      "first", po::value(&o.first), "first number for {n}")("below", po::value(&o.below),
                                                            "{n} is below it, and comes again")(
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
  if (!o.socket.empty()) o.edge_fields = EdgeFields(o.certificate);
  const std::unique_ptr<SSL_CTX, FreeContext> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(context.get(), o.ca.c_str(), nullptr) != 1 ||
      SSL_CTX_use_certificate_chain_file(context.get(), o.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), o.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  if (o.http2) SSL_CTX_set_alpn_protos(context.get(), kHttp2, sizeof kHttp2);
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
