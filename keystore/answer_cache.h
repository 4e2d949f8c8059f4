// AnswerCache: what the token said before, to be said again without it: which rows had the right MAC, and
// which ciphertext a key makes for a recipient. Nothing secret is in it.
//
// Each answer lies under a digest of all that it was given for: a row that was changed, a key that was made
// or wrapped anew, another recipient find nothing. What the database and the directory say was asked before;
// only the token is not. The token keys' end empties it (Clear).
//
// Thread-safe; bounded in bytes, the least recently used go first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bounded_cache.h"
#include "hsm/crypto_module.h"
#include "hsm/wrapped_key.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

/// What a recipient is, as octets for a digest; two that differ never give the same.
void AppendRecipient(Bytes& octets, const hsm::Recipient& recipient);

class AnswerCache {
 public:
  /// `most_bytes` 0: keeps nothing.
  explicit AnswerCache(std::size_t most_bytes) : known_(most_bytes) {}

  /// As keystore::CheckRowMac, which is asked where it is not known.
  Status CheckRowMac(hsm::CryptoModule& module, const RowFields& fields, const RowMac& mac,
                     const std::string& row);
  /// Before the token is asked for what Learn is told.
  std::uint64_t era() const { return known_.era(); }
  /// The token made this MAC, asked at `asked`.
  void Learn(const RowFields& fields, const RowMac& mac, std::uint64_t asked);
  /// And wrapped `key` to `recipient` while it made it; `delivered` is what RewrapFor would have given.
  void Learn(const hsm::Recipient& recipient, const hsm::WrappedKey& key, const hsm::KeySpec& spec,
             ByteView public_key, const hsm::DeliveredKey& delivered, std::uint64_t asked);
  /// As CryptoModule::RewrapFor, which is asked where it is not known, and always for a key for TRUSTED
  /// recipients: whether one still is, the token alone can say.
  Result<hsm::DeliveredKey> RewrapFor(hsm::CryptoModule& module, const hsm::Recipient& recipient,
                                      const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                                      ByteView public_key);
  /// What the token was asked before this is not kept any more, also where its answer comes later.
  void Clear() { known_.Clear(); }

 private:
  /// nullopt: a row whose MAC was right.
  BoundedCache<std::optional<hsm::DeliveredKey>> known_;
};

}  // namespace skms::keystore
