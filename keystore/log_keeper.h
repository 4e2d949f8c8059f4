// LogKeeper: moves what is committed from a file's write-ahead log into the file, on a connection and a
// thread of its own.
//
// SQLite would do it within the commit that finds the log long, and whoever waits for that commit would wait
// for thousands of pages to be on disk. Here a commit goes on beside it; only when the log has become long
// does the writer move the few pages that have come meanwhile, so that the log begins anew. Of a database
// without such a log: nothing. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "keystore/database_connections.h"

namespace skms::keystore {

class LogKeeper {
 public:
  /// `on_writer` runs work on the writer, in no transaction.
  LogKeeper(Connections& connections, std::function<Status(DatabaseWork)> on_writer)
      : connections_(connections), on_writer_(std::move(on_writer)) {}
  LogKeeper(const LogKeeper&) = delete;
  LogKeeper& operator=(const LogKeeper&) = delete;
  ~LogKeeper() { Stop(); }

  /// Errors: as Connections::Begin.
  Status Start();
  /// While the writer still works. Idempotent.
  void Stop();
  /// By the writer.
  void HaveCommitted();
  /// Held while pages are moved: whoever empties the log holds it.
  std::mutex& moving() { return moving_; }

 private:
  void Loop();
  void Move();

  Connections& connections_;
  const std::function<Status(DatabaseWork)> on_writer_;
  std::unique_ptr<Connection> connection_;
  std::mutex moving_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int log_pages_ = 0;  ///< when pages were moved last
  int commits_ = 0;    ///< since pages were moved last
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::keystore
