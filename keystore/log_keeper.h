// LogKeeper: moves what is committed from a file's write-ahead log into the file, on a connection and a
// thread of its own.
//
// SQLite would do it within the commit that finds the log long, and whoever waits for that commit would wait
// for thousands of pages to be on disk. Here a commit goes on beside it; only when the log has become long
// does the writer move the few pages that have come meanwhile, so that the log begins anew. Of a database
// without such a log: nothing.
//
// In SQLite before 3.51.3 (sqlite.org/wal.html, "WAL-reset bug") who moves pages while a writer begins the
// log anew may take the former log's length for the new one's, and commits are lost. So a reader looks at the
// database meanwhile: as long as it does, either the log cannot begin anew, or, where it was moved whole
// already, nothing can be moved. Nobody else moves pages: SQLite's own way of it is off. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

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
  /// Runs `empty` on the writer, while nobody else moves pages and few are left to be moved. Errors: its own.
  Status Empty(const DatabaseWork& empty);

 private:
  void Loop();
  void Move();
  Status MoveBesideWriter();
  Status MoveWatched();

  Connections& connections_;
  const std::function<Status(DatabaseWork)> on_writer_;
  std::unique_ptr<Connection> mover_;
  std::unique_ptr<Connection> watcher_;
  std::mutex moving_;  ///< held while pages are moved
  int log_pages_ = 0;  ///< when they were moved last
  std::mutex mutex_;
  std::condition_variable wake_;
  int commits_ = 0;  ///< since pages were moved last
  bool runs_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace skms::keystore
