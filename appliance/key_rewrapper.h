// KeyRewrapper: brings every row of the database under the token keys in use, in the background, no faster
// than it may, and says how far it is. What it did stays done: after a restart it goes on with what is left.
//
// A thread of its own; thread-safe. Borrows the KeyStore, which must outlive it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "api/admin/admin_api.h"
#include "keystore/key_store.h"

namespace skms::appliance {

struct RewrapOptions {
  std::uint32_t rows_per_second = 500;
  int share_percent = 50;  ///< of the time, at most; the rest is the requests'
};

class KeyRewrapper {
 public:
  KeyRewrapper(keystore::KeyStore& store, RewrapOptions options);
  KeyRewrapper(const KeyRewrapper&) = delete;
  KeyRewrapper& operator=(const KeyRewrapper&) = delete;
  ~KeyRewrapper();

  void Start();
  void Stop();
  /// The token keys in use are others now.
  void Begin();

  admin::RewrapReport report() const;
  /// Since when no row is under other token keys than those in use; nullopt: some are, or they were not
  /// counted yet.
  std::optional<std::chrono::steady_clock::time_point> AllRewrappedSince() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void Loop();
  /// How long to wait before the next step.
  std::chrono::milliseconds Step();
  void StandBy();
  std::chrono::milliseconds Idle() const;
  std::chrono::milliseconds Count();
  /// After each row, so that requests meet short work again and again and not a long piece of it.
  void Pause();
  std::chrono::milliseconds Trouble(const Error& error);
  std::chrono::milliseconds Damaged(const Error& error);

  keystore::KeyStore& store_;
  const RewrapOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  admin::RewrapReport report_;
  std::optional<std::chrono::steady_clock::time_point> all_since_;
  std::chrono::steady_clock::time_point began_{};
  std::chrono::steady_clock::time_point at_work_since_{};  ///< the last pause's end
  keystore::RewrapCursor cursor_;
  keystore::RewrapRun walk_;  ///< of this walk
  bool counted_ = false;
  std::uint64_t term_ = 0;  ///< of the thread alone
  bool begin_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::appliance
