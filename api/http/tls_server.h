// TlsServer: the server's side of TLS, mutual or not, 1.2 and 1.3 only (TS 33.210 6.2, TS 33.434 5.1.1.4,
// 5.1.1.5).
//
// Immutable after Create; thread-safe.
#pragma once

#include <memory>

#include "api/http/transport.h"

struct ssl_ctx_st;
struct ssl_st;

namespace skms::http {

class TlsServer {
 public:
  /// Errors: kConfiguration naming the file that cannot be used.
  static Result<std::unique_ptr<TlsServer>> Create(const DirectOptions& options);
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  ~TlsServer();

  /// A new connection object for `fd`; nullptr without memory. The caller owns it (SSL_free).
  ssl_st* NewConnection(int fd) const;

 private:
  explicit TlsServer(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

/// The verified client certificate, if there is one.
std::optional<PeerCertificate> PeerCertificateOf(ssl_st* ssl);

}  // namespace skms::http
