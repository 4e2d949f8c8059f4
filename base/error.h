// Error: why an operation failed, as one value that travels in Result<T> from the lowest layer to the edge.
//
// The `code` decides what a caller does (and, at the HTTP edge, which row of the status table applies);
// `detail` is for the log and for administrators: it may name files, labels and functions, never a PIN, a key
// byte or a user identity. Immutable by convention, copyable, safe to share between threads.
#pragma once

#include <string>
#include <string_view>

namespace skms {

/// What kind of failure it was. The comment says who can mend it.
enum class ErrorCode {
  kInvalidArgument,       ///< the caller's input is malformed: the caller
  kUnauthenticated,       ///< no or unusable credentials: the caller
  kPermissionDenied,      ///< good credentials, not allowed: the administrator
  kRoleMissing,           ///< an administrator's roles do not allow it: whoever keeps skms.yaml
  kApprovalNeeded,        ///< nothing was done: others must approve it first
  kRecipientUnusable,     ///< good credentials, but no key to wrap to that would do: the administrator
  kRecipientNotTrusted,   ///< the key to wrap to is not TRUSTED on the token: its security officer
  kNotFound,              ///< the named thing does not exist
  kAlreadyExists,         ///< the named thing exists already
  kConflict,              ///< the state does not allow it (in use)
  kChangedMeanwhile,      ///< another change came first: read again and retry
  kPreconditionFailed,    ///< the thing is not the one the caller named (If-Match): read it again
  kPreconditionRequired,  ///< the caller must name which one he means to change (If-Match)
  kTooLarge,              ///< over a stated limit
  kResourceExhausted,     ///< a bounded pool or queue is full: try again later
  kUnsupported,           ///< this token or build cannot do it
  kIntegrity,             ///< a MAC, chain or format check failed: somebody changed stored data
  kStorage,               ///< the database refused (disk full, locked, unreadable)
  kStoreUnavailable,      ///< the database's server is not reached, or has no room just now: try again later
  kNewerSchema,           ///< the database was made by a newer version
  kLocked,                ///< the server waits for a token's PIN: an administrator
  kTokenUnavailable,      ///< the token or its session is gone
  kTokenNotFound,         ///< no token of that label and serial
  kTokenAmbiguous,        ///< more than one token or object answers to the name
  kTokenBlank,            ///< the token is not initialised or lacks our keys
  kPinIncorrect,          ///< the token refused the PIN: never retried
  kToken,                 ///< any other CKR_* failure
  kIo,                    ///< a file or socket failed
  kConfiguration,         ///< the configuration is wrong
  kInternal,              ///< a broken invariant: a defect
};

/// Stable lower-case name, e.g. "permission-denied".
std::string_view Name(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string detail;              ///< one sentence, no trailing full stop
  unsigned long rv = 0;            ///< CK_RV when a PKCS#11 call failed, else 0
  std::string_view function = {};  ///< static name of that call, e.g. "C_Login"

  /// "C_Login: CKR_PIN_INCORRECT: ..." is built by hsm::TokenError; this renders any error as one log line.
  std::string Describe() const;
};

Error InvalidArgument(std::string detail);
Error PermissionDenied(std::string detail);
Error NotFound(std::string detail);
Error AlreadyExists(std::string detail);
Error Conflict(std::string detail);
Error ChangedMeanwhile(std::string detail);
Error IntegrityError(std::string detail);
Error StorageError(std::string detail);
Error ConfigurationError(std::string detail);
Error InternalError(std::string detail);
/// "path: No such file or directory" from errno.
Error IoError(std::string_view path, int error_number);

}  // namespace skms
