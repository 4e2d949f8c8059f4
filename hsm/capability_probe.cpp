#include "hsm/capability_probe.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "hsm/key_operations.h"
#include "hsm/openssl_keys.h"
#include "hsm/probe_delivery.h"
#include "hsm/probe_mechanisms.h"
#include "hsm/probe_trusted.h"

namespace skms::hsm {
namespace {

std::string Hex(CK_MECHANISM_TYPE mechanism) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%04lX", mechanism);
  return text.data();
}

/// One try after another on leased sessions; each try takes a lease of its own, so that a spoilt one hurts no
/// other.
class Probe {
 public:
  explicit Probe(Token& token) : token_(token) {}

  Result<Capabilities> Run() {
    SKMS_TRYV(ProbeRandom());
    SKMS_TRYV(ProbeKeyWrap());
    SKMS_TRYV(ProbeCbcPad());
    SKMS_TRYV(ProbeUnwrapAttributes());
    SKMS_TRYV(ProbeUnextractable());
    SKMS_TRYV(ProbeLocal());
    SKMS_TRYV(ProbeMac());
    SKMS_TRYV(ProbeDelivery(token_, capabilities_));
    SKMS_TRYV(ProbeMechanisms(token_, capabilities_));
    SKMS_TRYV(ProbeTrusted(token_, capabilities_));
    return std::move(capabilities_);
  }

 private:
  void Row(std::string name, Finding finding, std::string detail) {
    capabilities_.rows.push_back({std::move(name), finding, std::move(detail)});
  }

  Status ProbeRandom() {
    SKMS_TRY(SessionLease lease, token_.Lease());
    Bytes octets(32);
    const Status drawn = lease.Check(
        "C_GenerateRandom", lease.p11()->C_GenerateRandom(lease.handle(), octets.data(), octets.size()));
    const bool some = std::any_of(octets.begin(), octets.end(), [](std::uint8_t byte) { return byte != 0; });
    Row("random numbers", drawn.has_value() && some ? Finding::kYes : Finding::kFail,
        drawn.has_value() ? "C_GenerateRandom" : drawn.error().detail);
    return Ok();
  }

  /// A known secret under a known AES-256 key, compared with a software RFC 5649: the octets tell it from RFC
  /// 3394 and from PKCS#7 padding, whatever number the module gives it.
  Status ProbeKeyWrap() {
    const Bytes kek(32, 0x5A);
    const Bytes secret(32, 0xC3);
    SKMS_TRY(const Bytes expected, WrapRfc5649(kek, secret));
    std::string tried;
    for (const CK_MECHANISM_TYPE mechanism :
         {kMechanismAesKeyWrapKwp, CK_MECHANISM_TYPE{CKM_AES_KEY_WRAP_PAD}}) {
      const auto wrapped = WrapKnown(mechanism, kek, secret);
      if (wrapped.has_value() && wrapped.value() == expected) {
        capabilities_.kwp_mechanism = mechanism;
        Row("wrap RFC 5649 (KWP)", Finding::kYes,
            "mechanism " + Hex(mechanism) + ", same bytes as a software RFC 5649");
        return ProbeOddLength(mechanism, kek);
      }
      tried += (tried.empty() ? "" : "; ") + Hex(mechanism) + ": " +
               (wrapped.has_value() ? std::to_string(wrapped.value().size()) + " other bytes"
                                    : wrapped.error().detail);
    }
    Row("wrap RFC 5649 (KWP)", Finding::kFail, tried);
    return Ok();
  }

  /// Secrets have 16 or 32 octets here, but a PKCS#8 private key may have any number.
  Status ProbeOddLength(CK_MECHANISM_TYPE mechanism, ByteView kek) {
    const Bytes secret(21, 0xC3);
    SKMS_TRY(const Bytes expected, WrapRfc5649(kek, secret));
    const auto wrapped = WrapKnown(mechanism, kek, secret);
    const bool kept = wrapped.has_value() && wrapped.value() == expected;
    capabilities_.kwp_keeps_odd_lengths = kept;
    Row("KWP keeps odd lengths", kept ? Finding::kYes : Finding::kNo,
        kept ? "21 octets stay 21" : "padded with zeros to 8: octets may follow a PKCS#8 private key");
    return Ok();
  }

