// NewFile: a file that is there whole or not at all. It has no name until all of it is on the disk, where the
// file system can do that (O_TMPFILE), and an unfinished one's name elsewhere (FAT); it never takes another
// file's place.
//
// Mode 0600. Move-only; owns the descriptor. One thread.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace skms {

class NewFile {
 public:
  /// Errors: kAlreadyExists, kIo.
  static Result<NewFile> Create(const std::string& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  /// Errors: kIo.
  Status Write(ByteView bytes);
  /// What was written so far is on the disk, so that Finish has less to wait for. Errors: kIo.
  Status Sync();
  /// Syncs it, gives it its name, and syncs that. Errors: kAlreadyExists (it came meanwhile), kIo.
  Status Finish();

 private:
  /// 0, or errno.
  int GiveName();
  NewFile(std::string path, std::string unfinished, int fd)
      : path_(std::move(path)), unfinished_(std::move(unfinished)), fd_(fd) {}
  std::string path_;
  std::string unfinished_;  ///< its name until then; empty: it has none
  int fd_;
};

/// Of a file, or of a directory for the names in it. Errors: kIo.
Status SyncToDisk(const std::string& path);
/// "." where `path` has none.
std::string DirectoryOf(const std::string& path);

}  // namespace skms
