// DeliveryCache: whole answers to deliveries, with the audit entries that they call for.
//
// An answer is given again only while nothing that it was made from has changed: neither the directory, nor a
// key of its selectors, nor anything else in the database. A change begins before it is committed and ends
// after; meanwhile no answer that it may concern is given, and afterwards none that was made before its end.
// So whoever has seen a change, by its acknowledgement or sooner by a notification, gets nothing from before
// it. A change that does not say what it concerns concerns everything (Database::changes). Answers are
// ciphertext: whoever reads this memory learns what the wire tells.
//
// Thread-safe; bounded in bytes, the least recently used go first.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bounded_cache.h"
#include "keystore/database.h"
#include "keystore/identifiers.h"
#include "keystore/key_store_values.h"

namespace skms::keystore {

class DeliveryCache {
 public:
  /// As of when an answer was made. Taken before the first of what it is made from is read.
  struct Moment {
    std::uint64_t era = 0;
    std::uint64_t tick = 0;
    std::uint64_t database_changes = 0;
    std::uint64_t directory_version = 0;
  };

  struct Kept {
    DeliveryAnswer answer;            ///< not recorded yet
    std::vector<AuditEntry> entries;  ///< of the request that it was made for
    std::vector<Selector> selectors;  ///< whose keys it was made from, also where there were none
    std::int64_t until = 0;           ///< seconds since 1970; not at that time or later
    Moment made{};
    std::vector<std::uint32_t> places{};  ///< of the selectors, once it is kept
  };

  /// `most_bytes` 0: keeps nothing.
  explicit DeliveryCache(std::size_t most_bytes) : answers_(most_bytes) {}
  DeliveryCache(const DeliveryCache&) = delete;
  DeliveryCache& operator=(const DeliveryCache&) = delete;

  bool keeps() const { return answers_.most_bytes() > 0; }
  /// The caller adds what the database and the directory say.
  Moment Now() const {
    Moment now;
    now.era = answers_.era();
    now.tick = tick_;
    return now;
  }

  /// nullptr: there is none, or something has changed since it was made.
  std::shared_ptr<const Kept> Find(const Sha256Digest& name, const Moment& now, std::int64_t seconds);
  void Keep(const Sha256Digest& name, Kept kept);
  void Clear() { answers_.Clear(); }
  /// Whether an answer that was found before stands still.
  bool StillStands(const Kept& kept, const Moment& now, std::int64_t seconds) const;
  /// Another server has changed keys.
  void ChangedElsewhere(const Places& places);

  /// A change of the keys of some selectors, while it lives: made before the commit, gone after it, whichever
  /// way that ended.
  class Change {
   public:
    Change(DeliveryCache& cache, std::span<const Selector> selectors);
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    ~Change();

    /// What it concerns, for other servers.
    Places places() const { return {places_.begin(), places_.end()}; }

   private:
    friend class DeliveryCache;
    Change(DeliveryCache& cache, const Places& places);

    DeliveryCache& cache_;
    std::vector<std::uint32_t> places_;
  };

 private:
  /// Of all selectors that share it.
  struct Place {
    std::atomic<std::uint64_t> changed{0};   ///< the tick at the end of the last change
    std::atomic<std::uint32_t> changing{0};  ///< changes that have not ended
  };

  /// The same on every server.
  static std::uint32_t PlaceOf(const Selector& selector);

  BoundedCache<std::shared_ptr<const Kept>> answers_;
  std::atomic<std::uint64_t> tick_{0};
  std::array<Place, 4096> places_{};
};

}  // namespace skms::keystore