  Result<Bytes> WrapKnown(CK_MECHANISM_TYPE mechanism, ByteView kek, ByteView secret) {
    SKMS_TRY(SessionLease lease, token_.Lease());
    AttributeTemplate wrapping = SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true});
    wrapping.Octets(CKA_VALUE, kek);
    SKMS_TRY(const SessionObject with, Create(lease, std::move(wrapping)));
    AttributeTemplate target = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
    target.Octets(CKA_VALUE, secret);
    SKMS_TRY(const SessionObject key, Create(lease, std::move(target)));
    CK_MECHANISM wrap{mechanism, nullptr, 0};
    return Wrap(lease, &wrap, with.handle(), key.handle());
  }

  /// A wrapping key and a key wrapped under it, both of this session.
  struct Wrapped {
    SessionObject kek;
    Bytes blob;
  };
  Result<Wrapped> MakeWrapped(SessionLease& lease, CK_MECHANISM* mechanism) {
    SKMS_TRY(SessionObject kek,
             GenerateSecret(
                 lease, CKM_AES_KEY_GEN,
                 SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {.wrap = true, .unwrap = true}), 32));
    SKMS_TRY(const SessionObject key,
             GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate({KeyKind::kAes, 32}), 32));
    SKMS_TRY(Bytes blob, Wrap(lease, mechanism, kek.handle(), key.handle()));
    return Wrapped{std::move(kek), std::move(blob)};
  }

  /// All that some tokens have. A changed blob unwraps there to another key with CKR_OK.
  Status ProbeCbcPad() {
    SKMS_TRY(SessionLease lease, token_.Lease());
    CK_MECHANISM mechanism{CKM_AES_CBC_PAD, iv_.data(), iv_.size()};
    const auto made = MakeWrapped(lease, &mechanism);
    Status works = made.has_error() ? Status(made.error()) : Ok();
    if (works.has_value()) {
      Bytes blob = made.value().blob;
      AttributeTemplate least;
      least.Number(CKA_CLASS, CKO_SECRET_KEY).Number(CKA_KEY_TYPE, CKK_AES).Flag(CKA_TOKEN, false);
      CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
      works = lease.Check("C_UnwrapKey", lease.p11()->C_UnwrapKey(
                                             lease.handle(), &mechanism, made.value().kek.handle(),
                                             blob.data(), blob.size(), least.data(), least.size(), &handle));
      if (works.has_value()) const SessionObject back(lease, handle);
    }
    capabilities_.cbc_pad_wrap = works.has_value();
    Row("wrap AES-CBC-PAD", works.has_value() ? Finding::kYes : Finding::kNo,
        works.has_value() ? "works, but has no integrity: no key is kept that way" : works.error().detail);
    return Ok();
  }

  /// What the rows about unwrapping are tried with: RFC 5649, else what there is.
  std::optional<CK_MECHANISM> Wrapping() {
    if (capabilities_.kwp_mechanism) return CK_MECHANISM{*capabilities_.kwp_mechanism, nullptr, 0};
    if (capabilities_.cbc_pad_wrap) return CK_MECHANISM{CKM_AES_CBC_PAD, iv_.data(), iv_.size()};
    return std::nullopt;
  }

  Status ProbeUnwrapAttributes() {
    std::optional<CK_MECHANISM> found = Wrapping();
    if (!found) return Ok();
    CK_MECHANISM mechanism = *found;
    SKMS_TRY(SessionLease lease, token_.Lease());
    auto made = MakeWrapped(lease, &mechanism);
    if (made.has_error()) {
      Row("unwrap", Finding::kFail, made.error().detail);
      return Ok();
    }
    const Wrapped& wrapped = made.value();
    SKMS_TRYV(ProbeTemplate(lease, &mechanism, wrapped));
    SKMS_TRYV(ProbeHonoured(lease, &mechanism, wrapped));
    AttributeTemplate with_length = ValKeyTemplate({KeyKind::kAes, 32});
    with_length.Number(CKA_VALUE_LEN, 32);
    const auto accepted = Unwrap(lease, &mechanism, wrapped.kek.handle(), wrapped.blob,
                                 std::move(with_length), ProtectionOn(capabilities_, true));
    capabilities_.unwrap_accepts_value_len = accepted.has_value();
    Row("VALUE_LEN in an unwrap template", accepted.has_value() ? Finding::kYes : Finding::kNo,
        accepted.has_value() ? "accepted, not needed" : accepted.error().detail + ", not needed");
    return Ok();
  }

  /// The template of a VAL key, in full or without what some tokens refuse.
  Status ProbeTemplate(SessionLease& lease, CK_MECHANISM* mechanism, const Wrapped& wrapped) {
    const auto tried = [&](Protection protection) -> Status {
      SKMS_TRY(const SessionObject back, Unwrap(lease, mechanism, wrapped.kek.handle(), wrapped.blob,
                                                ValKeyTemplate({KeyKind::kAes, 32}), protection));
      return Ok();
    };
    const Status full = tried({.extractable = true});
    const Status without =
        full.has_value() ? Ok() : tried({.extractable = true, .leave_out_extractable = true});
    capabilities_.unwrap_leaves_out_extractable = full.has_error() && without.has_value();
    Row("unwrap template", without.has_value() ? Finding::kYes : Finding::kFail,
        full.has_value()      ? "every attribute that is asked for"
        : without.has_value() ? "EXTRACTABLE is left out: " + full.error().detail
                              : without.error().detail);
    return Ok();
  }

  /// Calls C_UnwrapKey bare: hsm::Unwrap would mend what this row is to show.
  Status ProbeHonoured(SessionLease& lease, CK_MECHANISM* mechanism, const Wrapped& wrapped) {
    AttributeTemplate strict = SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {});
    Bytes blob = wrapped.blob;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    const Status status = lease.Check(
        "C_UnwrapKey", lease.p11()->C_UnwrapKey(lease.handle(), mechanism, wrapped.kek.handle(), blob.data(),
                                                blob.size(), strict.data(), strict.size(), &handle));
    if (status.has_error()) {
      Row("unwrap", Finding::kFail, status.error().detail);
      return Ok();
    }
    const SessionObject object(lease, handle);
    SKMS_TRY(const bool sensitive, ReadFlag(lease, handle, CKA_SENSITIVE));
    SKMS_TRY(const bool extractable, ReadFlag(lease, handle, CKA_EXTRACTABLE));
    const bool honoured = sensitive && !extractable;
    capabilities_.unwrap_honours_sensitive = honoured;
    capabilities_.unwrap_protects = honoured || CheckHidden(lease, handle).has_value();
    Row("SENSITIVE and EXTRACTABLE at unwrap",
        honoured                        ? Finding::kYes
        : capabilities_.unwrap_protects ? Finding::kWarn
                                        : Finding::kFail,
        honoured                        ? "honoured, read back"
        : capabilities_.unwrap_protects ? "ignored; each key is tightened after unwrap, or destroyed"
                                        : "ignored, and cannot be set afterwards");
    return Ok();
  }

  Status ProbeUnextractable() {
    std::optional<CK_MECHANISM> found = Wrapping();
    if (!found) return Ok();
    CK_MECHANISM mechanism = *found;
    SKMS_TRY(SessionLease lease, token_.Lease());
    const KeyUsage wrapper{.wrap = true};
    SKMS_TRY(const SessionObject kek,
             GenerateSecret(lease, CKM_AES_KEY_GEN,
                            SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, wrapper), 32));
    SKMS_TRY(const SessionObject locked,
             GenerateSecret(lease, CKM_AES_KEY_GEN, SecretKeyTemplate(CKK_AES, Lifetime::kSession, false, {}),
                            32));
    const auto wrapped = Wrap(lease, &mechanism, kek.handle(), locked.handle());
    capabilities_.refuses_wrapping_unextractable = wrapped.has_error();
    Row("refuses to wrap a non-extractable key", wrapped.has_error() ? Finding::kYes : Finding::kWarn,
        wrapped.has_error() ? wrapped.error().detail
                            : "it wrapped one: this token does not protect its keys");
    return Ok();
  }

  /// Shown for the operator alone: each key of ours is proven by use.
  Status ProbeLocal() {
    SKMS_TRY(SessionLease lease, token_.Lease());
    const auto key = GenerateSecret(lease, CKM_AES_KEY_GEN, ValKeyTemplate({KeyKind::kAes, 32}), 32);
    if (key.has_error()) {
      Row("AES-256 key generation", Finding::kFail, key.error().detail);
      return Ok();
    }
    const auto local = ReadFlag(lease, key.value().handle(), CKA_LOCAL);
    capabilities_.tells_local = local.has_value() && local.value();
    Row("CKA_LOCAL of a generated key", capabilities_.tells_local ? Finding::kYes : Finding::kNo,
        capabilities_.tells_local ? "true, not relied upon" : "false, not relied upon");
    return Ok();
  }

  Status ProbeMac() {
    SKMS_TRY(SessionLease lease, token_.Lease());
    const KeyUsage signer{.sign = true, .verify = true};
    const auto key =
        GenerateSecret(lease, CKM_GENERIC_SECRET_KEY_GEN,
                       SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, false, signer), 32);
    if (key.has_error()) {
      Row("HMAC-SHA-256", Finding::kFail, key.error().detail);
      return Ok();
    }
    CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
    Bytes message(16, 1);
    Bytes mac(32);
    CK_ULONG size = mac.size();
    Status signed_ok =
        lease.Check("C_SignInit", lease.p11()->C_SignInit(lease.handle(), &mechanism, key.value().handle()));
    if (signed_ok.has_value()) {
      signed_ok = lease.Check(
          "C_Sign", lease.p11()->C_Sign(lease.handle(), message.data(), message.size(), mac.data(), &size));
    }
    Row("HMAC-SHA-256", signed_ok.has_value() && size == 32 ? Finding::kYes : Finding::kFail,
        signed_ok.has_value() ? "with a non-extractable key" : signed_ok.error().detail);
    return Ok();
  }

  Token& token_;
  Bytes iv_ = Bytes(16, 0x1F);  // of the CBC that nothing but the probe uses
  Capabilities capabilities_;
};

}  // namespace

bool Capabilities::usable() const {
  return std::none_of(rows.begin(), rows.end(),
                      [](const CapabilityRow& row) { return row.finding == Finding::kFail; });
}

Result<Capabilities> ProbeCapabilities(Token& token) { return Probe(token).Run(); }

}  // namespace skms::hsm
