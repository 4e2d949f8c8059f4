#include "base/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace skms {
namespace {

constexpr mode_t kOwnerAlone = 0600;

Error IsThere(const std::string& path) {
  return AlreadyExists(path + " is there already; give another name, or move it away");
}

}  // namespace

std::string DirectoryOf(const std::string& path) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  return directory.empty() ? "." : directory;
}

Status SyncToDisk(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return IoError(path, errno);
  const int failed = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return failed == 0 ? Ok() : Status(IoError(path, failed));
}

Result<NewFile> NewFile::Create(const std::string& path) {
  std::error_code error;
  if (std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::not_found)
    return IsThere(path);
  const int nameless = ::open(DirectoryOf(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kOwnerAlone);
  if (nameless >= 0) return NewFile(path, "", nameless);
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
    return IoError(path, errno);
  std::string unfinished = path + ".XXXXXX";
  const int fd = ::mkostemp(unfinished.data(), O_CLOEXEC);
  if (fd < 0) return IoError(path, errno);
  return NewFile(path, std::move(unfinished), fd);
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      unfinished_(std::exchange(other.unfinished_, std::string())),
      fd_(std::exchange(other.fd_, -1)) {}

NewFile::~NewFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

Status NewFile::Write(ByteView bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno != EINTR) return IoError(path_, errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  return Ok();
}

Status NewFile::Sync() { return ::fsync(fd_) == 0 ? Ok() : Status(IoError(path_, errno)); }

int NewFile::GiveName() {
  if (!unfinished_.empty()) {
    // A file system without O_TMPFILE may have no hard links either.
    if (::renameat2(AT_FDCWD, unfinished_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
      unfinished_.clear();
      return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) return errno;  // else it has links, and no such renaming: NFS
  }
  const std::string from = unfinished_.empty() ? "/proc/self/fd/" + std::to_string(fd_) : unfinished_;
  return ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

Status NewFile::Finish() {
  SKMS_TRYV(Sync());
  if (const int failed = GiveName(); failed != 0)
    return failed == EEXIST ? IsThere(path_) : IoError(path_, failed);
  return SyncToDisk(DirectoryOf(path_));
}

}  // namespace skms
