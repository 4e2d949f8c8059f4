// Http2Client: one request after the other on one TLS connection by HTTP/2 (RFC 9113), with nghttp2.
//
// For the load client. Borrows the connection, whose handshake is done; of one thread.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace skms::bench {

class Http2Client {
 public:
  /// `token`: for Authorization.
  Http2Client(SSL* ssl, std::string host, const std::string& token);
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;
  ~Http2Client();

  /// Status of the answer, once all of it is there; 0: the connection broke.
  int Get(const std::string& target);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace skms::bench
