#include "appliance/overtaken.h"

#include <string_view>

#include "api/http/problem_details.h"
#include "base/log.h"

namespace skms::appliance {
namespace {

constexpr int kTries = 5;
constexpr int kFirstError = 400;

/// For everybody, of the configuration and the token keys.
bool IsDiscovery(std::string_view path) { return path.find("/.well-known/") != std::string_view::npos; }

/// What must answer while the database does not.
bool IsWatching(std::string_view path) {
  return path == "/healthz" || path == "/metrics" || path == "/status" || path == "/admin/v1/status";
}

}  // namespace

http::Api::Around AroundDeliveries(keystore::KeyStore& store) {
  if (!store.is_shared()) return {};
  return [&store](const http::Request& request, const http::RequestContext& context,
                  const std::function<http::Response()>& handle) {
    for (int i = 1;; ++i) {
      const keystore::Decision decision = store.Decide();
      http::Response response = handle();
      if (i == kTries) return response;
      if (decision.overtaken()) continue;
      if (decision.wrote() || response.status >= kFirstError || IsDiscovery(request.path)) return response;
      const Status looked = store.LookAround();
      if (looked.has_error()) {
        LogError("what other servers have changed cannot be seen: " + looked.error().Describe());
        return http::ToResponse(http::ProblemFor(looked.error().code), context.request_id);
      }
      if (!store.HasLearntSince(decision)) return response;
    }
  };
}

http::Api::Around AroundAdministration(keystore::KeyStore& store) {
  if (!store.is_shared()) return {};
  return [&store](const http::Request& request, const http::RequestContext& /*context*/,
                  const std::function<http::Response()>& handle) {
    if (IsWatching(request.path)) return handle();
    // Where the database is away, that is what the request itself says.
    if (const Status looked = store.LookAround(); looked.has_error()) return handle();
    const keystore::Decision decision = store.Decide();
    return handle();
  };
}

}  // namespace skms::appliance
