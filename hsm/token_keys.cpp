#include "hsm/token_keys.h"

#include <charconv>
#include <set>
#include <vector>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/openssl_keys.h"
#include "hsm/signing.h"
#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

Status AddOnce(TokenKeys::Handles& handles, std::uint32_t generation, CK_OBJECT_HANDLE handle,
               const std::string& label) {
  if (handles.emplace(generation, handle).second) return Ok();
  return Error{ErrorCode::kTokenAmbiguous, "two objects of one kind are named '" + label +
                                               "' on the token; remove the wrong one with the token's tool"};
}

std::uint32_t Newest(const TokenKeys::Handles& handles) {
  return handles.empty() ? 0 : handles.rbegin()->first;
}

std::set<std::uint32_t> GenerationsOf(const TokenKeys::Handles& handles) {
  std::set<std::uint32_t> generations;
  for (const auto& [generation, handle] : handles) generations.insert(generation);
  return generations;
}

}  // namespace

Result<std::vector<CK_OBJECT_HANDLE>> AllTokenObjects(SessionLease& lease) {
  AttributeTemplate search;
  search.Flag(CKA_TOKEN, true);
  return FindAll(lease, std::move(search));
}

std::string TokenKeyLabel(std::string_view role, std::uint32_t generation) {
  return "skms-" + std::string(role) + "-" + std::to_string(generation);
}

std::uint32_t GenerationIn(std::string_view label, std::string_view role) {
  const std::string prefix = "skms-" + std::string(role) + "-";
  if (label.substr(0, prefix.size()) != prefix) return 0;
  const std::string_view digits = label.substr(prefix.size());
  std::uint32_t generation = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), generation);
  const bool whole =
      code == std::errc{} && end == digits.data() + digits.size() && !digits.empty() && digits[0] != '0';
  return whole ? generation : 0;
}

Status TokenKeys::Add(SessionLease& lease, CK_OBJECT_HANDLE handle) {
  // Objects that are not ours may lack either attribute; they are passed over, and a spoilt session is not
  // their fault.
  const auto label_octets = ReadOctets(lease, handle, CKA_LABEL);
  const auto object_class = ReadNumber(lease, handle, CKA_CLASS);
  if (label_octets.has_error() || object_class.has_error()) return Ok();
  const std::string label = AsText(label_octets.value());
  const CK_ULONG kind = object_class.value();
  if (const std::uint32_t n = GenerationIn(label, kKekRole); n > 0 && kind == CKO_SECRET_KEY) {
    return AddOnce(keks_, n, handle, label);
  }
  if (const std::uint32_t n = GenerationIn(label, kMacRole); n > 0 && kind == CKO_SECRET_KEY) {
    return AddOnce(macs_, n, handle, label);
  }
  for (const auto& [role, private_keys, public_keys] :
       {std::tuple(kSignRole, &sign_private_, &sign_public_),
        std::tuple(kTransferRole, &transfer_private_, &transfer_public_)}) {
    const std::uint32_t n = GenerationIn(label, role);
    if (n > 0 && kind == CKO_PRIVATE_KEY) return AddOnce(*private_keys, n, handle, label);
    if (n > 0 && kind == CKO_PUBLIC_KEY) return AddOnce(*public_keys, n, handle, label);
  }
  return Ok();
}

Status TokenKeys::Find(SessionLease& lease) {
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> objects, AllTokenObjects(lease));
  for (const CK_OBJECT_HANDLE handle : objects) SKMS_TRYV(Add(lease, handle));
  return Ok();
}

TokenKeyGenerations TokenKeys::generations() const {
  return {Newest(keks_), Newest(macs_), Newest(sign_private_), Newest(transfer_private_)};
}

HeldGenerations TokenKeys::held() const {
  return {GenerationsOf(keks_), GenerationsOf(macs_), GenerationsOf(sign_private_),
          GenerationsOf(transfer_private_)};
}

