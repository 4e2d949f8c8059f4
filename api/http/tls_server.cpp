#include "api/http/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <utility>

namespace skms::http {
namespace {

constexpr const char* kTls12Ciphers =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

int SelectAlpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned in_size, void* /*unused*/) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11 - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Error FileError(const std::string& key, const std::string& path) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return ConfigurationError(key + ": " + path + ": " + (reason == nullptr ? "cannot be used" : reason));
}

Status CheckKeyMode(const std::string& section, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return IoError(path, errno);
  if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    return ConfigurationError(section + ".private_key: " + path + ": readable by others; run: chmod 0400 " +
                              path);
  }
  return Ok();
}

/// An expired CRL, or none for a CA of the chain, refuses the certificate.
Status UseCrl(SSL_CTX* context, const DirectOptions& options) {
  if (options.crl_path.empty()) return Ok();
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  X509_LOOKUP* file = X509_STORE_add_lookup(store, X509_LOOKUP_file());
  if (file == nullptr || X509_load_crl_file(file, options.crl_path.c_str(), X509_FILETYPE_PEM) < 1)
    return FileError(options.section + ".crl", options.crl_path);
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return Ok();
}

Status Configure(SSL_CTX* context, const DirectOptions& options) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context,
                      SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, SelectAlpn, nullptr);
  // Without it OpenSSL refuses to resume sessions that have a client certificate.
  // A session of one listener is none of another's.
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(options.section.data()),
                                 static_cast<unsigned>(options.section.size()));
  if (SSL_CTX_set_cipher_list(context, kTls12Ciphers) != 1)
    return InternalError("the TLS 1.2 cipher list is refused");
  SKMS_TRYV(CheckKeyMode(options.section, options.private_key_path));
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_path.c_str()) != 1) {
    return FileError(options.section + ".certificate", options.certificate_path);
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.private_key_path.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return FileError(options.section + ".private_key", options.private_key_path);
  }
  if (options.client_ca_path.empty() && !options.client_certificate_required) return Ok();
  SSL_CTX_set_verify(
      context, SSL_VERIFY_PEER | (options.client_certificate_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
      nullptr);
  if (SSL_CTX_load_verify_locations(context, options.client_ca_path.c_str(), nullptr) != 1) {
    return FileError(options.section + ".client_ca", options.client_ca_path);
  }
  SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options.client_ca_path.c_str()));
  return UseCrl(context, options);
}

}  // namespace

Result<std::unique_ptr<TlsServer>> TlsServer::Create(const DirectOptions& options) {
  std::unique_ptr<TlsServer> server(new TlsServer(SSL_CTX_new(TLS_server_method())));
  if (server->context_ == nullptr) return InternalError("no TLS context");
  SKMS_TRYV(Configure(server->context_, options));
  return server;
}

TlsServer::~TlsServer() { SSL_CTX_free(context_); }

ssl_st* TlsServer::NewConnection(int fd) const {
  SSL* ssl = SSL_new(context_);
  if (ssl != nullptr) SSL_set_fd(ssl, fd);
  return ssl;
}

std::optional<PeerCertificate> PeerCertificateOf(ssl_st* ssl) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  X509_free(certificate);
  if (size <= 0) return std::nullopt;
  PeerCertificate peer{Bytes(der, der + size)};
  OPENSSL_free(der);
  return peer;
}

}  // namespace skms::http
