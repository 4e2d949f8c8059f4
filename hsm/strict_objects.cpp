#include "hsm/strict_objects.h"

#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/log.h"
#include "hsm/openssl_keys.h"
#include "hsm/strict_checks.h"
#include "hsm/token_keys.h"

namespace skms::hsm {
namespace {

Result<std::vector<CK_OBJECT_HANDLE>> TrustedObjects(SessionLease& lease, CK_OBJECT_CLASS object_class) {
  AttributeTemplate search;
  search.Flag(CKA_TOKEN, true).Flag(CKA_TRUSTED, true).Number(CKA_CLASS, object_class);
  return FindAll(lease, std::move(search));
}

bool IsTokenTrouble(const Error& error) {
  return error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kResourceExhausted;
}

/// That it does what a strict KEK is for, and refuses what it must.
Status ProveKek(SessionLease& lease, const Capabilities& can, CK_OBJECT_HANDLE kek,
                CK_OBJECT_HANDLE stranger) {
  SKMS_TRYV(CheckHidden(lease, kek));
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(can));
  Bytes blob;
  {
    SKMS_TRY(const SessionObject key, GenerateStrict(lease, 32));
    SKMS_TRY(blob, Wrap(lease, &kwp, kek, key.handle()));
  }
  SKMS_TRYV(CheckUnwrapsStrictAlone(lease, &kwp, kek, blob));
  SKMS_TRYV(CheckWrapsStrictAlone(lease, &kwp, kek));
  if (!can.oaep_hash) return Error{ErrorCode::kUnsupported, "this token has no RSA-OAEP"};
  SKMS_TRY(const SessionObject back, UnwrapStrict(lease, &kwp, kek, blob));
  OaepMechanism oaep(*can.oaep_hash);
  return CheckNotWrapped(lease, oaep.get(), stranger, back.handle());
}

Result<std::string> LabelOf(SessionLease& lease, CK_OBJECT_HANDLE object) {
  SKMS_TRY(const Bytes label, ReadOctets(lease, object, CKA_LABEL));
  return AsText(label);
}

}  // namespace

std::string TrustedRecipientLabel(ByteView spki_sha256) {
  return kTrustedRecipientLabel + ToHex(spki_sha256.first(8));
}

Result<Sha256Digest> TrustedRecipientDigest(ByteView spki) {
  SKMS_TRY(const RsaPublicNumbers numbers, RsaNumbersFromSpki(spki));
  SKMS_TRY(const Bytes same, RsaSpkiFromNumbers(numbers.modulus, numbers.exponent));
  return Sha256(same);
}

Result<StrictObjects::Found> StrictObjects::Find(SessionLease& lease, const Capabilities& capabilities,
                                                 CK_OBJECT_HANDLE stranger) {
  Found found;
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> secrets, TrustedObjects(lease, CKO_SECRET_KEY));
  for (const CK_OBJECT_HANDLE handle : secrets) {
    SKMS_TRY(const std::string label, LabelOf(lease, handle));
    const std::uint32_t generation = GenerationIn(label, kStrictKekRole);
    if (generation == 0) continue;
    Status proven = ProveKek(lease, capabilities, handle, stranger);
    if (proven.has_error() && IsTokenTrouble(proven.error())) return std::move(proven).error();
    if (proven.has_error()) {
      LogError(label + " is not used: " + proven.error().Describe());
      continue;
    }
    if (!found.keks.emplace(generation, handle).second)
      return Error{ErrorCode::kTokenAmbiguous, "two TRUSTED keys of the token are named '" + label + "'"};
  }
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> publics, TrustedObjects(lease, CKO_PUBLIC_KEY));
  for (const CK_OBJECT_HANDLE handle : publics) {
    SKMS_TRY(const std::string label, LabelOf(lease, handle));
    if (!label.starts_with(kTrustedRecipientLabel)) continue;
    SKMS_TRY(const Bytes modulus, ReadOctets(lease, handle, CKA_MODULUS));
    SKMS_TRY(const Bytes exponent, ReadOctets(lease, handle, CKA_PUBLIC_EXPONENT));
    SKMS_TRY(const Bytes spki, RsaSpkiFromNumbers(modulus, exponent));
    found.recipients.emplace(Sha256(spki), handle);
  }
  return found;
}

Result<std::shared_ptr<StrictObjects>> StrictObjects::Resolve(Token& token, const Capabilities& capabilities,
                                                              CK_OBJECT_HANDLE stranger) {
  auto objects = std::make_shared<StrictObjects>();
  // A token that does not enforce it has nothing of the kind for us, whatever lies on it.
  if (!capabilities.enforces_trusted) return objects;
  SKMS_TRY(SessionLease lease, token.Lease());
  lease.Spoil();  // as in probe_trusted.cpp
  SKMS_TRY(Found now, Find(lease, capabilities, stranger));
  objects->found_ = std::make_shared<const Found>(std::move(now));
  return objects;
}

void StrictObjects::Become(const StrictObjects& newer) {
  std::shared_ptr<const Found> now = newer.found();
  const std::lock_guard lock(mutex_);
  found_ = std::move(now);
}

std::shared_ptr<const StrictObjects::Found> StrictObjects::found() const {
  const std::lock_guard lock(mutex_);
  return found_;
}

Result<StrictObjects::Kek> StrictObjects::NewestKek() const {
  const auto now = found();
  if (!now->keks.empty()) return Kek{now->keks.rbegin()->first, now->keks.rbegin()->second};
  return Error{ErrorCode::kUnsupported,
               "the token has no strict KEK that works; its security officer makes one: skmsctl token "
               "make-strict-kek"};
}

Result<CK_OBJECT_HANDLE> StrictObjects::KekOf(std::uint32_t generation) const {
  const auto now = found();
  const auto kek = now->keks.find(generation);
  if (kek != now->keks.end()) return kek->second;
  return Error{ErrorCode::kUnsupported,
               "the token has no " + TokenKeyLabel(kStrictKekRole, generation) + " that works"};
}

Result<CK_OBJECT_HANDLE> StrictObjects::Recipient(ByteView spki) const {
  SKMS_TRY(const Sha256Digest digest, TrustedRecipientDigest(spki));
  const auto now = found();
  const auto recipient = now->recipients.find(digest);
  if (recipient != now->recipients.end()) return recipient->second;
  return Error{
      ErrorCode::kRecipientNotTrusted,
      "the recipient's key is not marked TRUSTED on the token; if it should be, the security officer "
      "does: skmsctl recipient trust --public-key FILE --so-pin-file FILE"};
}

std::vector<std::uint32_t> StrictObjects::generations() const {
  std::vector<std::uint32_t> all;
  for (const auto& [generation, handle] : found()->keks) all.push_back(generation);
  return all;
}

std::uint32_t StrictObjects::newest_generation() const {
  const auto now = found();
  return now->keks.empty() ? 0 : now->keks.rbegin()->first;
}

std::string StrictObjects::fingerprint() const {
  const auto now = found();
  Bytes all;
  for (const auto& [generation, handle] : now->keks) {
    const std::string name = std::to_string(generation) + ";";
    all.insert(all.end(), name.begin(), name.end());
  }
  for (const auto& [digest, handle] : now->recipients) all.insert(all.end(), digest.begin(), digest.end());
  return ToHex(Sha256(all));
}

std::size_t StrictObjects::recipients() const { return found()->recipients.size(); }

}  // namespace skms::hsm
