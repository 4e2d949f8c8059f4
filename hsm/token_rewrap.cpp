// RewrapUnderKek: a wrapped key goes from one generation of the KEK to the one in use, inside the token.
#include <utility>

#include "hsm/crypto_module_state.h"
#include "hsm/key_operations.h"

namespace skms::hsm {
namespace {

Status CheckFormat(const WrappedKey& key) {
  if (key.format == kFormatRfc5649) return Ok();
  return Error{ErrorCode::kNewerSchema,
               "a key is wrapped in format '" + key.format + "', which this version cannot open"};
}

Result<WrappedKey> Rewrap(const OpenToken& open, std::uint32_t generation, const WrappedKey& key,
                          const KeySpec& spec, ByteView public_key) {
  SKMS_TRY(CK_MECHANISM kwp, KwpMechanism(open.capabilities));
  SKMS_TRY(const CK_OBJECT_HANDLE from, open.keys.kek(key.kek_generation));
  SKMS_TRY(const CK_OBJECT_HANDLE to, open.keys.kek(generation));
  SKMS_TRY(SessionLease lease, open.token->Lease());
  const auto unwrap = [&](CK_OBJECT_HANDLE kek, const Bytes& blob) -> Result<SessionObject> {
    SKMS_TRY(AttributeTemplate attributes, UnwrapTemplate(spec, open.capabilities, public_key));
    return Unwrap(lease, &kwp, kek, blob, std::move(attributes), ProtectionOn(open.capabilities, true));
  };
  WrappedKey out{generation, key.format, {}};
  {
    SKMS_TRY(const SessionObject target, unwrap(from, key.bytes));
    SKMS_TRY(out.bytes, Wrap(lease, &kwp, to, target.handle()));
  }
  // The old form will be gone: what the new one opens to must be the same key. RFC 5649 has no randomness, so
  // the same key under the old KEK is the same octets. A private key's PKCS#8 may be another token's, who
  // writes it otherwise; that it opens must do there.
  SKMS_TRY(const SessionObject again, unwrap(to, out.bytes));
  if (spec.kind == KeyKind::kEcPrivate) return out;
  SKMS_TRY(const Bytes same, Wrap(lease, &kwp, from, again.handle()));
  if (same == key.bytes) return out;
  return Error{ErrorCode::kToken, "a key that was wrapped anew opens to another key; the old form is kept"};
}

}  // namespace

Result<WrappedKey> CryptoModule::RewrapUnderKek(const WrappedKey& key, const KeySpec& spec,
                                                ByteView public_key) {
  SKMS_TRYV(CheckFormat(key));
  const std::uint32_t generation = state_->use().kek;
  const bool ec = spec.kind == KeyKind::kEcPrivate;
  const auto can = [&](const KnownToken& known) {
    return known.held.kek.count(key.kek_generation) > 0 && known.held.kek.count(generation) > 0 &&
           (!ec || known.capabilities.wraps_ec);
  };
  return state_->Run(can,
                     [&](const OpenToken& open) { return Rewrap(open, generation, key, spec, public_key); });
}

}  // namespace skms::hsm
