// Probe: what the conformance cases ask a server with, and the checks that several of them share.
//
// Not thread-safe. One Probe for one run; the access tokens are owned by its Setup.
#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "client/https.h"

namespace skms::client::conform {

enum class Outcome { kPassed, kFailed, kSkipped };

struct Verdict {
  Outcome outcome = Outcome::kPassed;
  std::string reason = {};  ///< why it failed, or what is missing to try it
};

inline Verdict Pass() { return {}; }
inline Verdict Fail(std::string reason) { return {Outcome::kFailed, std::move(reason)}; }
inline Verdict Skip(std::string reason) { return {Outcome::kSkipped, std::move(reason)}; }

/// What the operator gave. Empty members leave cases out.
struct Setup {
  Endpoint km_s;
  std::string service;
  std::string user;      ///< a VAL user of the service, whose key the caller may retrieve
  SecretBytes token;     ///< for KM-S, and without SKeyProv
  SecretBytes unscoped;  ///< a good token without the scope of KM-S
  SecretBytes expired;   ///< a token of the same issuer that has run out
  Endpoint foreign;      ///< KM-S with a certificate that is not the token's
  SecretBytes
      provisioning;  ///< with SKeyProv; the cases store a payload under "skmc-conform", and one for `user`
  Endpoint km_uu;    ///< `url` empty: KM-UU is not tried
  SecretBytes ue_token;  ///< whose user is `ue_user`
  std::string ue_user;
  std::string bound_key_path;  ///< RSA key that `ue_token` is bound to; empty: none
};

/// An answer, or why there is none.
struct Reply {
  std::optional<HttpAnswer> answer;
  std::string failure;
  long status() const { return answer ? answer->status : 0; }
  std::string Header(const char* name) const;
};

class Probe {
 public:
  Probe(const Setup& setup, const Clock& clock);

  const Setup& setup() const { return setup_; }
  const Clock& clock() const { return clock_; }

  /// One request of KM-S with the caller's token; `headers` may leave some out or put others in.
  Reply KmS(const std::string& target, const std::string& method = "GET",
            const std::vector<std::string>& headers = {},
            const std::optional<std::string>& body = std::nullopt);
  /// The same without a token but what stands in `headers`.
  Reply Tokenless(const std::string& target, const std::vector<std::string>& headers = {});
  Reply WithToken(const SecretBytes& token, const std::string& target);
  Reply From(const Endpoint& endpoint, const HttpRequest& request) const;
  /// key-records of the service, with `more` behind it ("&val-tgt-ue=…").
  std::string Records(const std::string& more = "") const;
  Reply Provision(const nlohmann::json& body, const SecretBytes& token);
  /// A KM Request that is right, but for the members that `changes` sets (null: leaves out).
  Reply KmUu(const nlohmann::json& changes);
  Reply KmUuRaw(const HttpRequest& request);

 private:
  const Setup& setup_;
  const Clock& clock_;
  HttpsClient km_s_;
  HttpsClient km_uu_;
  std::string recipient_key_;
};

/// `target` as the value of val-tgt-ue.
std::string TargetParameter(const std::string& json_text);

/// First that did not pass, else a pass.
Verdict All(std::initializer_list<Verdict> verdicts);
Verdict Status(const Reply& reply, std::initializer_list<long> allowed);
/// An error as TS 29.122 5.2.6 has it: one of the statuses, problem+json, members of the right kinds.
/// `param`: invalidParams must name it. `error_code`: the ErrorCode of TS 33.434, where the answer has one.
Verdict Refused(const Reply& reply, std::initializer_list<long> allowed, const std::string& param = "",
                const std::string& error_code = "");
/// 404, with ErrorCode 02 where it has one (TS 33.434 table 5.3.3-2), or 403.
Verdict NotFoundOrRefused(const Reply& reply);
/// 200 and application/json; the object is put into `out`.
Verdict Object(const Reply& reply, nlohmann::json& out);
/// Every member of `required` is there, each of `required` and `optional` is a string, and there is no other
/// but those of `others`.
Verdict Members(const nlohmann::json& object, const std::vector<std::string>& required,
                const std::vector<std::string>& optional, const std::vector<std::string>& others = {});

}  // namespace skms::client::conform
