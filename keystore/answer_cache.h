// AnswerCache: what the token said before, to be said again without it: which rows had the right MAC, and
// which ciphertext a key makes for a recipient. Nothing secret is in it.
//
// Each answer lies under a digest of all that it was given for: a row that was changed, a key that was made
// or wrapped anew, another recipient find nothing. What the database and the directory say is asked for each
// request as ever; only the token is not. The token keys' end empties it (Clear).
//
// Thread-safe; bounded in bytes, the least recently used go first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/digest.h"
#include "hsm/crypto_module.h"
#include "hsm/wrapped_key.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

class AnswerCache {
 public:
  /// `most_bytes` 0: keeps nothing.
  explicit AnswerCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// As keystore::CheckRowMac, which is asked where it is not known.
  Status CheckRowMac(hsm::CryptoModule& module, const RowFields& fields, const RowMac& mac,
                     const std::string& row);
  /// The token made this MAC just now.
  void Learn(const RowFields& fields, const RowMac& mac);
  /// As CryptoModule::RewrapFor, which is asked where it is not known, and always for a key for TRUSTED
  /// recipients: whether one still is, the token alone can say.
  Result<hsm::DeliveredKey> RewrapFor(hsm::CryptoModule& module, const hsm::Recipient& recipient,
                                      const hsm::WrappedKey& key, const hsm::KeySpec& spec,
                                      ByteView public_key);
  /// What the token was asked before this is not kept any more, also where its answer comes later.
  void Clear();

 private:
  struct Entry {
    Sha256Digest name;
    std::optional<hsm::DeliveredKey> key;  ///< nullopt: a row
    std::size_t bytes = 0;
  };
  using Entries = std::list<Entry>;

  bool Knows(const Sha256Digest& name, std::optional<hsm::DeliveredKey>& key);
  std::uint64_t era() const;
  void Keep(Entry entry, std::uint64_t era);

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  Entries by_use_;  ///< the last used first
  std::map<Sha256Digest, Entries::iterator> by_name_;
  std::size_t bytes_ = 0;
  std::uint64_t era_ = 0;
};

}  // namespace skms::keystore
