// RecipientKeys: recipients' RSA public keys as session objects that stay in the token, so that a delivery
// neither decodes nor makes nor destroys one. At most kMost, each taken out only once nobody has used it for
// kIdle.
//
// All lie on the token's anchor session, so that they end together: either that session lives and every
// handle here names the key it was made for, or it is gone, no handle is valid any more, and none can be made
// that could be mistaken for one. That is why one that finds no room is made there too, and destroyed after
// use: on a session of the caller's its handle could be an old one's number, and a key go to a stranger.
//
// Thread-safe. Borrows the token, which must outlive it and destroys what is kept by closing the anchor.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <utility>

#include "base/digest.h"
#include "hsm/token.h"

namespace skms::hsm {

class RecipientKeys {
 private:
  using Steady = std::chrono::steady_clock;
  struct Kept {
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    std::size_t users = 0;
    Steady::time_point used{};
  };

 public:
  static constexpr std::size_t kMost = 64;
  static constexpr std::chrono::seconds kIdle{60};

  explicit RecipientKeys(const Token& token) : token_(token) {}
  RecipientKeys(const RecipientKeys&) = delete;
  RecipientKeys& operator=(const RecipientKeys&) = delete;
  ~RecipientKeys() = default;

  /// A key for as long as it is in use. Move-only; one thread.
  class InUse {
   public:
    InUse(RecipientKeys& keys, Kept& kept) : keys_(&keys), kept_(&kept), handle_(kept.handle) {}
    /// For this use alone.
    InUse(RecipientKeys& keys, CK_OBJECT_HANDLE once) : keys_(&keys), handle_(once) {}
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    InUse(InUse&& other) noexcept
        : keys_(std::exchange(other.keys_, nullptr)), kept_(other.kept_), handle_(other.handle_) {}
    InUse& operator=(InUse&&) = delete;
    ~InUse();
    CK_OBJECT_HANDLE handle() const { return handle_; }

   private:
    RecipientKeys* keys_ = nullptr;
    Kept* kept_ = nullptr;
    CK_OBJECT_HANDLE handle_;
  };

  /// The key of `spki` (SubjectPublicKeyInfo DER), which may only wrap. Errors: kInvalidArgument: not an RSA
  /// key of 2048 to 8192 bits with an odd exponent of at least 65537; the token's.
  Result<InUse> Use(ByteView spki);

 private:
  /// nullptr: it is not here.
  std::unique_lock<std::mutex> LockAnchor();
  Kept* Find(const Sha256Digest& name);
  // By the holder of the anchor.
  /// Makes room where that is needed and possible, of one that was idle for so long; 0: takes any out that is
  /// not in use. False: there is none.
  bool HasRoom(Steady::duration idle);
  Result<CK_OBJECT_HANDLE> Create(ByteView spki);
  void Destroy(CK_OBJECT_HANDLE handle);
  Kept& Keep(const Sha256Digest& name, CK_OBJECT_HANDLE handle);

  const Token& token_;
  std::mutex mutex_;
  std::map<Sha256Digest, Kept> kept_;  ///< nodes stay where they are while others come and go
};

}  // namespace skms::hsm
