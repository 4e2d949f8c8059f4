#include "base/error.h"

#include <system_error>
#include <utility>

namespace skms {

std::string_view Name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid-argument";
    case ErrorCode::kUnauthenticated:
      return "unauthenticated";
    case ErrorCode::kPermissionDenied:
      return "permission-denied";
    case ErrorCode::kRoleMissing:
      return "role-missing";
    case ErrorCode::kApprovalNeeded:
      return "approval-needed";
    case ErrorCode::kRecipientUnusable:
      return "recipient-unusable";
    case ErrorCode::kRecipientNotTrusted:
      return "recipient-not-trusted";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kAlreadyExists:
      return "already-exists";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kChangedMeanwhile:
      return "changed-meanwhile";
    case ErrorCode::kPreconditionFailed:
      return "precondition-failed";
    case ErrorCode::kPreconditionRequired:
      return "precondition-required";
    case ErrorCode::kTooLarge:
      return "too-large";
    case ErrorCode::kResourceExhausted:
      return "resource-exhausted";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIntegrity:
      return "integrity";
    case ErrorCode::kStorage:
      return "storage";
    case ErrorCode::kStoreUnavailable:
      return "store-unavailable";
    case ErrorCode::kNewerSchema:
      return "newer-schema";
    case ErrorCode::kLocked:
      return "locked";
    case ErrorCode::kTokenUnavailable:
      return "token-unavailable";
    case ErrorCode::kTokenNotFound:
      return "token-not-found";
    case ErrorCode::kTokenAmbiguous:
      return "token-ambiguous";
    case ErrorCode::kTokenBlank:
      return "token-blank";
    case ErrorCode::kPinIncorrect:
      return "pin-incorrect";
    case ErrorCode::kToken:
      return "token";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kConfiguration:
      return "configuration";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

std::string Error::Describe() const { return std::string(Name(code)) + ": " + detail; }

Error InvalidArgument(std::string detail) { return {ErrorCode::kInvalidArgument, std::move(detail)}; }
Error PermissionDenied(std::string detail) { return {ErrorCode::kPermissionDenied, std::move(detail)}; }
Error NotFound(std::string detail) { return {ErrorCode::kNotFound, std::move(detail)}; }
Error AlreadyExists(std::string detail) { return {ErrorCode::kAlreadyExists, std::move(detail)}; }
Error Conflict(std::string detail) { return {ErrorCode::kConflict, std::move(detail)}; }
Error ChangedMeanwhile(std::string detail) { return {ErrorCode::kChangedMeanwhile, std::move(detail)}; }
Error IntegrityError(std::string detail) { return {ErrorCode::kIntegrity, std::move(detail)}; }
Error StorageError(std::string detail) { return {ErrorCode::kStorage, std::move(detail)}; }
Error ConfigurationError(std::string detail) { return {ErrorCode::kConfiguration, std::move(detail)}; }
Error InternalError(std::string detail) { return {ErrorCode::kInternal, std::move(detail)}; }

Error IoError(std::string_view path, int error_number) {
  return {ErrorCode::kIo, std::string(path) + ": " + std::generic_category().message(error_number)};
}

}  // namespace skms
