#include "hsm/probe_trusted.h"

#include <algorithm>

#include "hsm/key_operations.h"
#include "hsm/probe_row.h"
#include "hsm/strict_checks.h"
#include "hsm/strict_template.h"

namespace skms::hsm {
namespace {

Result<SessionObject> MakeKek(SessionLease& lease, CK_ATTRIBUTE_TYPE which, AttributeTemplate demanded) {
  AttributeTemplate kek =
      SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true});
  kek.Nested(which, std::move(demanded));
  return GenerateSecret(lease, CKM_AES_KEY_GEN, std::move(kek), 32);
}

// What is refused leaves an object behind on SoftHSM, until its session is closed: each of these spoils its
// own.

Status TryWrapWithTrusted(Token& token, CK_MECHANISM* kwp) {
  SKMS_TRY(SessionLease lease, token.Lease());
  lease.Spoil();
  SKMS_TRY(const SessionObject kek,
           GenerateSecret(lease, CKM_AES_KEY_GEN,
                          SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true}), 32));
  SKMS_TRY(const SessionObject key, GenerateStrict(lease, 32));
  SKMS_TRYV(CheckNotWrapped(lease, kwp, kek.handle(), key.handle()));
  return CheckStaysStrict(lease, key.handle());
}

/// What is wrapped here is an ordinary key: no KEK that the user can make wraps a strict one.
Status TryUnwrapTemplate(Token& token, CK_MECHANISM* kwp) {
  SKMS_TRY(SessionLease lease, token.Lease());
  lease.Spoil();
  SKMS_TRY(const SessionObject kek, MakeKek(lease, CKA_UNWRAP_TEMPLATE, StrictKeyTemplate()));
  AttributeTemplate ordinary = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
  SKMS_TRY(const SessionObject key,
           GenerateSecret(lease, CKM_GENERIC_SECRET_KEY_GEN, std::move(ordinary), 32));
  SKMS_TRY(const Bytes blob, Wrap(lease, kwp, kek.handle(), key.handle()));
  return CheckUnwrapsStrictAlone(lease, kwp, kek.handle(), blob);
}

Status TryWrapTemplate(Token& token, CK_MECHANISM* kwp) {
  SKMS_TRY(SessionLease lease, token.Lease());
  lease.Spoil();
  SKMS_TRY(const SessionObject kek, MakeKek(lease, CKA_WRAP_TEMPLATE, StrictWrapTemplate()));
  return CheckWrapsStrictAlone(lease, kwp, kek.handle());
}

Status TryMarkTrusted(Token& token) {
  SKMS_TRY(SessionLease lease, token.Lease());
  lease.Spoil();
  return CheckUserMarksNothing(lease);
}

}  // namespace

Status ProbeTrusted(Token& token, Capabilities& can) {
  if (!can.kwp_mechanism || !can.oaep_hash) {
    for (const char* name : kTrustedRows)
      can.rows.push_back({name, Finding::kNo, "not tried: the token does not wrap by RFC 5649 and RSA-OAEP"});
    return Ok();
  }
  CK_MECHANISM kwp{*can.kwp_mechanism, nullptr, 0};
  const std::size_t first = can.rows.size();
  can.rows.push_back(RowFor(kTrustedRows[0], TryWrapWithTrusted(token, &kwp),
                            "a key that is not TRUSTED is refused; that a TRUSTED one is not shows: skmsctl "
                            "token make-strict-kek"));
  can.rows.push_back(RowFor(kTrustedRows[1], TryUnwrapTemplate(token, &kwp),
                            "nothing weaker comes out than a KEK's CKA_UNWRAP_TEMPLATE says"));
  can.rows.push_back(RowFor(kTrustedRows[2], TryWrapTemplate(token, &kwp),
                            "a KEK's CKA_WRAP_TEMPLATE refuses a key that goes to anybody"));
  can.rows.push_back(RowFor(kTrustedRows[3], TryMarkTrusted(token), "the user cannot set CKA_TRUSTED"));
  can.enforces_trusted = std::all_of(can.rows.begin() + static_cast<std::ptrdiff_t>(first), can.rows.end(),
                                     [](const CapabilityRow& row) { return row.finding == Finding::kYes; });
  return Ok();
}

std::string TrustedShortfall(const Capabilities& capabilities) {
  std::string lines;
  for (const CapabilityRow& row : capabilities.rows) {
    const bool ours = std::find(kTrustedRows.begin(), kTrustedRows.end(), row.name) != kTrustedRows.end();
    if (ours && row.finding != Finding::kYes)
      lines += (lines.empty() ? "" : "; ") + row.name + ": " + row.detail;
  }
  return lines;
}

}  // namespace skms::hsm
