#include "hsm/shared_key.h"

#include <utility>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_agreement.h"
#include "hsm/openssl_keys.h"

namespace skms::hsm {
namespace {

constexpr CK_ULONG kSecretBytes = 32;

std::string_view NameOf(SharedRole role) {
  switch (role) {
    case SharedRole::kKek:
      return kKekRole;
    case SharedRole::kMac:
      return kMacRole;
    case SharedRole::kSign:
      return kSignRole;
    case SharedRole::kTransfer:
      break;
  }
  return kTransferRole;
}

bool IsPair(SharedRole role) { return role == SharedRole::kSign || role == SharedRole::kTransfer; }

KeyUsage UsageOf(SharedRole role) {
  switch (role) {
    case SharedRole::kKek:
      return {.wrap = true, .unwrap = true};
    case SharedRole::kMac:
      return {.sign = true, .verify = true};
    case SharedRole::kSign:
      return {.sign = true};
    case SharedRole::kTransfer:
      break;
  }
  return {.unwrap = true};
}

KeyUsage PublicUsageOf(SharedRole role) {
  return role == SharedRole::kSign ? KeyUsage{.verify = true} : KeyUsage{.wrap = true};
}

CK_KEY_TYPE SecretType(SharedRole role) { return role == SharedRole::kKek ? CKK_AES : CKK_GENERIC_SECRET; }
CK_MECHANISM_TYPE Generator(SharedRole role) {
  return role == SharedRole::kKek ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
}

AttributeTemplate TokenObjectTemplate(const SharedKey& key) {
  const KeyUsage usage = UsageOf(key.role);
  if (!IsPair(key.role)) return SecretKeyTemplate(SecretType(key.role), Lifetime::kToken, false, usage);
  return PrivateKeyTemplate(key.ec ? CKK_EC : CKK_RSA, Lifetime::kToken, false, usage);
}

Status WrapForAll(SessionLease& lease, const OpenToken& source, CK_OBJECT_HANDLE kek, CK_OBJECT_HANDLE key,
                  const std::optional<JoinRecipient>& joining, SharedKey& out) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(source.capabilities));
  SKMS_TRY(out.under_kek, Wrap(lease, &kwp, kek, key));
  if (!joining) return Ok();
  SKMS_TRY(const RecipientKeys::InUse recipient, source.recipients->Use(joining->spki));
  SKMS_TRY(out.to_join_key, WrapByRsaAes(lease, &kwp, joining->hash, recipient.handle(), key));
  return Ok();
}

Result<SharedKey> MakeSecret(SessionLease& lease, const OpenToken& source, SharedRole role,
                             std::uint32_t generation, CK_OBJECT_HANDLE kek,
                             const std::optional<JoinRecipient>& joining) {
  SharedKey out{role, generation, false, {}, {}, {}};
  SKMS_TRY(const SessionObject key,
           GenerateSecret(lease, Generator(role),
                          SecretKeyTemplate(SecretType(role), Lifetime::kSession, true, {}), kSecretBytes));
  SKMS_TRYV(WrapForAll(lease, source, kek, key.handle(), joining, out));
  return out;
}

Result<SharedKey> MakePair(SessionLease& lease, const OpenToken& source, SharedRole role,
                           std::uint32_t generation, CK_OBJECT_HANDLE kek,
                           const std::optional<JoinRecipient>& joining) {
  SharedKey out{role, generation, false, {}, {}, {}};
  out.ec = role == SharedRole::kSign && source.capabilities.ecdsa && source.capabilities.wraps_ec;
  const KeyUsage usage = UsageOf(role);
  auto made = out.ec ? GenerateP256(lease, Lifetime::kSession, {}, usage, true)
                     : GenerateRsaPair(lease, kTransferBits, Lifetime::kSession, {}, usage, {}, true);
  SKMS_TRY(const KeyPair pair, std::move(made));
  const SessionObject public_key(lease, pair.public_key);
  const SessionObject private_key(lease, pair.private_key);
  SKMS_TRY(out.public_spki, ReadSpki(lease, public_key.handle(), out.ec));
  SKMS_TRYV(WrapForAll(lease, source, kek, private_key.handle(), joining, out));
  return out;
}

