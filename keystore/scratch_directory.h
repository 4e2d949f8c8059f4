// ScratchDirectory: a directory of mode 0700 beside the database for copies of it that are nobody's yet. It
// goes with the object; what a process left there that was killed goes when the next one makes it.
//
// Move-only; one process at a time has a certain one.
#pragma once

#include <string>

#include "base/result.h"
#include "keystore/database_lock.h"

namespace skms::keystore {

// After the database's path.
inline constexpr const char* kBackupScratch = ".backups";
inline constexpr const char* kRestoreScratch = ".restoring";
inline constexpr const char* kDrillScratch = ".drilling";

class ScratchDirectory {
 public:
  /// Errors: kConflict (another process has it), kIo.
  static Result<ScratchDirectory> Make(const std::string& path);
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ScratchDirectory(ScratchDirectory&& other) noexcept = default;
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory();

  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/skms.db"; }

  /// Removes one that a killed process left. Errors: kIo.
  static Status RemoveLeft(const std::string& path);

 private:
  ScratchDirectory(std::string path, DatabaseLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  DatabaseLock lock_;
};

}  // namespace skms::keystore
