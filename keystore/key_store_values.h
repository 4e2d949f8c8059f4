// What goes into a KeyStore and comes out: who asks, what he gets, what he provisions, and what changes did.
//
// Plain values; those with SecretBytes can only be moved. Not shared between threads while they change.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/secret_bytes.h"
#include "hsm/wrapped_key.h"
#include "keystore/audit_values.h"
#include "keystore/directory_entries.h"
#include "keystore/groups.h"
#include "keystore/key_events.h"
#include "keystore/key_profile.h"
#include "keystore/key_version.h"
#include "keystore/payloads.h"
#include "keystore/shared_values.h"

namespace skms::keystore {

/// Who asked, for the audit chain and policy.
struct Requester {
  PrincipalId principal;   ///< or "admin:<uid>" on the admin socket
  Bytes certificate_spki;  ///< recipient of last resort
  std::string request_id;
  bool administrator = false;  ///< on the admin socket: needs no role
  /// VAL services that the access token names: others are not for it. nullopt: it names none.
  /// Subscriptions are the principal's, whatever its tokens name: events hold no key material.
  std::optional<std::vector<std::string>> token_services{};
};

/// A UE's key management client (KM-UU), as its access token says. Identities are empty where the token's
/// issuer does not vouch for them.
struct UeRequester {
  IssuerId issuer;  ///< kAssertedIdentity: a trusted proxy vouches for `user`
  std::optional<std::vector<std::string>>
      services;               ///< VAL services that the token names; nullopt: none, policy alone decides
  std::string user;           ///< VAL user id
  std::string ue;             ///< VAL UE id
  std::string client;         ///< VAL client id
  bool bound_to_key = false;  ///< the token is good for `key` alone: nothing goes out in another form
  std::optional<hsm::Recipient> key{};  ///< that it asks to be wrapped to; the token's binding was checked
  std::string key_id{};                 ///< how answers name it
  Bytes certificate_spki{};  ///< of the client certificate that the token is bound to, where it is to one
  std::string request_id;
};

/// One key as handed out: metadata and exactly one form of material.
struct DeliveredVersion {
  KeyVersion version;  ///< its wrapped bytes are cleared
  KeyProfile profile;
  std::string recipient;  ///< id for "recipient" in keyInfo; empty for delivery: tls
  std::optional<hsm::DeliveredKey> wrapped;
  std::optional<SecretBytes> plaintext;  ///< delivery: tls only
};

/// A provisioned payload as handed out: metadata, ciphertext, and exactly one form of access to it.
struct DeliveredPayload {
  Payload payload;        ///< its wrapped content key is cleared
  std::string recipient;  ///< as in DeliveredVersion
  std::optional<hsm::DeliveredKey> content_key;
  std::optional<SecretBytes> plaintext;  ///< delivery: tls only
};

/// The octets that an answer goes out in, to those who hand it out. Each has a type of his own.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
};

