// Reception: what every reference point of SEAL does with a request before its own work, and with what goes
// wrong: credentials, target, time window, audit of refusals, one form of errors.
//
// TS 33.434 5.3.2 and 5.8.2, TS 29.549 5.7.1.2.2.2. Thread-safe; the dependencies must outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "api/auth/authenticator.h"
#include "api/http/router.h"
#include "api/seal/request_checks.h"
#include "base/clock.h"
#include "keystore/key_store.h"

namespace skms::seal {

struct ReceptionOptions {
  std::string api_root;  ///< "https://host[:port][/prefix]"
  std::string scope;     ///< that the access token must carry
  std::int64_t time_window_ms = 5000;
  std::string action = "deliver";  ///< what a refusal is called in the audit chain
};

struct SealDependencies {
  keystore::KeyStore& store;
  auth::Authenticator& authenticator;
  const Clock& clock;
};

/// One request of an admitted principal.
struct Call {
  const http::Request& request;
  const http::RequestContext& context;
  const auth::AuthenticatedPrincipal& principal;
  const http::PathValues& values;

  keystore::Requester by() const;
};

/// One request of an admitted UE.
struct UeCall {
  const http::Request& request;
  const http::RequestContext& context;
  const auth::AuthenticatedUe& ue;
};

class Reception {
 public:
  Reception(ReceptionOptions options, SealDependencies dependencies);

  /// Path under our apiRoot: prefix and `suffix`.
  std::string Path(const std::string& suffix) const { return root_.prefix + suffix; }
  const SealDependencies& dependencies() const { return dependencies_; }
  const ReceptionOptions& options() const { return options_; }

  /// Who asks; or the answer that ends the request: 400, 401, 403, 406, 429, 500.
  std::variant<auth::AuthenticatedPrincipal, http::Response> Admit(const http::Request& request,
                                                                   const http::RequestContext& context) const;

  /// A refusal that no key store decided: audited (but for 429), logged, answered.
  http::Response Refuse(const http::ProblemDetails& problem, const std::string& actor,
                        const std::string& reason, const http::RequestContext& context) const;
  /// Admits, then lets `action` answer.
  http::Response Serve(const http::Request& request, const http::RequestContext& context,
                       const http::PathValues& values,
                       const std::function<http::Response(const Call&)>& action) const;
  /// As Serve, for KM-UU.
  http::Response ServeUe(const http::Request& request, const http::RequestContext& context,
                         const std::function<http::Response(const UeCall&)>& action) const;
  /// What was sent cannot be used: Refuse, as "request-invalid".
  http::Response Invalid(const http::ProblemDetails& problem, const Call& call) const;
  /// 415: a body that must be application/json.
  http::Response NotJson(const Call& call) const;
  /// An error of the key store, which has audited its own refusals.
  static http::Response Fail(const Error& error, const http::RequestContext& context);
  /// As the other, with the members that the answer must have beside (table 5.3.3-1). `unsupported`, if not
  /// empty, is what to tell when it fails for something that the token cannot do.
  static http::Response Fail(const Error& error, const http::RequestContext& context,
                             http::ProblemMembers members, std::string_view unsupported = {});
  /// 307 or 308 to the same resource at the service's home (TS 29.122 5.2.10).
  http::Response Redirect(const keystore::Service& service, const http::Request& request) const;
  /// As Redirect, for KM-UU: to the home for UEs where there is one.
  http::Response RedirectUe(const keystore::Service& service, const http::Request& request) const;

 private:
  http::Response SendTo(const std::string& root, bool permanent, const http::Request& request) const;
  /// Target, time, accepted answers: the same for everybody.
  std::optional<http::ProblemDetails> Check(const http::Request& request) const;
  const ReceptionOptions options_;
  const ApiRoot root_;
  const SealDependencies dependencies_;
  mutable std::atomic<std::int64_t> told_429_{0};  ///< second of the last one that was logged
};

keystore::Requester RequesterOf(const auth::AuthenticatedPrincipal& principal,
                                const http::RequestContext& context);

}  // namespace skms::seal
