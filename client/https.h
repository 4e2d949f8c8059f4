// HttpsClient: one HTTP/1.1 request at a time over TLS 1.2 or 1.3, with a client certificate where one is
// given (KM-S) and an access token where one is given (TS 33.434 5.1.1.4, 5.1.1.5).
//
// Connections are kept between requests. Not thread-safe: one client for each thread. The access token is
// given to libcurl as a header and wiped here; it is never an argument of a process, nor in any error.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::client {

/// A server and how it is spoken to. Files are PEM and are read at each new connection.
struct Endpoint {
  std::string url;                    ///< apiRoot, "https://host[:port][/prefix]" without a slash at the end
  std::string ca_path;                ///< CAs of the server's certificate; no others are trusted
  std::string certificate_path = {};  ///< client certificate; empty: none (KM-UU)
  std::string private_key_path = {};
  long timeout_seconds = 30;  ///< of one request, from connecting to the last octet
};

struct HttpRequest {
  std::string method = "GET";
  std::string target;  ///< path and query under the apiRoot, e.g. "/ss-kir/v1/key-records?…"
  std::vector<std::string> headers = {};  ///< "Name: value"; "Name:" leaves out one that libcurl would add
  std::optional<std::string> body = std::nullopt;
  const SecretBytes* access_token = nullptr;  ///< borrowed for the call
};

struct HttpAnswer {
  long status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case; of several with one name, the last
  std::string body;                            ///< at most 4 MiB
};

class HttpsClient {
 public:
  explicit HttpsClient(Endpoint endpoint);
  HttpsClient(HttpsClient&&) noexcept;
  HttpsClient& operator=(HttpsClient&&) noexcept;
  ~HttpsClient();

  const Endpoint& endpoint() const { return endpoint_; }
  /// Any HTTP answer, also a refusal or a redirect. Errors: kInvalidArgument (the URL is not https), kIo
  /// (network, TLS, certificates, too large; the detail says what), kConfiguration (others can read the
  /// private key), kInternal (libcurl does not start).
  Result<HttpAnswer> Send(const HttpRequest& request);

 private:
  struct Handle;
  Endpoint endpoint_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace skms::client
