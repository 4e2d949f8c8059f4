#include "api/http/edge_fields.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/encoding.h"

namespace skms::http {
namespace {

constexpr const char* kClientCert = "Client-Cert";
constexpr const char* kRequestId = "X-Request-Id";
constexpr std::size_t kRequestIdDigits = 16;

bool IsRequestId(std::string_view text) {
  return text.size() == kRequestIdDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<Bytes> ByteSequence(std::string_view value) {
  if (value.size() < 3 || value.front() != ':' || value.back() != ':') return std::nullopt;
  return FromBase64(value.substr(1, value.size() - 2));
}

}  // namespace

std::optional<ProblemDetails> TakeEdgeFields(Request& request, RequestContext& context) {
  context.certificate.reset();
  if (const std::string* id = request.headers.Find(kRequestId);
      id != nullptr && request.headers.Count(kRequestId) == 1 && IsRequestId(*id)) {
    context.request_id = *id;
  }
  const std::size_t certificates = request.headers.Count(kClientCert);
  std::optional<Bytes> der;
  if (certificates == 1) der = ByteSequence(*request.headers.Find(kClientCert));
  for (const char* name : {kRequestId, kClientCert, "Client-Cert-Chain"}) request.headers.Remove(name);
  if (certificates == 0) return std::nullopt;
  if (!der) return Problem(400, "Bad Request", "the proxy's Client-Cert is not one byte sequence", "");
  context.certificate = PeerCertificate{std::move(*der)};
  return std::nullopt;
}

}  // namespace skms::http
