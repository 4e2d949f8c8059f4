// KeyGroup: what our keys are, whichever token holds them. A label proves nothing: a token that comes back,
// or one of several, is let in only if what it holds under our labels is what the others hold.
//
// Known are the MAC of a fixed text for each MAC key, the public halves, and for each KEK a key of no use
// wrapped under it, which another token must be able to unwrap. Thread-safe; outlives the tokens.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "base/result.h"
#include "hsm/open_token.h"

namespace skms::hsm {

class KeyGroup {
 public:
  /// Compares what the token holds with what is known, and learns what is new. Errors: kIntegrity (another
  /// key under one of our labels, or no key in common), and the token's own.
  Status Admit(const OpenToken& open) { return Admit(open, *open.strict); }
  /// The same with what another look at the token found of the security officer's.
  Status Admit(const OpenToken& open, const StrictObjects& strict);
  /// They were destroyed everywhere.
  void Forget(const HeldGenerations& destroyed);

 private:
  struct Known {
    std::map<std::uint32_t, Bytes> kek;         ///< wrapped keys
    std::map<std::uint32_t, Bytes> strict_kek;  ///< likewise
    std::map<std::uint32_t, Bytes> mac;
    std::map<std::uint32_t, Bytes> sign;
    std::map<std::uint32_t, Bytes> transfer;
  };
  static Status ComparePairs(Known& known, const OpenToken& open, SessionLease& lease);
  static Status Compare(Known& known, const OpenToken& open, const StrictObjects& strict);

  std::mutex mutex_;
  Known known_;
  std::uint64_t changes_ = 0;
};

}  // namespace skms::hsm
