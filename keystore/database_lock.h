// DatabaseLock: keeps every other process away from a database, from the taking to the end of the object.
//
// Move-only; one thread.
#pragma once

#include <string>

#include "base/result.h"

namespace skms::keystore {

class DatabaseLock {
 public:
  /// Errors: kConflict (another process has it), kIo.
  static Result<DatabaseLock> Take(const std::string& path);
  DatabaseLock(const DatabaseLock&) = delete;
  DatabaseLock& operator=(const DatabaseLock&) = delete;
  DatabaseLock(DatabaseLock&& other) noexcept;
  DatabaseLock& operator=(DatabaseLock&&) = delete;
  ~DatabaseLock();

 private:
  explicit DatabaseLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace skms::keystore