Result<SessionObject> MakePublicHalf(SessionLease& lease, const SharedKey& key, const std::string& label) {
  AttributeTemplate half =
      PublicKeyTemplate(key.ec ? CKK_EC : CKK_RSA, Lifetime::kToken, PublicUsageOf(key.role));
  half.Text(CKA_LABEL, label).Text(CKA_ID, label);
  if (key.ec) {
    SKMS_TRY(const EcPublicKey numbers, EcPublicKeyFromSpki(key.public_spki));
    Bytes point{0x04, static_cast<std::uint8_t>(numbers.point.size())};  // a DER OCTET STRING
    point.insert(point.end(), numbers.point.begin(), numbers.point.end());
    half.Octets(CKA_EC_PARAMS, CurveParameters(numbers.curve)).Octets(CKA_EC_POINT, point);
  } else {
    SKMS_TRY(const RsaPublicNumbers numbers, RsaNumbersFromSpki(key.public_spki));
    half.Octets(CKA_MODULUS, numbers.modulus).Octets(CKA_PUBLIC_EXPONENT, numbers.exponent);
  }
  return Create(lease, std::move(half));
}

}  // namespace

Result<std::vector<SharedKey>> MakeSharedKeys(const OpenToken& source, const std::vector<SharedRole>& roles,
                                              std::uint32_t generation, std::uint32_t kek_in_use,
                                              const std::optional<JoinRecipient>& joining) {
  SKMS_TRY(const CK_OBJECT_HANDLE kek, source.keys.kek(kek_in_use));
  SKMS_TRY(SessionLease lease, source.token->Lease());
  std::vector<SharedKey> keys;
  keys.reserve(roles.size());
  for (const SharedRole role : roles) {
    auto made = IsPair(role) ? MakePair(lease, source, role, generation, kek, joining)
                             : MakeSecret(lease, source, role, generation, kek, joining);
    SKMS_TRY(SharedKey key, std::move(made));
    keys.push_back(std::move(key));
  }
  return keys;
}

Status KeepSharedKey(SessionLease& lease, const Capabilities& capabilities, CK_MECHANISM* kwp,
                     CK_OBJECT_HANDLE with, ByteView blob, const SharedKey& key) {
  const std::string label = TokenKeyLabel(NameOf(key.role), key.generation);
  AttributeTemplate attributes = TokenObjectTemplate(key);
  attributes.Text(CKA_LABEL, label).Text(CKA_ID, label);
  const Protection protection = ProtectionOn(capabilities, false);
  if (key.ec && capabilities.unwrap_ec_needs_nss_db) {
    SKMS_TRY(const EcPublicKey numbers, EcPublicKeyFromSpki(key.public_spki));
    attributes.Octets(kAttributeNssDb, numbers.point);
  }
  // Last, for SoftHSM takes no attribute after it; and a token that is tightened after the unwrap must allow
  // it.
  attributes.Without(CKA_MODIFIABLE).Flag(CKA_MODIFIABLE, protection.leave_out_extractable);
  // The public half first: a private key without it would be taken for damage.
  std::optional<SessionObject> half;
  if (IsPair(key.role)) {
    SKMS_TRY(SessionObject made, MakePublicHalf(lease, key, label));
    half.emplace(std::move(made));
  }
  SKMS_TRY(SessionObject object, Unwrap(lease, kwp, with, blob, std::move(attributes), protection));
  if (half) half->Keep();
  object.Keep();
  return Ok();
}

Status MakeTokenSecret(SessionLease& lease, SharedRole role, std::uint32_t generation) {
  const std::string label = TokenKeyLabel(NameOf(role), generation);
  AttributeTemplate attributes = SecretKeyTemplate(SecretType(role), Lifetime::kToken, false, UsageOf(role));
  attributes.Text(CKA_LABEL, label).Text(CKA_ID, label);
  SKMS_TRY(SessionObject object, GenerateSecret(lease, Generator(role), std::move(attributes), kSecretBytes));
  object.Keep();
  return Ok();
}

}  // namespace skms::hsm
