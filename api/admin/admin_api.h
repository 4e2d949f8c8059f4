// The administrator's API on the admin socket: /admin/v1/… and /healthz (api/openapi/skms_admin.yaml).
//
// The peer is known by SO_PEERCRED: root, the daemon's own user, or a member of the admin group; where roles
// are given out, by those (api/admin/permissions.h). He is trusted with the details of errors, never with key
// material: no answer holds any. Every change is audited as "admin:<uid>". Thread-safe; the dependencies must
// outlive the Api.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/admin/peer_access.h"
#include "api/admin/status_page.h"
#include "api/http/router.h"
#include "base/clock.h"
#include "base/secret_bytes.h"
#include "hsm/crypto_module.h"
#include "keystore/approvals.h"
#include "keystore/backup.h"
#include "keystore/key_store.h"

namespace skms::admin {

/// What is known of an issuer's keys at its URI.
struct KeyFetch {
  std::int64_t fetched = 0;  ///< seconds since 1970; 0: not since the daemon started
  std::string error;         ///< of the last try; empty: it went well
};

/// What the rotation scheduler tells of itself; counts since the daemon started.
struct RotationReport {
  bool held = false;
  std::string reason;         ///< why it is held
  std::int64_t last_run = 0;  ///< seconds since 1970; 0: not yet
  std::int64_t made = 0;
  std::int64_t activated = 0;
  std::int64_t ended = 0;
  std::int64_t wiped = 0;
  bool behind = false;  ///< there is more to do than the last run did
};

struct RotationControl {
  std::function<RotationReport()> report = [] { return RotationReport{}; };
  /// Goes on after a hold. kConflict: it is not held.
  std::function<Status(const keystore::PrincipalId&)> resume = [](const keystore::PrincipalId&) {
    return Status(Conflict("rotation is not held"));
  };
};

/// Keys of issuers that publish them at a URI.
struct IssuerKeysControl {
  std::function<Status(const keystore::IssuerId&)> fetch = [](const keystore::IssuerId&) {
    return Status(Conflict("nothing here fetches keys"));
  };
  std::function<KeyFetch(const keystore::IssuerId&)> report = [](const keystore::IssuerId&) {
    return KeyFetch{};
  };
};

/// How the chain gets to where it is sent.
struct AuditExportReport {
  bool on = false;
  std::int64_t exported = 0;  ///< the last entry that went
  std::int64_t behind = 0;    ///< entries that did not yet
  bool late = false;          ///< for long, or many
  bool shut = false;          ///< so many that nothing is decided any more
  std::string trouble;        ///< why the last try failed; empty: it did not
};

/// How well the audit chain is kept.
struct AuditReport {
  std::int64_t signed_up_to = 0;  ///< the last entry that a checkpoint covers
  std::int64_t signed_at_ms = 0;  ///< 0: there is none yet
  bool checked = false;           ///< since the start what was new has been checked and signed once at least
  bool late = false;              ///< entries wait for their checkpoint far too long
  std::string trouble;            ///< why the last try to sign failed; empty: it did not
  bool disk_low = false;
  std::int64_t free_mib = 0;  ///< on the database's disk
  AuditExportReport exported;
};

struct AuditControl {
  std::function<AuditReport()> report = [] { return AuditReport{}; };
  /// Something was archived and may go.
  std::function<void()> begin_deleting = [] {};
};

/// How far the rows are on their way under the token keys in use.
struct RewrapReport {
  enum class Phase {
    kCounting,
    kRewrapping,
    kDone,     ///< every row is under them
    kDamaged,  ///< what is left cannot be: the log names the rows
  };
  Phase phase = Phase::kCounting;
  std::int64_t rows = 0;   ///< that there are
  std::int64_t total = 0;  ///< that had to go when it began
  std::int64_t done = 0;   ///< of those
  std::int64_t damaged = 0;
  double rows_per_second = 0;  ///< since it began
  std::string trouble;         ///< why it waits; empty: it does not
};

/// The life of the token keys (hsm/token_ceremony.h, keystore/key_store.h).
struct TokenKeyControl {
  std::function<RewrapReport()> report = [] { return RewrapReport{}; };
  /// The token keys in use are others now.
  std::function<void()> begin = [] {};
  /// kConflict: somebody may still hold rows as they were under former token keys.
  std::function<Status()> may_retire = [] { return Status(Conflict("nothing here re-wraps")); };
};

/// A backup that lies ready to be fetched.
struct StoredBackup {
  std::string id;          ///< 32 hex digits
  std::int64_t bytes = 0;  ///< of the file
  keystore::BackupMade made;
};

struct BackupControl {
  /// Takes as long as the database is large. `with_damage`: BackupOrder's. Errors: kConflict (one is being
  /// made), KeyStore::MakeBackup's.
  std::function<Result<StoredBackup>(const keystore::Requester& by, bool with_damage)> make =
      [](const keystore::Requester&, bool) {
        return Result<StoredBackup>(Conflict("nothing here makes backups"));
      };
  /// Octets after the first `after`; none: that was the end. kNotFound.
  std::function<Result<Bytes>(const std::string& id, std::int64_t after)> read =
      [](const std::string&, std::int64_t) { return Result<Bytes>(NotFound("there is no such backup")); };
  /// kNotFound.
  std::function<Status(const std::string& id)> remove = [](const std::string&) {
    return Status(NotFound("there is no such backup"));
  };
};

struct ApprovalSettings {
  std::vector<std::string> required;  ///< of destroy, restore, kek, strict-recipient, audit-key
  keystore::ApprovalRules rules;
};

struct AdminDependencies {
  keystore::KeyStore& store;
  hsm::CryptoModule& module;
  const Clock& clock;
  AdminAccess access;
  ApprovalSettings approvals{};
  std::string skms_id;
  std::string version;
  std::int64_t started = 0;       ///< seconds since 1970
  std::function<bool()> healthy;  ///< are all listeners alive
  RotationControl rotation{};
  IssuerKeysControl issuer_keys{};
  TokenKeyControl token_keys{};
  AuditControl audit{};
  BackupControl backups{};
  /// Opens a token that waits for its PIN. The label may be empty where there is one token. Errors:
  /// kConflict (it is open), kPinIncorrect, why it cannot be opened.
  std::function<Status(const std::string& label, SecretBytes pin, const keystore::Requester& by)> unlock =
      [](const std::string&, const SecretBytes&, const keystore::Requester&) {
        return Status(Conflict("nothing here is locked"));
      };
  /// What is measured, in Prometheus' text format.
  std::function<std::string()> metrics = [] { return std::string(); };
  std::function<StatusPage()> page = [] { return StatusPage{}; };
};

/// A resource of the API and a method that it knows; both live as long as the program.
struct AdminResource {
  const char* method;
  const char* pattern;
};
std::vector<AdminResource> AdminResources();

void RegisterAdminApi(http::Api& api, AdminDependencies dependencies);

}  // namespace skms::admin