Status TokenKeys::CheckComplete() const {
  const TokenKeyGenerations newest = generations();
  std::string missing;
  for (const auto& [role, generation] :
       {std::pair(kKekRole, newest.kek), std::pair(kMacRole, newest.mac), std::pair(kSignRole, newest.sign),
        std::pair(kTransferRole, newest.transfer)}) {
    if (generation == 0) missing += (missing.empty() ? "" : ", ") + TokenKeyLabel(role, 1);
  }
  if (!missing.empty()) {
    return Error{ErrorCode::kTokenBlank, "the token holds no " + missing + "; run: skmsctl init"};
  }
  for (const auto& [private_keys, public_keys] :
       {std::pair(&sign_private_, &sign_public_), std::pair(&transfer_private_, &transfer_public_)}) {
    for (const auto& [generation, handle] : *private_keys) {
      if (public_keys->count(generation) == 0)
        return IntegrityError(
            "the token has a private key of ours without its public key; restore the token");
    }
  }
  return Ok();
}

Status TokenKeys::CheckPresent(Token& token) {
  TokenKeys keys;
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRYV(keys.Find(lease));
  return keys.CheckComplete();
}

Result<TokenKeys> TokenKeys::Resolve(Token& token, const Capabilities& capabilities) {
  TokenKeys keys;
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRYV(keys.Find(lease));
  SKMS_TRYV(keys.CheckComplete());
  SKMS_TRYV(keys.CheckProtected(lease));
  for (const auto& [generation, handle] : keys.sign_private_) {
    SKMS_TRY(const CK_ULONG type, ReadNumber(lease, handle, CKA_KEY_TYPE));
    if (type == CKK_EC) keys.ec_signs_.insert(generation);
  }
  SKMS_TRYV(keys.ProveSecrets(lease, capabilities));
  SKMS_TRYV(keys.ProvePairs(lease, capabilities));
  return keys;
}

Status TokenKeys::CheckProtected(SessionLease& lease) const {
  for (const Handles* handles : {&keks_, &macs_, &sign_private_, &transfer_private_}) {
    for (const auto& [generation, handle] : *handles) {
      SKMS_TRY(const bool sensitive, ReadFlag(lease, handle, CKA_SENSITIVE));
      SKMS_TRY(const bool extractable, ReadFlag(lease, handle, CKA_EXTRACTABLE));
      if (sensitive && !extractable) continue;
      return IntegrityError(
          "a key of ours (generation " + std::to_string(generation) +
          ") is not sensitive or may leave the token: somebody else made it; run skmsctl token probe");
    }
  }
  return Ok();
}

Status TokenKeys::ProveSecrets(SessionLease& lease, const Capabilities& capabilities) const {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(capabilities));
  const KeySpec probe_key{KeyKind::kAes, 32};
  for (const auto& [generation, handle] : keks_) {
    SKMS_TRY(const SessionObject key, GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate(probe_key), 32));
    const auto broken = [&kek = generation](const Error& error) {
      // The token's way or the token's trouble, not the key's.
      if (error.code == ErrorCode::kUnsupported || TroubleIn(error.rv) != Trouble::kNone) return error;
      return IntegrityError(TokenKeyLabel(kKekRole, kek) +
                            " does not work; restore the token: " + error.detail);
    };
    const auto blob = Wrap(lease, &kwp, handle, key.handle());
    if (blob.has_error()) return broken(blob.error());
    const auto back = Unwrap(lease, &kwp, handle, blob.value(), ValKeyTemplate(probe_key),
                             ProtectionOn(capabilities, true));
    if (back.has_error()) return broken(back.error());
  }
  for (const auto& [generation, handle] : macs_) {
    const auto mac = HmacInToken(lease, handle, AsBytes("skms"));
    if (mac.has_error() && TroubleIn(mac.error().rv) != Trouble::kNone) return mac.error();
    if (mac.has_error())
      return IntegrityError(TokenKeyLabel(kMacRole, generation) + " does not work: " + mac.error().detail);
  }
  return Ok();
}

Status TokenKeys::ProvePairs(SessionLease& lease, const Capabilities& capabilities) const {
  const Sha256Digest digest = Sha256(AsBytes("skms"));
  for (const auto& [generation, handle] : sign_private_) {
    const bool ec = ec_signs_.count(generation) > 0;
    SKMS_TRY(const Bytes signature, SignDigest(lease, handle, ec, digest));
    SKMS_TRYV(VerifyDigest(lease, sign_public_.at(generation), ec, digest, signature));
  }
  if (!capabilities.oaep_hash) return Error{ErrorCode::kUnsupported, "this token has no RSA-OAEP"};
  SKMS_TRY(const SessionObject key,
           GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate({KeyKind::kAes, 32}), 32));
  OaepMechanism oaep(*capabilities.oaep_hash);
  for (const auto& [generation, handle] : transfer_private_) {
    SKMS_TRY(const Bytes block, Wrap(lease, oaep.get(), transfer_public_.at(generation), key.handle()));
    const auto back = Unwrap(lease, oaep.get(), handle, block, ValKeyTemplate({KeyKind::kAes, 32}),
                             ProtectionOn(capabilities, true));
    if (back.has_error()) {
      return IntegrityError(TokenKeyLabel(kTransferRole, generation) +
                            " does not work: " + back.error().detail);
    }
  }
  return Ok();
}

