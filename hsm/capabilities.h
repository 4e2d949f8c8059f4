// Capabilities: what this token really does, found by trying it at start (never by its name or its mechanism
// list).
//
// An immutable value after Probe; safe to share between threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace skms::hsm {

enum class Finding {
  kYes,   ///< tried, worked, result checked
  kNo,    ///< tried, refused: something we can do without, or do another way
  kWarn,  ///< works, but weakens what we promise (e.g. SHA-1 OAEP only)
  kFail,  ///< we cannot run safely on this token
};

/// One line of `skmsctl token probe`.
struct CapabilityRow {
  std::string name;  ///< e.g. "wrap RFC 5649 (KWP)"
  Finding finding = Finding::kNo;
  std::string detail;  ///< e.g. "mechanism 0x210A, compared with a software RFC 5649"
};

enum class OaepHash { kSha1, kSha256 };

/// CK_GCM_PARAMS: six fields since PKCS#11 2.40 errata 1, five (no ulIvBits) in headers before.
enum class GcmLayout { kSixFields, kFiveFields };

struct Capabilities {
  std::vector<CapabilityRow> rows;

  /// Mechanism number that gave RFC 5649 bytes here; nullopt: the token cannot wrap that way.
  std::optional<unsigned long> kwp_mechanism;
  /// Strongest OAEP hash (with the same MGF1 hash) that worked; nullopt: no OAEP at all.
  std::optional<OaepHash> oaep_hash;
  bool kwp_keeps_odd_lengths = false;
  bool unwrap_accepts_value_len = false;
  bool unwrap_leaves_out_extractable = false;  ///< EXTRACTABLE=1 in an unwrap template is refused
  bool unwrap_honours_sensitive = false;
  bool unwrap_protects = false;  ///< SENSITIVE=1, EXTRACTABLE=0 hold: honoured, or set after the unwrap
  bool refuses_wrapping_unextractable = false;
  bool ec_p256 = false;
  bool ecdsa = false;
  bool rsa_pss = false;
  bool tells_local = false;  ///< CKA_LOCAL of a generated key is true
  bool wraps_ec = false;     ///< an EC private key wraps under KWP and comes back whole
  bool unwrap_ec_needs_nss_db = false;
  bool ecdh = false;           ///< CKM_ECDH1_DERIVE without KDF
  bool ecdh_kdf_p256 = false;  ///< with the X9.63 KDF of SHA-256, same key as a software one
  bool ecdh_kdf_p384 = false;
  bool rsa_aes_native = false;  ///< CKM_RSA_AES_KEY_WRAP
  bool cbc_pad_wrap = false;    ///< CKM_AES_CBC_PAD wraps and unwraps: no integrity, so no substitute for KWP
  bool aes_gcm = false;         ///< encrypts as a software AES-GCM does, and tells a changed tag
  GcmLayout gcm_layout = GcmLayout::kSixFields;
  bool enforces_trusted = false;  ///< every row of probe_trusted.h: a service may have strict recipients
  bool aes_key_wrap = false;      ///< CKM_AES_KEY_WRAP gives RFC 3394 bytes (A256KW of JOSE)

  /// False when any row is kFail.
  bool usable() const;
};

}  // namespace skms::hsm
