#include "base/bounded_cache.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"

namespace skms {
namespace {

using Cache = BoundedCache<std::string>;

Sha256Digest NameOf(const std::string& text) { return Sha256(AsBytes(text)); }

TEST_CASE("what is kept is found, and nothing else") {
  Cache cache(4 * (Cache::kEntryBytes + 10));
  CHECK_FALSE(cache.Find(NameOf("a")));
  cache.Keep(NameOf("a"), "1", 10);
  cache.Keep(NameOf("b"), "2", 10);
  CHECK(cache.Find(NameOf("a")) == "1");
  CHECK(cache.Find(NameOf("b")) == "2");
  CHECK_FALSE(cache.Find(NameOf("c")));
  cache.Keep(NameOf("a"), "3", 10);
  CHECK(cache.Find(NameOf("a")) == "3");
}

TEST_CASE("the least recently used goes first, and what is too large is not kept") {
  Cache cache(2 * (Cache::kEntryBytes + 10));
  cache.Keep(NameOf("a"), "1", 10);
  cache.Keep(NameOf("b"), "2", 10);
  CHECK(cache.Find(NameOf("a")));
  cache.Keep(NameOf("c"), "3", 10);
  CHECK(cache.Find(NameOf("a")));
  CHECK_FALSE(cache.Find(NameOf("b")));
  CHECK(cache.Find(NameOf("c")));
  cache.Keep(NameOf("large"), "4", 2 * (Cache::kEntryBytes + 10));
  CHECK_FALSE(cache.Find(NameOf("large")));
  CHECK(cache.Find(NameOf("a")));
  // The same name again takes no more room.
  for (int i = 0; i < 10; ++i) cache.Keep(NameOf("a"), "1", 10);
  CHECK(cache.Find(NameOf("c")));
  // One of all the room takes the place of all.
  cache.Keep(NameOf("whole"), "5", Cache::kEntryBytes + 20);
  CHECK(cache.Find(NameOf("whole")));
  CHECK_FALSE(cache.Find(NameOf("a")));
  CHECK_FALSE(cache.Find(NameOf("c")));
}

TEST_CASE("what is dropped is gone, unless it is another by now") {
  Cache cache(10000);
  cache.Keep(NameOf("a"), "1", 10);
  cache.Drop(NameOf("a"), "0");
  CHECK(cache.Find(NameOf("a")) == "1");
  cache.Drop(NameOf("a"), "1");
  CHECK_FALSE(cache.Find(NameOf("a")));
  cache.Drop(NameOf("a"), "1");
}

TEST_CASE("without room nothing is kept") {
  Cache cache(0);
  cache.Keep(NameOf("a"), "1", 0);
  CHECK_FALSE(cache.Find(NameOf("a")));
}

TEST_CASE("what was asked before it is cleared is not kept after") {
  Cache cache(10000);
  cache.Keep(NameOf("a"), "1", 10);
  const std::uint64_t asked = cache.era();
  cache.Clear();
  CHECK_FALSE(cache.Find(NameOf("a")));
  cache.Keep(NameOf("a"), "1", 10, asked);
  CHECK_FALSE(cache.Find(NameOf("a")));
  cache.Keep(NameOf("a"), "1", 10, cache.era());
  CHECK(cache.Find(NameOf("a")));
}

TEST_CASE("several threads keep, find and clear at once") {
  BoundedCache<std::shared_ptr<const std::string>> cache(20 * (Cache::kEntryBytes + 10));
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&cache, thread] {
      for (int i = 0; i < 2000; ++i) {
        const std::string text = std::to_string((i * 7 + thread) % 40);
        if (const auto found = cache.Find(NameOf(text)); found && **found != text) std::terminate();
        cache.Keep(NameOf(text), std::make_shared<const std::string>(text), 10);
        if (i % 500 == 0) cache.Clear();
      }
    });
  }
  for (std::thread& one : threads) one.join();
  CHECK(cache.era() == 16);
}

}  // namespace
}  // namespace skms
