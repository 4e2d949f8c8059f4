#include "hsm/key_group.h"

#include <utility>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/signing.h"
#include "hsm/strict_checks.h"
#include "hsm/strict_objects.h"
#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

constexpr KeySpec kProbeKey{KeyKind::kAes, 32};

Error Foreign(const OpenToken& open, std::string_view role, std::uint32_t generation) {
  return IntegrityError("the token '" + open.known.info.label + "' holds another " +
                        TokenKeyLabel(role, generation) + " than the one before, or the other tokens");
}

/// Compares octets that each token must give alike.
Status CompareOctets(std::map<std::uint32_t, Bytes>& known, std::uint32_t generation, Bytes octets,
                     const OpenToken& open, std::string_view role, bool& common) {
  const auto found = known.find(generation);
  if (found == known.end()) {
    known.emplace(generation, std::move(octets));
    return Ok();
  }
  if (!ConstantTimeEqual(found->second, octets)) return Foreign(open, role, generation);
  common = true;
  return Ok();
}

/// Whether another token's probe key came out.
Status Judge(const Result<SessionObject>& unwrapped, const OpenToken& open, std::string_view role,
             std::uint32_t generation) {
  if (unwrapped.has_value()) return Ok();
  const Error& error = unwrapped.error();
  const bool blames_blob = error.code == ErrorCode::kIntegrity && TroubleIn(error.rv) != Trouble::kLost;
  return blames_blob ? Foreign(open, role, generation) : error;
}

Status CompareKek(std::map<std::uint32_t, Bytes>& known, std::uint32_t generation, SessionLease& lease,
                  const OpenToken& open) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE kek, open.keys.kek(generation));
  const auto found = known.find(generation);
  if (found == known.end()) {
    SKMS_TRY(const SessionObject key,
             GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate(kProbeKey), kProbeKey.bytes));
    SKMS_TRY(known[generation], Wrap(lease, &kwp, kek, key.handle()));
    return Ok();
  }
  return Judge(Unwrap(lease, &kwp, kek, found->second, ValKeyTemplate(kProbeKey),
                      ProtectionOn(open.capabilities, true)),
               open, kKekRole, generation);
}

Status CompareStrictKek(std::map<std::uint32_t, Bytes>& known, std::uint32_t generation, CK_OBJECT_HANDLE kek,
                        SessionLease& lease, const OpenToken& open) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  const auto found = known.find(generation);
  if (found != known.end())
    return Judge(UnwrapStrict(lease, &kwp, kek, found->second), open, kStrictKekRole, generation);
  SKMS_TRY(const SessionObject key, GenerateStrict(lease, kProbeKey.bytes));
  SKMS_TRY(known[generation], Wrap(lease, &kwp, kek, key.handle()));
  return Ok();
}

}  // namespace

Status KeyGroup::Admit(const OpenToken& open, const StrictObjects& strict) {
  for (;;) {
    std::unique_lock lock(mutex_);
    Known known = known_;
    const std::uint64_t compared = changes_;
    // The token may hang, and another is to be let in meanwhile.
    lock.unlock();
    SKMS_TRYV(Compare(known, open, strict));
    lock.lock();
    if (changes_ != compared) continue;
    known_ = std::move(known);
    ++changes_;
    return Ok();
  }
}

Status KeyGroup::Compare(Known& known, const OpenToken& open, const StrictObjects& strict) {
  const HeldGenerations held = open.keys.held();
  bool common = known.mac.empty();
  SKMS_TRY(SessionLease lease, open.token->Lease());
  for (const std::uint32_t generation : held.mac) {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.mac(generation));
    SKMS_TRY(const Mac mac, HmacInToken(lease, key, AsBytes("skms token fingerprint v1")));
    SKMS_TRYV(CompareOctets(known.mac, generation, Bytes(mac.begin(), mac.end()), open, kMacRole, common));
  }
  if (!common) {
    return IntegrityError("the token '" + open.known.info.label +
                          "' holds keys of ours, but none that the one before, or the other tokens, hold");
  }
  SKMS_TRYV(ComparePairs(known, open, lease));
  for (const std::uint32_t generation : held.kek) SKMS_TRYV(CompareKek(known.kek, generation, lease, open));
  for (const std::uint32_t generation : strict.generations()) {
    SKMS_TRY(const CK_OBJECT_HANDLE kek, strict.KekOf(generation));
    SKMS_TRYV(CompareStrictKek(known.strict_kek, generation, kek, lease, open));
  }
  return Ok();
}

Status KeyGroup::ComparePairs(Known& known, const OpenToken& open, SessionLease& lease) {
  const HeldGenerations held = open.keys.held();
  bool ignored = false;
  for (const std::uint32_t generation : held.sign) {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.sign_public(generation));
    SKMS_TRY(Bytes spki, ReadSpki(lease, key, open.keys.ec_signs().count(generation) > 0));
    SKMS_TRYV(CompareOctets(known.sign, generation, std::move(spki), open, kSignRole, ignored));
  }
  for (const std::uint32_t generation : held.transfer) {
    SKMS_TRY(const CK_OBJECT_HANDLE key, open.keys.transfer_public(generation));
    SKMS_TRY(Bytes spki, ReadSpki(lease, key, false));
    SKMS_TRYV(CompareOctets(known.transfer, generation, std::move(spki), open, kTransferRole, ignored));
  }
  return Ok();
}

void KeyGroup::Forget(const HeldGenerations& destroyed) {
  const std::lock_guard lock(mutex_);
  ++changes_;
  for (const std::uint32_t generation : destroyed.kek) known_.kek.erase(generation);
  for (const std::uint32_t generation : destroyed.mac) known_.mac.erase(generation);
  for (const std::uint32_t generation : destroyed.sign) known_.sign.erase(generation);
  for (const std::uint32_t generation : destroyed.transfer) known_.transfer.erase(generation);
}

}  // namespace skms::hsm
