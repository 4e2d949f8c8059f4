// What the edge says of a client (RFC 9440), and the certificates that clients and administrators send.
#include <openssl/x509.h>

#include <memory>

#include "api/auth/certificate.h"
#include "api/http/edge_fields.h"
#include "base/encoding.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

void CheckCertificate(ByteView der) {
  const auto facts = auth::ReadCertificate(der);
  auth::CertificateReader reader;
  const auto read = reader.Read(der);
  Require(facts.has_value() == (read != nullptr), "both readers agree on what a certificate is");
  if (!facts) return;
  Require(read->spki == facts->spki && read->not_before == facts->not_before &&
              read->not_after == facts->not_after,
          "both readers agree on what it says");
  Require(reader.Read(der) == read, "what was read is remembered");
  const unsigned char* at = facts->spki.data();
  const std::unique_ptr<X509_PUBKEY, decltype(&X509_PUBKEY_free)> spki(
      d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(facts->spki.size())), &X509_PUBKEY_free);
  Require(spki != nullptr && at == facts->spki.data() + facts->spki.size(), "the public key is one SPKI");
}

/// The lines are fields, as they stand in a request of the edge.
void CheckFields(std::string_view input) {
  http::Request request;
  for (const std::string_view line : SplitAt(input, '\n')) {
    std::string_view value = line;
    const std::string_view name = TakeUntil(value, ':');
    request.headers.Add(std::string(name), std::string(value));
  }
  const http::Request sent = request;
  http::RequestContext context;
  context.certificate = http::PeerCertificate{Bytes{1}};
  context.request_id = "ours";
  const auto problem = http::TakeEdgeFields(request, context);
  for (const char* name : {"Client-Cert", "Client-Cert-Chain", "X-Request-Id"})
    Require(request.headers.Count(name) == 0, "the edge's fields go no further", name);
  Require(context.request_id == "ours" || (context.request_id.size() == 16 && FromHex(context.request_id)),
          "an id has the form of ours", context.request_id);
  if (problem) {
    Require(problem->status == 400 && !problem->detail.empty() && !context.certificate,
            "a field that is none gives nobody a certificate", problem->detail);
    return;
  }
  const std::size_t given = sent.headers.Count("Client-Cert");
  Require(given <= 1 && context.certificate.has_value() == (given == 1), "one field is one certificate",
          input);
  if (!context.certificate) return;
  Require(*sent.headers.Find("Client-Cert") == ":" + ToBase64(context.certificate->der) + ":",
          "the certificate is the one that was sent", input);
  CheckCertificate(context.certificate->der);
}

void CheckClientCert(std::string_view input) {
  CheckFields(input);
  CheckCertificate(AsBytes(input));
  const std::string pem(input);
  const bool bundle = auth::IsCertificateBundle(pem);
  if (bundle)
    Require(pem.find("-----BEGIN CERTIFICATE-----") != std::string::npos, "a bundle holds a certificate",
            pem);
  Require(auth::IsCertificateBundle(pem) == bundle, "the same text has the same answer", pem);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(client_cert, skms::fuzz::CheckClientCert)
