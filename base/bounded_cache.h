// BoundedCache: values by the digest of all that they follow from; bounded in bytes, the least recently used
// go first.
//
// Thread-safe. A value is copied out: let it be small or shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/digest.h"

namespace skms {

template <class Value>
class BoundedCache {
 public:
  /// What an entry costs beside its value: nodes of list and map, as the allocator rounds them up.
  static constexpr std::size_t kEntryBytes = 256;

  /// `most_bytes` 0: keeps nothing.
  explicit BoundedCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  std::size_t most_bytes() const { return most_bytes_; }

  std::optional<Value> Find(const Sha256Digest& name) {
    const std::lock_guard lock(mutex_);
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return std::nullopt;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return found->second->value;
  }

  /// Grows with each Clear.
  std::uint64_t era() const {
    const std::lock_guard lock(mutex_);
    return era_;
  }

  /// In place of what has the name; not where the cache was cleared since `era`. `bytes`: of the value.
  void Keep(const Sha256Digest& name, Value value, std::size_t bytes, std::uint64_t era) {
    bytes += kEntryBytes;
    const std::lock_guard lock(mutex_);
    if (era != era_ || bytes > most_bytes_) return;
    if (const auto former = by_name_.find(name); former != by_name_.end()) Erase(former->second);
    bytes_ += bytes;
    by_use_.push_front({name, std::move(value), bytes});
    by_name_.emplace(name, by_use_.begin());
    while (bytes_ > most_bytes_) Erase(std::prev(by_use_.end()));
  }
  void Keep(const Sha256Digest& name, Value value, std::size_t bytes) {
    Keep(name, std::move(value), bytes, era());
  }

  /// Unless another value has the name by now.
  void Drop(const Sha256Digest& name, const Value& value) {
    const std::lock_guard lock(mutex_);
    const auto found = by_name_.find(name);
    if (found != by_name_.end() && found->second->value == value) Erase(found->second);
  }

  /// What was asked before this is not kept any more, also where its answer comes later.
  void Clear() {
    const std::lock_guard lock(mutex_);
    by_name_.clear();
    by_use_.clear();
    bytes_ = 0;
    ++era_;
  }

 private:
  struct Entry {
    Sha256Digest name;
    Value value;
    std::size_t bytes;
  };
  using Entries = std::list<Entry>;

  /// A digest's octets are as good as any hash of them.
  struct Hash {
    std::size_t operator()(const Sha256Digest& name) const {
      std::size_t out = 0;
      for (std::size_t i = 0; i < sizeof out; ++i) out = out << 8U | name[i];
      return out;
    }
  };

  void Erase(typename Entries::iterator entry) {
    bytes_ -= entry->bytes;
    by_name_.erase(entry->name);
    by_use_.erase(entry);
  }

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  Entries by_use_;  ///< the last used first
  std::unordered_map<Sha256Digest, typename Entries::iterator, Hash> by_name_;
  std::size_t bytes_ = 0;
  std::uint64_t era_ = 0;
};

}  // namespace skms
