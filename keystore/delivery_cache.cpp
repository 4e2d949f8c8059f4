#include "keystore/delivery_cache.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace skms::keystore {
namespace {

// Beside what is counted: rows, audit entries, the answer's frame, and the allocator's part of each.
constexpr std::size_t kAnswerBytes = 1024;
constexpr std::size_t kKeyBytes = 2048;

template <class Ids>
std::size_t BytesOfIds(const Ids& ids) {
  std::size_t bytes = 0;
  for (const auto& id : ids) bytes += sizeof id + id.value().size();
  return bytes;
}

std::size_t BytesOf(const Service& service) {
  return sizeof service + service.user_uri.size() + BytesOfIds(service.readers) +
         BytesOfIds(service.group_servers) + BytesOfIds(service.access.ue_issuers) +
         BytesOfIds(service.access.provisioners);
}

std::size_t BytesOf(const DeliveryCache::Kept& kept) {
  std::size_t bytes =
      kAnswerBytes + BytesOf(*kept.answer.service) + kept.places.size() * sizeof(std::uint32_t);
  for (const DeliveredVersion& key : kept.answer.keys) {
    bytes += kKeyBytes + key.version.public_key.size();
    // Once as octets, once as text.
    if (key.wrapped)
      bytes += 3 * (key.wrapped->encrypted_key.size() + key.wrapped->wrapped_key.size() +
                    key.wrapped->ephemeral_spki.size());
  }
  return bytes;
}

}  // namespace

std::uint32_t DeliveryCache::PlaceOf(const Selector& selector) {
  // FNV-1a, and not the library's hash, which another server's library may have otherwise.
  std::uint64_t hash = 14695981039346656037U;
  const auto add = [&hash](std::string_view text) {
    for (const char octet : text) hash = (hash ^ static_cast<unsigned char>(octet)) * 1099511628211U;
    hash = (hash ^ 0xFFU) * 1099511628211U;
  };
  add(selector.service.value());
  add(Name(selector.kind));
  add(selector.target);
  return static_cast<std::uint32_t>((hash ^ (hash >> 32U)) % std::tuple_size_v<decltype(places_)>);
}

bool DeliveryCache::StillStands(const Kept& kept, const Moment& now, std::int64_t seconds) const {
  const Moment& made = kept.made;
  return made.era == now.era && made.database_changes == now.database_changes &&
         made.directory_version == now.directory_version && seconds < kept.until &&
         std::all_of(kept.places.begin(), kept.places.end(), [&](std::uint32_t at) {
           const Place& place = places_.at(at);
           return place.changing == 0 && place.changed <= made.tick;
         });
}

std::shared_ptr<const DeliveryCache::Kept> DeliveryCache::Find(const Sha256Digest& name, const Moment& now,
                                                               std::int64_t seconds) {
  const auto found = answers_.Find(name);
  if (!found) return nullptr;
  const std::shared_ptr<const Kept>& kept = *found;
  if (StillStands(*kept, now, seconds)) return kept;
  // Of no use to anybody any more, unless it is newer than who asks.
  const Moment& made = kept->made;
  if (made.tick <= now.tick && made.database_changes <= now.database_changes &&
      made.directory_version <= now.directory_version)
    answers_.Drop(name, kept);
  return nullptr;
}

void DeliveryCache::Keep(const Sha256Digest& name, Kept kept) {
  kept.places.reserve(kept.selectors.size());
  for (const Selector& selector : kept.selectors) kept.places.push_back(PlaceOf(selector));
  kept.selectors = {};
  const std::size_t bytes = BytesOf(kept);
  const std::uint64_t era = kept.made.era;
  answers_.Keep(name, std::make_shared<const Kept>(std::move(kept)), bytes, era);
}

void DeliveryCache::ChangedElsewhere(const Places& places) {
  // Of a server with more places than this one.
  if (!places.empty() && *places.rbegin() >= places_.size()) {
    Clear();
    return;
  }
  const Change over(*this, places);
}

DeliveryCache::Change::Change(DeliveryCache& cache, std::span<const Selector> selectors) : cache_(cache) {
  places_.reserve(selectors.size());
  for (const Selector& selector : selectors) places_.push_back(PlaceOf(selector));
  for (const std::uint32_t place : places_) ++cache_.places_.at(place).changing;
}

DeliveryCache::Change::Change(DeliveryCache& cache, const Places& places)
    : cache_(cache), places_(places.begin(), places.end()) {
  for (const std::uint32_t place : places_) ++cache_.places_.at(place).changing;
}

DeliveryCache::Change::~Change() {
  const std::uint64_t now = ++cache_.tick_;
  for (const std::uint32_t at : places_) {
    Place& place = cache_.places_.at(at);
    // Two changes of one place may come in another order than their ticks.
    std::uint64_t before = place.changed;
    while (before < now && !place.changed.compare_exchange_weak(before, now)) {
    }
    --place.changing;
  }
}

}  // namespace skms::keystore
