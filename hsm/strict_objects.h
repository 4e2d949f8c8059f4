// StrictObjects: what the security officer made on the token for strict recipients: the strict KEKs and the
// recipients' TRUSTED keys. Looked for at the opening of a token and when an administrator says that there is
// more, never on a request.
//
// Only what is TRUSTED counts, which nobody but the security officer can make it: what the user puts under
// the same names is not even seen. A KEK that fails its proof is passed over with an error in the log.
//
// Thread-safe: a request works on the set that was found last.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/digest.h"
#include "hsm/capabilities.h"
#include "hsm/token.h"

namespace skms::hsm {

inline constexpr const char* kStrictKekRole = "strict-kek";
/// Labels of recipients begin so, and go on with 16 hex digits of the SHA-256 of the SubjectPublicKeyInfo.
inline constexpr const char* kTrustedRecipientLabel = "skms-recipient-";
std::string TrustedRecipientLabel(ByteView spki_sha256);

class StrictObjects {
 public:
  /// `stranger`: a public key that is not TRUSTED, to prove KEKs with. Errors: the token's.
  static Result<std::shared_ptr<StrictObjects>> Resolve(Token& token, const Capabilities& capabilities,
                                                        CK_OBJECT_HANDLE stranger);
  /// Becomes what another look at the same token found.
  void Become(const StrictObjects& newer);

  struct Kek {
    std::uint32_t generation = 0;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  };
  /// kUnsupported: the token has none that works.
  Result<Kek> NewestKek() const;
  /// kUnsupported: the token has no such one that works.
  Result<CK_OBJECT_HANDLE> KekOf(std::uint32_t generation) const;
  /// kRecipientNotTrusted; kInvalidArgument: no RSA key that we use.
  Result<CK_OBJECT_HANDLE> Recipient(ByteView spki) const;

  std::uint32_t newest_generation() const;  ///< 0: none
  std::vector<std::uint32_t> generations() const;
  std::size_t recipients() const;
  /// Which KEKs and which keys: hex, another one where any of them is another.
  std::string fingerprint() const;

 private:
  struct Found {
    std::map<std::uint32_t, CK_OBJECT_HANDLE> keks;
    std::map<Sha256Digest, CK_OBJECT_HANDLE> recipients;
  };
  static Result<Found> Find(SessionLease& lease, const Capabilities& capabilities, CK_OBJECT_HANDLE stranger);
  std::shared_ptr<const Found> found() const;

  mutable std::mutex mutex_;
  std::shared_ptr<const Found> found_ = std::make_shared<const Found>();
};

/// The SHA-256 that a recipient is known by: of its SubjectPublicKeyInfo as we write it. kInvalidArgument.
Result<Sha256Digest> TrustedRecipientDigest(ByteView spki);

}  // namespace skms::hsm
