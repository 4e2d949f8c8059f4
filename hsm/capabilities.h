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

struct Capabilities {
  std::vector<CapabilityRow> rows;

  /// Mechanism number that gave RFC 5649 bytes here; nullopt: the token cannot wrap that way.
  std::optional<unsigned long> kwp_mechanism;
  /// Strongest OAEP hash (with the same MGF1 hash) that worked; nullopt: no OAEP at all.
  std::optional<OaepHash> oaep_hash;
  bool unwrap_accepts_value_len = false;
  bool unwrap_honours_sensitive = false;
  bool refuses_wrapping_unextractable = false;
  bool ec_p256 = false;
  bool ecdsa = false;
  bool rsa_pss = false;
  bool aes_gcm = false;       ///< encrypts as a software AES-GCM does, and tells a changed tag
  bool aes_key_wrap = false;  ///< CKM_AES_KEY_WRAP gives RFC 3394 bytes (A256KW of JOSE)

  /// False when any row is kFail.
  bool usable() const;
};

}  // namespace skms::hsm