namespace {

Status CreateSecret(SessionLease& lease, CK_MECHANISM_TYPE mechanism, AttributeTemplate attributes,
                    const std::string& label) {
  attributes.Text(CKA_LABEL, label).Text(CKA_ID, label).Number(CKA_VALUE_LEN, 32);
  CK_MECHANISM generate{mechanism, nullptr, 0};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  return lease.Check("C_GenerateKey", lease.p11()->C_GenerateKey(lease.handle(), &generate, attributes.data(),
                                                                 attributes.size(), &handle));
}

}  // namespace

Status TokenKeys::CreateMissing(Token& token, const Capabilities& capabilities) {
  TokenKeys present;
  SKMS_TRY(SessionLease lease, token.Lease());
  SKMS_TRYV(present.Find(lease));
  const TokenKeyGenerations have = present.generations();
  if (have.kek == 0) {
    SKMS_TRYV(
        CreateSecret(lease, CKM_AES_KEY_GEN,
                     SecretKeyTemplate(CKK_AES, Lifetime::kToken, false, {.wrap = true, .unwrap = true}),
                     TokenKeyLabel(kKekRole, 1)));
  }
  if (have.mac == 0) {
    SKMS_TRYV(CreateSecret(
        lease, CKM_GENERIC_SECRET_KEY_GEN,
        SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kToken, false, {.sign = true, .verify = true}),
        TokenKeyLabel(kMacRole, 1)));
  }
  if (have.sign == 0) {
    const std::string label = TokenKeyLabel(kSignRole, 1);
    const KeyUsage verifies{.verify = true};
    const KeyUsage signs{.sign = true};
    if (capabilities.ecdsa) {
      SKMS_TRYV(GenerateP256(lease, Lifetime::kToken, verifies, signs, false, label));
    } else {
      SKMS_TRYV(GenerateRsaPair(lease, kTransferBits, Lifetime::kToken, verifies, signs, label));
    }
  }
  if (have.transfer == 0) {
    SKMS_TRYV(GenerateRsaPair(lease, kTransferBits, Lifetime::kToken, {.wrap = true}, {.unwrap = true},
                              TokenKeyLabel(kTransferRole, 1)));
  }
  return Ok();
}

Result<HeldGenerations> TokenKeys::HeldBy(SessionLease& lease) {
  TokenKeys keys;
  SKMS_TRYV(keys.Find(lease));
  return keys.held();
}

Status TokenKeys::DestroyBefore(Token& token, const TokenKeyGenerations& keep,
                                HeldGenerations& destroyed) const {
  struct Part {
    const Handles& handles;
    std::uint32_t keep;
    std::set<std::uint32_t>& destroyed;
  };
  // The KEK last: what is cut off here can be done again.
  const Part parts[] = {{transfer_private_, keep.transfer, destroyed.transfer},
                        {transfer_public_, keep.transfer, destroyed.transfer},
                        {sign_private_, keep.sign, destroyed.sign},
                        {macs_, keep.mac, destroyed.mac},
                        {keks_, keep.kek, destroyed.kek}};
  SKMS_TRY(SessionLease lease, token.Lease());
  for (const Part& part : parts) {
    for (const auto& [generation, handle] : part.handles) {
      if (generation >= part.keep) continue;
      SKMS_TRYV(lease.Check("C_DestroyObject", lease.p11()->C_DestroyObject(lease.handle(), handle)));
      part.destroyed.insert(generation);
    }
  }
  return Ok();
}

Result<CK_OBJECT_HANDLE> TokenKeys::At(const Handles& handles, std::string_view role,
                                       std::uint32_t generation) {
  const auto found = handles.find(generation);
  if (found == handles.end()) return NotFound("the token has no " + TokenKeyLabel(role, generation));
  return found->second;
}

}  // namespace skms::hsm
