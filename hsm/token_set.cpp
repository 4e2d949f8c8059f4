#include "hsm/token_set.h"

#include <algorithm>
#include <set>

#include "hsm/token_error.h"

namespace skms::hsm {
namespace {

// Logging in, probing and proving the keys takes a slow token seconds; one that hangs must not hold up the
// others. Of all together.
constexpr std::chrono::seconds kFirstTries{15};
constexpr std::chrono::seconds kEachAtLeast{2};
// A start that takes too long (90 s) is ended by systemd and begun again, and a refused PIN sent again: it
// ends before.
constexpr std::chrono::seconds kWithRefusedPin{30};
constexpr std::chrono::seconds kLongestStart{75};
// What opening a token takes that does answer: a process that ends does not leave it half way.
constexpr std::chrono::seconds kEnding{10};

/// A PIN that was refused must be told, for another start would send it again; that a token holds no keys yet
/// is no reason to make some while another may hold them.
int Weight(ErrorCode code) {
  if (code == ErrorCode::kPinIncorrect) return 2;
  return code == ErrorCode::kTokenBlank ? 0 : 1;
}

}  // namespace

Result<std::unique_ptr<TokenSet>> TokenSet::Open(std::vector<TokenMember> members, MissingKeys missing) {
  if (members.empty() || members.size() > kMostTokens)
    return ConfigurationError("1 to " + std::to_string(kMostTokens) + " tokens can be used at once");
  std::unique_ptr<TokenSet> set(new TokenSet());
  if (members.size() == 1) {
    SKMS_TRY(auto only, TokenKeeper::Open(std::move(members.front()), set->group_, missing));
    set->keepers_.push_back(std::move(only));
    return set;
  }
  // One after the other: what the first of them holds is what the others must hold.
  const auto begun = std::chrono::steady_clock::now();
  const auto until = begun + kFirstTries;
  for (TokenMember& member : members) {
    set->keepers_.push_back(TokenKeeper::OpenBesideOthers(std::move(member), set->group_));
    set->keepers_.back()->WaitForFirstTry(std::max(until, std::chrono::steady_clock::now() + kEachAtLeast));
  }
  SKMS_TRYV(set->WaitForOne(begun));
  return set;
}

Status TokenSet::WaitForOne(std::chrono::steady_clock::time_point begun) const {
  for (;;) {
    bool all_tried = true;
    std::optional<Error> worst;
    for (const auto& keeper : keepers_) {
      const bool tried =
          keeper->WaitForFirstTry(std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
      const std::optional<Error> why = keeper->WhyNotOpen();
      if (!why) return Ok();
      all_tried = all_tried && tried;
      if (!worst || Weight(why->code) > Weight(worst->code)) worst = why;
    }
    const auto most = worst->code == ErrorCode::kPinIncorrect ? kWithRefusedPin : kLongestStart;
    if (all_tried || std::chrono::steady_clock::now() - begun > most) return *worst;
  }
}

TokenSet::~TokenSet() {
  for (const auto& keeper : keepers_) keeper->BeginEnd();
  const auto until = std::chrono::steady_clock::now() + kEnding;
  for (auto& keeper : keepers_) {
    // Its thread is in a module that does not come back, and uses it: it stays for as long as the process.
    if (!keeper->HasEnded(until)) static_cast<void>(keeper.release());
  }
}

TokenSet::Choice TokenSet::Pick(std::vector<Candidate> candidates) {
  if (candidates.empty()) return {};
  const auto keep = [&](const auto& unfit) {
    const bool all = std::all_of(candidates.begin(), candidates.end(), unfit);
    if (!all) std::erase_if(candidates, unfit);
  };
  if (const void* avoid = PlaceToAvoid(); avoid != nullptr)
    keep([avoid](const Candidate& one) { return one.open->token->place() == avoid; });
  keep([](const Candidate& one) { return one.weight == 0; });
  keep([](const Candidate& one) { return one.open->token->IsBusy(); });
  std::uint32_t sum = 0;
  for (const Candidate& one : candidates) sum += one.weight;
  std::uint32_t turn = turn_.fetch_add(1, std::memory_order_relaxed);
  if (sum == 0) return {candidates.front().index, std::move(candidates.front().open)};
  turn %= sum;
  for (Candidate& one : candidates) {
    if (turn < one.weight) return {one.index, std::move(one.open)};
    turn -= one.weight;
  }
  return {};
}

bool TokenSet::AnotherMayDo(const Error& error) {
  return error.code == ErrorCode::kTokenUnavailable || error.code == ErrorCode::kResourceExhausted ||
         TroubleIn(error.rv) != Trouble::kNone;
}

KnownToken TokenSet::known() const {
  for (const auto& keeper : keepers_) {
    if (std::optional<KnownToken> known = keeper->known()) return std::move(*known);
  }
  return {};
}

TokenKeyGenerations TokenSet::common() const {
  std::optional<HeldGenerations> shared;
  const auto intersect = [](std::set<std::uint32_t>& kept, const std::set<std::uint32_t>& other) {
    std::erase_if(kept, [&](std::uint32_t generation) { return other.count(generation) == 0; });
  };
  for (const auto& keeper : keepers_) {
    const std::optional<KnownToken> known = keeper->known();
    if (!known) continue;
    if (!shared) {
      shared = known->held;
      continue;
    }
    intersect(shared->kek, known->held.kek);
    intersect(shared->mac, known->held.mac);
    intersect(shared->sign, known->held.sign);
    intersect(shared->transfer, known->held.transfer);
  }
  const auto newest = [](const std::set<std::uint32_t>& held) { return held.empty() ? 0U : *held.rbegin(); };
  if (!shared) return {};
  return {newest(shared->kek), newest(shared->mac), newest(shared->sign), newest(shared->transfer)};
}

TokenHealth TokenSet::health() const {
  TokenHealth all;
  bool first = true;
  for (const auto& keeper : keepers_) {
    const TokenHealth one = keeper->health();
    all.recoveries += one.recoveries;
    if (one.available && (!all.available || one.since < all.since)) all.since = one.since;
    if (!one.available && !all.available && (first || one.since > all.since)) all.since = one.since;
    all.available = all.available || one.available;
    first = false;
    if (one.available) continue;
    const std::string named = keepers_.size() > 1 ? "'" + keeper->label() + "': " + one.trouble : one.trouble;
    all.trouble += (all.trouble.empty() ? "" : "; ") + named;
  }
  if (all.available) all.trouble.clear();
  return all;
}

}  // namespace skms::hsm
