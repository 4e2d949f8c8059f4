// SessionObject: an object that is destroyed on every way out, unless it is a token object and kept.
#pragma once

#include <utility>

#include "hsm/token.h"

namespace skms::hsm {

/// Move-only. Borrows the lease, which must outlive it.
class SessionObject {
 public:
  SessionObject(SessionLease& lease, CK_OBJECT_HANDLE handle) : lease_(&lease), handle_(handle) {}
  SessionObject(const SessionObject&) = delete;
  SessionObject& operator=(const SessionObject&) = delete;
  SessionObject(SessionObject&& other) noexcept
      : lease_(other.lease_), handle_(std::exchange(other.handle_, CK_INVALID_HANDLE)) {}
  SessionObject& operator=(SessionObject&&) = delete;
  ~SessionObject() {
    if (handle_ == CK_INVALID_HANDLE) return;
    // A session that cannot destroy its object is closed, which destroys it.
    if (lease_->p11()->C_DestroyObject(lease_->handle(), handle_) != CKR_OK) lease_->Spoil();
  }
  CK_OBJECT_HANDLE handle() const { return handle_; }
  /// It stays: a token object that is as it should be.
  CK_OBJECT_HANDLE Keep() { return std::exchange(handle_, CK_INVALID_HANDLE); }

 private:
  SessionLease* lease_;
  CK_OBJECT_HANDLE handle_;
};

}  // namespace skms::hsm
