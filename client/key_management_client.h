// KeyManagementClient: a SEAL key management client (SKM-C of TS 33.434), in a VAL server (KM-S:
// RetrieveKeys, Provision) or in a UE (KM-UU: RequestKeys).
//
// One call is one request and its checked answer; keys come back closed, and OpenKey and OpenPayload
// (client/open_key.h) open them. `client/examples` shows each use.
//
// Errors of every call that sends: what the server refused, with its own words, as problem.h's ErrorOf;
// kIo (network or TLS), kInvalidArgument (the URL is not https, a query that names two targets), kIntegrity
// (an answer that is not for what was asked). After a refusal `problem()` has its parts.
//
// Not thread-safe: one client for each thread. Owns its connections; `clock` is borrowed and must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "client/https.h"
#include "client/key_answer.h"
#include "client/problem.h"
#include "client/receipt.h"

namespace skms::client {

struct ClientOptions {
  /// Follow 307 and 308 to the key management server that has the service (TS 29.122 5.2.10), three at most
  /// and https only. The access token goes along, so whoever answers at `url` decides who gets it: off unless
  /// asked for.
  bool follow_redirects = false;
};

/// What `GET /.well-known/skms` says.
struct Discovery {
  struct Api {
    std::string name;             ///< "ss-kir", "ss-kpp", "skm", …
    std::string version;          ///< "v1"
    std::string reference_point;  ///< "KM-S", "KM-UU", "SEAL-X1"
    std::string uri;
    std::string scope;  ///< that the access token must carry
  };
  struct TransferKey {
    std::string kid;
    std::string alg;  ///< "RSA-OAEP" or "RSA-OAEP-256"
    Bytes modulus;
    Bytes exponent;
  };

  std::string skms_id;
  std::string skms_uri;
  std::vector<Api> apis;
  std::vector<std::string> wrapping;        ///< values that ReceivedKey::wrap_alg may have
  std::vector<SigningKey> signing_keys;     ///< of receipts and of the audit chain
  std::optional<TransferKey> transfer_key;  ///< what is sent to the server may be encrypted to it
};

/// RFC 7638, as base64url.
std::string Thumbprint(const Discovery::TransferKey& key);

/// TS 29.549 7.6.2 (VALKeyPpReq).
struct ProvisionRequest {
  std::string service;
  std::string user = {};  ///< at most one of user and ue; neither: for the service itself
  std::string ue = {};
  std::string payload_id = {};  ///< empty: the selector's one payload without an id
  std::string client_uri;       ///< skmcUri: who provisions
  ByteView payload;             ///< borrowed for the call
  /// Seal the payload to the transfer key that the server publishes, so that it is in nobody's log or memory
  /// on the way (TS 33.434 5.1.1.4). Against a proxy that answers in the server's place this holds only with
  /// `transfer_key_thumbprint`.
  bool seal = true;
  /// Thumbprint of the transfer key as learnt from the server's administrator; another key is refused. Empty:
  /// any.
  std::string transfer_key_thumbprint = {};
};

class KeyManagementClient {
 public:
  KeyManagementClient(Endpoint server, const Clock& clock, ClientOptions options = {});
  KeyManagementClient(Endpoint server, const Clock&& clock, ClientOptions options = {}) = delete;

  /// Names, APIs and public keys of the server. Needs no access token.
  Result<Discovery> Discover();

  /// KM-S (TS 29.549 7.6.1): the keys and payloads (either may be none) of a service, or of one user or UE in
  /// it. kInvalidArgument also for a VAL client, which KM-S cannot name; kNotFound also where `group` has no
  /// key in the answer.
  Result<KeyAnswer> RetrieveKeys(const KeyQuery& query, const SecretBytes& access_token);

  /// As RetrieveKeys, but nullopt when nothing has changed since the answer that had entity tag `etag`; the
  /// answer's tag takes its place. Start with an empty one.
  Result<std::optional<KeyAnswer>> RetrieveKeysIfChanged(const KeyQuery& query,
                                                         const SecretBytes& access_token, std::string& etag);

  /// KM-UU (TS 33.434 5.3): what the access token's user, UE or client may have. `bound_key_path` names the
  /// RSA or EC private key (PEM) whose public half goes along as recipientKey; the token's cnf.jkt must be
  /// its thumbprint. Empty: the server wraps to what is enrolled for the identity.
  Result<KeyAnswer> RequestKeys(const KeyQuery& query, const SecretBytes& access_token,
                                const std::string& bound_key_path = {});

  /// TS 33.434 5.8: stores a payload for those who may retrieve it; the same bytes again change nothing.
  /// kUnsupported: to be sealed, but the server publishes no transfer key; kIntegrity
  /// also for a transfer key of another thumbprint.
  Status Provision(const ProvisionRequest& request, const SecretBytes& access_token);

  /// The receipt of the answer that came last, checked against the answer and the keys that its server
  /// publishes. kNotFound: none came with it. kIntegrity: it is not of this answer, or not signed by that
  /// server.
  Result<DeliveryReceipt> CheckReceipt(const KeyAnswer& answer);

  /// Of the last call, if the server refused it.
  const std::optional<Problem>& problem() const { return problem_; }

 private:
  struct Ask;
  Result<HttpAnswer> Send(const Ask& ask);
  Result<HttpAnswer> SendKeyQuery(const KeyQuery& query, const SecretBytes& access_token,
                                  const std::string& etag);
  Result<Discovery::TransferKey> TransferKeyOf(HttpsClient& server, const std::string& thumbprint);
  Result<HttpAnswer> Refuse(const HttpAnswer& answer);
  static Result<KeyAnswer> Taken(HttpAnswer& answer, Result<KeyAnswer> decoded);
  static Result<Discovery> DiscoveryOf(HttpsClient& server);

  HttpsClient https_;
  const Clock& clock_;
  const ClientOptions options_;
  std::string asked_root_;  ///< apiRoot of the server that answered last
  std::optional<Problem> problem_;
};

/// "/ss-kir/v1/key-records?val-service-id=…&val-tgt-ue=…", under the apiRoot.
std::string KeyRecordsTarget(const KeyQuery& query);

}  // namespace skms::client