/// Where they keep it with the answer, so that it is made once. Thread-safe.
class AnswerFormPlace {
 public:
  std::shared_ptr<const AnswerForm> form() const {
    const std::lock_guard lock(mutex_);
    return form_;
  }
  void Put(std::shared_ptr<const AnswerForm> form) {
    const std::lock_guard lock(mutex_);
    form_ = std::move(form);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const AnswerForm> form_;
};

/// Who copies it shares what is in it.
struct DeliveryAnswer {
  std::shared_ptr<const Service>
      service;  ///< never null. With `access.home` set, nothing else is here: another server has its keys
  /// What protects now, will, and did, in this order; then likewise those of the user's or UE's groups.
  SharedValues<DeliveredVersion> keys;
  SharedValues<DeliveredPayload> payloads;  ///< of the selector itself, by payload id
  std::string actor;                        ///< who asked, as in the audit chain
  AuditSummary recorded;                    ///< the last entry of it there; 0: there is none
  /// Of an answer that is given again; nullptr: it is not.
  std::shared_ptr<AnswerFormPlace> form{};
};

/// What a VAL server provisions.
struct ProvisionOrder {
  Selector selector;
  std::string payload_id;                              ///< may be empty
  SecretBytes sent;                                    ///< as it came: the payload, or the JWE that holds it
  std::optional<hsm::TransferredPayload> encrypted{};  ///< where it came encrypted to our transfer key
  bool granted = false;                                ///< SKeyProv of the access token is for this service
};

struct Provisioned {
  Service service;  ///< with `access.home` set, nothing was stored: another server has it
  std::string id;   ///< of the version
  std::uint32_t version = 0;
  bool changed = false;  ///< false: the same payload was there already
};

/// A refusal that never reached Deliver (bad token, unknown certificate …), to be written to the audit chain.
struct RefusedRequest {
  std::string action;  ///< what was asked: "deliver", "administer"
  std::string actor;   ///< principal id, or "unknown"
  std::string reason;  ///< fixed text such as "token-expired"
  std::string request_id;
};

/// A step in a version's life, asked for by an administrator.
struct KeyChange {
  std::string action;    ///< a Transition's, or "release" / "withhold" for a compromised key
  std::string reason;    ///< 1 to 255 bytes, for the audit chain
  bool rotate = false;   ///< compromise only: make the next version at once
  bool dry_run = false;  ///< tell what would be, change nothing
};

/// What a group shall be.
struct GroupDocument {
  GroupId id;
  std::vector<ValServiceId> services;  ///< 1 to kMaxGroupServices
  std::vector<GroupMember> members;    ///< 1 to kMaxGroupMembers
};

/// If-Match: the revision that the caller means to change. An administrator may leave it out.
struct GroupPrecondition {
  std::optional<std::int64_t> revision;
};

struct GroupChanged {
  GroupRecord record;
  bool created = false;
  bool rekeyed = false;
  std::vector<KeyVersion> keys;  ///< made by the change, without material
};

struct GroupView {
  GroupRecord record;
  std::vector<GroupMember> members;  ///< sorted
};

/// What is next to tell one subscription.
struct EventBatch {
  std::vector<KeyEvent> events;  ///< in order; empty: nothing, or nothing that it may be told
  std::int64_t position = 0;     ///< its place after them
  std::int64_t dropped = 0;      ///< passed over because they are too old
  bool moved = false;            ///< `position` is not where it was
};

/// What Rotate would do now.
struct RotationPreview {
  std::uint32_t version = 0;              ///< becomes active
  bool made = false;                      ///< it would be generated; else it was made ahead
  std::vector<KeyVersion> changed;        ///< versions that there are, as they would be, without material
  std::vector<std::uint32_t> lost_later;  ///< would be destroyed when they end: the service keeps fewer
};

struct KeyListQuery {
  std::optional<ValServiceId> service;
  std::optional<KeyState> state;
  std::optional<std::int64_t> expiring_before;  ///< seconds since 1970; keys without an end never match
  std::string target_prefix;                    ///< of the user's or UE's identity; empty: any
  std::string after_kid;      ///< page: entries after this kid in (service, kind, target, version) order
  std::uint32_t limit = 100;  ///< 1 to 1000
};

struct KeyChangeSet;

/// What one run of the scheduler did.
struct RotationRun {
  int made = 0;
  int activated = 0;
  int ended = 0;      ///< deactivated
  int wiped = 0;      ///< destroyed: more versions than the policy keeps
  int failed = 0;     ///< left alone for a minute (the log says why), or changed by somebody meanwhile
  bool more = false;  ///< there was more than `most` to do

  int changes() const { return made + activated + ended + wiped; }
  void Count(const KeyChangeSet& set);
};

/// Where a walk over the rows is that brings them under the token keys in use.
struct RewrapCursor {
  enum class Table { kDirectory, kGroups, kPayloads, kKeys, kEnd };
  Table table = Table::kDirectory;
  std::string after;  ///< the last id of that table; empty: its beginning
};

/// What one step of it did.
struct RewrapRun {
  std::int64_t rewrapped = 0;
  std::int64_t overtaken = 0;  ///< changed by somebody meanwhile; found by the next walk
  std::int64_t damaged = 0;    ///< left as they are: the log names them
};

/// Rows that have a MAC, and those that are not under the token keys in use.
struct TokenKeyRows {
  std::int64_t all = 0;
  std::int64_t old = 0;
};

/// Rotation waits because the clock may be wrong.
struct RotationHold {
  std::int64_t since = 0;  ///< by that clock
  std::int64_t leap = 0;   ///< seconds that it went forward at once
  std::string reason;
};

}  // namespace skms::keystore
