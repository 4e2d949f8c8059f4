// StoreWatch: where several servers share a database, looks twice a second what the others have changed,
// though nobody asks anything here, and whether this server is to lead.
//
// What is asked for does not wait for it: whoever writes, and every delivery does, learns as much before
// (keystore/decision.h). What only reads — lists for administrators, the discovery document — is at most as
// old as two looks lie apart. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "keystore/key_store.h"

namespace skms::appliance {

class StoreWatch {
 public:
  explicit StoreWatch(keystore::KeyStore& store) : store_(store) {}
  StoreWatch(const StoreWatch&) = delete;
  StoreWatch& operator=(const StoreWatch&) = delete;
  ~StoreWatch() { Stop(); }

  /// Nothing, where the database is this server's alone.
  void Start();
  /// Idempotent.
  void Stop();

 private:
  void Loop();
  void Look();

  keystore::KeyStore& store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  bool led_ = false;  ///< of the thread alone
  std::thread thread_;
};

}  // namespace skms::appliance
