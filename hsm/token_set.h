// TokenSet: the tokens that hold our keys, and which of them a verb runs in.
//
// A verb goes to one that is open, holds the generations it needs and has a session to spare, chosen by
// weight; if the token fails under it, to the next. Only when none is left does it wait for one that is lost.
// A call that hangs inside a module keeps its caller; a token whose calls all hang is passed over after a
// second.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hsm/token_keeper.h"

namespace skms::hsm {

inline constexpr std::size_t kMostTokens = 16;

class TokenSet {
 public:
  /// Errors: as CryptoModule::Open. Of several tokens one must be open; those that have not answered by then
  /// are taken in later. Where none can be opened the error is that of a refused PIN, if there is one.
  static Result<std::unique_ptr<TokenSet>> Open(std::vector<TokenMember> members, MissingKeys missing);

  TokenSet(const TokenSet&) = delete;
  TokenSet& operator=(const TokenSet&) = delete;
  /// Leaves a token behind whose module does not come back from opening it.
  ~TokenSet();

  /// `verb(const OpenToken&)` in a token of which `can(const KnownToken&)` holds. As TokenKeeper::Run says, a
  /// verb may run more than once. Errors: kTokenUnavailable, and the verb's.
  template <typename Can, typename Verb>
  auto Run(const Can& can, const Verb& verb) -> decltype(verb(std::declval<const OpenToken&>())) {
    if (keepers_.size() == 1) return keepers_.front()->Run(verb);
    std::uint32_t tried = 0;
    std::optional<Error> last;
    for (Choice choice = Choose(can, tried); choice.open; choice = Choose(can, tried)) {
      auto result = verb(*choice.open);
      if (result.has_value() || !AnotherMayDo(result.error())) return result;
      tried |= 1U << choice.index;
      last = result.error();
    }
    // It was waited for a session already.
    if (last && last->code == ErrorCode::kResourceExhausted) return *last;
    return Patient(can).Run(verb);
  }

  std::vector<std::unique_ptr<TokenKeeper>>& keepers() { return keepers_; }
  const std::vector<std::unique_ptr<TokenKeeper>>& keepers() const { return keepers_; }
  KeyGroup& group() { return *group_; }
  /// Of the first token that was ever open: there is one.
  KnownToken known() const;
  /// The newest generation of each key that every token holds that was ever open.
  TokenKeyGenerations common() const;
  TokenHealth health() const;

 private:
  struct Choice {
    std::size_t index = 0;
    OpenTokenPtr open;
  };
  struct Candidate {
    std::size_t index;
    OpenTokenPtr open;
    std::uint32_t weight;
  };

  template <typename Can>
  Choice Choose(const Can& can, std::uint32_t tried) {
    std::vector<Candidate> candidates;
    candidates.reserve(keepers_.size());
    for (std::size_t i = 0; i < keepers_.size(); ++i) {
      if ((tried >> i & 1U) != 0) continue;
      if (OpenTokenPtr open = keepers_[i]->Serving(can))
        candidates.push_back({i, std::move(open), keepers_[i]->weight()});
    }
    return Pick(std::move(candidates));
  }
  Choice Pick(std::vector<Candidate> candidates);

  /// The one to wait for, or to give the natural error where none can.
  template <typename Can>
  TokenKeeper& Patient(const Can& can) {
    for (const auto& keeper : keepers_) {
      if (keeper->Serving(can)) return *keeper;
    }
    for (const auto& keeper : keepers_) {
      if (keeper->MayServe(can)) return *keeper;
    }
    return *keepers_.front();
  }
  static bool AnotherMayDo(const Error& error);

  TokenSet() = default;
  /// The error of all, where none can be opened; waits for the first try of each until one is open, but not
  /// for ever.
  Status WaitForOne(std::chrono::steady_clock::time_point begun) const;

  std::shared_ptr<KeyGroup> group_ = std::make_shared<KeyGroup>();
  std::vector<std::unique_ptr<TokenKeeper>> keepers_;
  std::atomic<std::uint32_t> turn_{0};
};

}  // namespace skms::hsm
