#include "hsm/recipient_keys.h"

#include <algorithm>
#include <utility>

#include "hsm/key_operations.h"

namespace skms::hsm {

RecipientKeys::InUse::~InUse() {
  if (keys_ == nullptr) return;
  if (kept_ == nullptr) {
    const std::unique_lock anchor = keys_->LockAnchor();
    keys_->Destroy(handle_);
    return;
  }
  const std::lock_guard lock(keys_->mutex_);
  --kept_->users;
  kept_->used = Steady::now();
}

Result<RecipientKeys::InUse> RecipientKeys::Use(ByteView spki) {
  const Sha256Digest name = Sha256(spki);
  if (Kept* kept = Find(name)) return InUse(*this, *kept);
  const std::unique_lock anchor = LockAnchor();
  if (Kept* kept = Find(name)) return InUse(*this, *kept);
  const bool has_room = HasRoom(kIdle);
  auto created = Create(spki);
  // A token that has no memory for one more may have it once another is gone.
  if (created.has_error() && TroubleIn(created.error().rv) == Trouble::kDoubt && HasRoom({}))
    created = Create(spki);
  SKMS_TRY(const CK_OBJECT_HANDLE handle, std::move(created));
  if (!has_room) return InUse(*this, handle);
  return InUse(*this, Keep(name, handle));
}

std::unique_lock<std::mutex> RecipientKeys::LockAnchor() {
  const OutsideCall behind_another(token_.place());  // that may hang
  return std::unique_lock(token_.anchor_use());
}

RecipientKeys::Kept* RecipientKeys::Find(const Sha256Digest& name) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(name);
  if (found == kept_.end()) return nullptr;
  ++found->second.users;
  return &found->second;
}

bool RecipientKeys::HasRoom(Steady::duration idle) {
  const bool by_number = idle > Steady::duration{};
  CK_OBJECT_HANDLE leaving = CK_INVALID_HANDLE;
  {
    const std::lock_guard lock(mutex_);
    if (by_number && kept_.size() < kMost) return true;
    const auto unused = std::find_if(kept_.begin(), kept_.end(), [&, now = Steady::now()](const auto& entry) {
      return entry.second.users == 0 && now - entry.second.used >= idle;
    });
    if (unused == kept_.end()) return false;
    leaving = unused->second.handle;
    kept_.erase(unused);
  }
  Destroy(leaving);
  return true;
}

void RecipientKeys::Destroy(CK_OBJECT_HANDLE handle) {
  const CK_RV rv = token_.Call()->C_DestroyObject(token_.anchor(), handle);
  if (rv != CKR_OK) static_cast<void>(token_.Reported("C_DestroyObject", rv));
}

Result<CK_OBJECT_HANDLE> RecipientKeys::Create(ByteView spki) {
  SKMS_TRY(AttributeTemplate key, RsaRecipientTemplate(spki));
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  const CK_RV rv = token_.Call()->C_CreateObject(token_.anchor(), key.data(), key.size(), &handle);
  if (rv != CKR_OK) return token_.Reported("C_CreateObject", rv);
  return handle;
}

RecipientKeys::Kept& RecipientKeys::Keep(const Sha256Digest& name, CK_OBJECT_HANDLE handle) {
  const std::lock_guard lock(mutex_);
  Kept& kept = kept_[name];
  kept = {handle, 1, Steady::now()};
  return kept;
}

}  // namespace skms::hsm
