#include "keystore/delivery_cache.h"

#include <algorithm>
#include <functional>
#include <string>
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

std::size_t BytesOf(const DeliveryCache::Kept& kept, std::size_t places) {
  std::size_t bytes = kAnswerBytes + BytesOf(*kept.answer.service) + places * sizeof(std::size_t);
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

std::size_t DeliveryCache::PlaceOf(const Selector& selector) {
  const std::hash<std::string_view> hash;
  std::size_t place = hash(selector.service.value());
  place = place * 31 + static_cast<std::size_t>(selector.kind);
  place = place * 31 + hash(selector.target);
  return place % std::tuple_size_v<decltype(places_)>;
}

bool DeliveryCache::Stands(const Stored& stored, const Moment& now, std::int64_t seconds) const {
  const Moment& made = stored.kept.made;
  return made.database_changes == now.database_changes && made.directory_version == now.directory_version &&
         seconds < stored.kept.until &&
         std::all_of(stored.places.begin(), stored.places.end(), [&](std::size_t at) {
           const Place& place = places_.at(at);
           return place.changing == 0 && place.changed <= made.tick;
         });
}

std::shared_ptr<const DeliveryCache::Kept> DeliveryCache::Find(const Sha256Digest& name, const Moment& now,
                                                               std::int64_t seconds) {
  const auto found = answers_.Find(name);
  if (!found) return nullptr;
  const std::shared_ptr<const Stored>& stored = *found;
  if (Stands(*stored, now, seconds)) return {stored, &stored->kept};
  // Of no use to anybody any more, unless it is newer than who asks.
  const Moment& made = stored->kept.made;
  if (made.tick <= now.tick && made.database_changes <= now.database_changes &&
      made.directory_version <= now.directory_version)
    answers_.Drop(name, stored);
  return nullptr;
}

void DeliveryCache::Keep(const Sha256Digest& name, Kept kept) {
  auto stored = std::make_shared<Stored>();
  stored->places.reserve(kept.selectors.size());
  for (const Selector& selector : kept.selectors) stored->places.push_back(PlaceOf(selector));
  kept.selectors = {};
  const std::size_t bytes = BytesOf(kept, stored->places.size());
  const std::uint64_t era = kept.made.era;
  stored->kept = std::move(kept);
  answers_.Keep(name, std::move(stored), bytes, era);
}

DeliveryCache::Change::Change(DeliveryCache& cache, std::span<const Selector> selectors) : cache_(cache) {
  places_.reserve(selectors.size());
  for (const Selector& selector : selectors) places_.push_back(PlaceOf(selector));
  for (const std::size_t place : places_) ++cache_.places_.at(place).changing;
}

DeliveryCache::Change::~Change() {
  const std::uint64_t now = ++cache_.tick_;
  for (const std::size_t at : places_) {
    Place& place = cache_.places_.at(at);
    // Two changes of one place may come in another order than their ticks.
    std::uint64_t before = place.changed;
    while (before < now && !place.changed.compare_exchange_weak(before, now)) {
    }
    --place.changing;
  }
}

}  // namespace skms::keystore
