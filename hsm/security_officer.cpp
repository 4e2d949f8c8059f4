#include "hsm/security_officer.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "hsm/capability_probe.h"
#include "hsm/openssl_keys.h"
#include "hsm/probe_trusted.h"
#include "hsm/strict_checks.h"
#include "hsm/strict_objects.h"
#include "hsm/strict_template.h"
#include "hsm/token_keys.h"

namespace skms::hsm {
namespace {

TokenOptions FewSessions(TokenOptions options) {
  options.max_sessions = 2;
  return options;
}

struct Prepared {
  Capabilities can;
  std::uint32_t newest = 0;  ///< strict KEK; 0: none
};

/// Every label counts here, proven or not: a name is used once.
Result<std::uint32_t> NewestStrictKek(SessionLease& lease) {
  AttributeTemplate search;
  search.Flag(CKA_TOKEN, true).Number(CKA_CLASS, CKO_SECRET_KEY);
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> keys, FindAll(lease, std::move(search)));
  std::uint32_t newest = 0;
  for (const CK_OBJECT_HANDLE key : keys) {
    const auto label = ReadOctets(lease, key, CKA_LABEL);
    if (label.has_value()) newest = std::max(newest, GenerationIn(AsText(label.value()), kStrictKekRole));
  }
  return newest;
}

Result<Prepared> LookAsUser(const TokenOptions& options, const SecretBytes& pin) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  SKMS_TRY(Capabilities can, ProbeCapabilities(*token));
  if (!can.enforces_trusted) {
    return Error{ErrorCode::kUnsupported,
                 "this token does not enforce strict recipients: " + TrustedShortfall(can)};
  }
  SKMS_TRYV(TokenKeys::Resolve(*token, can));
  SKMS_TRY(SessionLease lease, token->Lease());
  SKMS_TRY(const std::uint32_t newest, NewestStrictKek(lease));
  return Prepared{std::move(can), newest};
}

Status MakeAsOfficer(const TokenOptions& options, const SecretBytes& pin, CK_MECHANISM_TYPE kwp,
                     const std::string& label) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin, {}, LoginAs::kSecurityOfficer));
  SKMS_TRY(SessionLease lease, token->Lease());
  AttributeTemplate kek = StrictKekTemplate(kwp, label);
  kek.Number(CKA_VALUE_LEN, 32);
  CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  return lease.Check("C_GenerateKey",
                     lease.p11()->C_GenerateKey(lease.handle(), &generate, kek.data(), kek.size(), &handle));
}

Status ProveAsUser(const TokenOptions& options, const SecretBytes& pin, const Capabilities& can,
                   std::uint32_t generation) {
  SKMS_TRY(const std::unique_ptr<Token> token, Token::Open(options, pin));
  SKMS_TRY(const TokenKeys keys, TokenKeys::Resolve(*token, can));
  SKMS_TRY(const auto strict, StrictObjects::Resolve(*token, can, keys.newest_transfer_public()));
  SKMS_TRYV(strict->KekOf(generation));
  return Ok();
}

struct RsaNames {
  RsaPublicNumbers numbers;
  Sha256Digest digest;
  std::string label;
};

Result<RsaNames> NamesOf(ByteView spki) {
  RsaNames names;
  SKMS_TRY(names.numbers, RsaNumbersFromSpki(spki));
  SKMS_TRY(names.digest, TrustedRecipientDigest(spki));
  names.label = TrustedRecipientLabel(names.digest);
  return names;
}

/// Public keys of this modulus, by their labels.
Result<std::vector<std::pair<CK_OBJECT_HANDLE, std::string>>> SameKeys(SessionLease& lease,
                                                                       const RsaNames& names) {
  AttributeTemplate search;
  search.Flag(CKA_TOKEN, true).Number(CKA_CLASS, CKO_PUBLIC_KEY).Octets(CKA_MODULUS, names.numbers.modulus);
  SKMS_TRY(const std::vector<CK_OBJECT_HANDLE> handles, FindAll(lease, std::move(search)));
  std::vector<std::pair<CK_OBJECT_HANDLE, std::string>> same;
  for (const CK_OBJECT_HANDLE handle : handles) {
    const auto label = ReadOctets(lease, handle, CKA_LABEL);
    same.emplace_back(handle, label.has_value() ? AsText(label.value()) : "");
  }
  return same;
}

/// Ours: of this label, and TRUSTED. Of the user's own making, it is none.
Result<bool> IsTrusted(SessionLease& lease, CK_OBJECT_HANDLE handle) {
  const auto trusted = ReadFlag(lease, handle, CKA_TRUSTED);
  return trusted.has_value() && trusted.value();
}

}  // namespace

Result<std::uint32_t> MakeStrictKek(const TokenOptions& options, const SecretBytes& user_pin,
                                    const SecretBytes& officer_pin, bool next) {
  const TokenOptions few = FewSessions(options);
  SKMS_TRY(const Prepared found, LookAsUser(few, user_pin));
  if (found.newest > 0 && !next) {
    return AlreadyExists("the token has " + TokenKeyLabel(kStrictKekRole, found.newest) +
                         "; with --next another is made, and new keys are wrapped under it");
  }
  const std::uint32_t generation = found.newest + 1;
  const std::string label = TokenKeyLabel(kStrictKekRole, generation);
  SKMS_TRYV(MakeAsOfficer(few, officer_pin, *found.can.kwp_mechanism, label));
  const Status proven = ProveAsUser(few, user_pin, found.can, generation);
  if (proven.has_error()) {
    Error error = proven.error();
    error.detail = label + " was made, and is not used: " + error.detail;
    return error;
  }
  return generation;
}

Status TrustRecipient(const TokenOptions& options, const SecretBytes& officer_pin, ByteView spki) {
  SKMS_TRY(const RsaNames names, NamesOf(spki));
  SKMS_TRY(const std::unique_ptr<Token> token,
           Token::Open(FewSessions(options), officer_pin, {}, LoginAs::kSecurityOfficer));
  SKMS_TRY(SessionLease lease, token->Lease());
  SKMS_TRY(const auto same, SameKeys(lease, names));
  for (const auto& [handle, label] : same) {
    SKMS_TRY(const bool trusted, IsTrusted(lease, handle));
    if (trusted && label == names.label)
      return AlreadyExists("the key is TRUSTED already, as '" + label + "'");
    return Conflict(
        "the token has this key as '" + label +
        "': with its private half there, whoever is logged in could unwrap what is wrapped to it");
  }
  AttributeTemplate key =
      TrustedRecipientTemplate(names.numbers.modulus, names.numbers.exponent, names.label, names.digest);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  SKMS_TRYV(lease.Check("C_CreateObject",
                        lease.p11()->C_CreateObject(lease.handle(), key.data(), key.size(), &handle)));
  SKMS_TRY(const bool trusted, IsTrusted(lease, handle));
  if (trusted) return Ok();
  SKMS_TRYV(lease.Check("C_DestroyObject", lease.p11()->C_DestroyObject(lease.handle(), handle)));
  return Error{ErrorCode::kUnsupported, "the token does not keep CKA_TRUSTED of a public key"};
}

Status DistrustRecipient(const TokenOptions& options, const SecretBytes& officer_pin, ByteView spki) {
  SKMS_TRY(const RsaNames names, NamesOf(spki));
  SKMS_TRY(const std::unique_ptr<Token> token,
           Token::Open(FewSessions(options), officer_pin, {}, LoginAs::kSecurityOfficer));
  SKMS_TRY(SessionLease lease, token->Lease());
  SKMS_TRY(const auto same, SameKeys(lease, names));
  bool found = false;
  for (const auto& [handle, label] : same) {
    SKMS_TRY(const bool trusted, IsTrusted(lease, handle));
    if (!trusted || label != names.label) continue;
    SKMS_TRYV(lease.Check("C_DestroyObject", lease.p11()->C_DestroyObject(lease.handle(), handle)));
    found = true;
  }
  return found ? Ok() : Status(NotFound("the key is not TRUSTED on this token"));
}

}  // namespace skms::hsm
