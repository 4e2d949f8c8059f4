#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace skms {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Status ReadAll(int fd, const std::string& path, std::size_t max_bytes, std::string& out) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError(path, errno);
    if (got == 0) break;
    if (out.size() + static_cast<std::size_t>(got) > max_bytes) {
      return Error{ErrorCode::kTooLarge, path + ": larger than " + std::to_string(max_bytes) + " bytes"};
    }
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  Wipe(std::span(reinterpret_cast<std::uint8_t*>(buffer.data()), buffer.size()));
  return Ok();
}

Status WriteAll(int fd, const std::string& path, ByteView contents) {
  std::size_t done = 0;
  while (done < contents.size()) {
    const ssize_t wrote = ::write(fd, contents.data() + done, contents.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return IoError(path, errno);
    done += static_cast<std::size_t>(wrote);
  }
  if (::fsync(fd) != 0) return IoError(path, errno);
  return Ok();
}

}  // namespace

Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return IoError(path, errno);
  std::string text;
  SKMS_TRYV(ReadAll(fd.get(), path, max_bytes, text));
  return text;
}

Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t max_bytes, unsigned forbidden_mode) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return IoError(path, errno);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return IoError(path, errno);
  if (!S_ISREG(status.st_mode)) return ConfigurationError(path + ": not a regular file");
  if ((status.st_mode & forbidden_mode) != 0) {
    return ConfigurationError(path + ": readable by others; run: chmod 0400 " + path);
  }
  std::string text;
  text.reserve(max_bytes);  // no reallocation, so no stray copy of the secret
  SKMS_TRYV(ReadAll(fd.get(), path, max_bytes, text));
  SecretBytes secret = SecretBytes::TakeFrom(text);
  if (!secret.empty() && secret.ExposeSecret().back() == '\n') secret.Truncate(secret.size() - 1);
  if (secret.empty()) return ConfigurationError(path + ": empty");
  return secret;
}

Status WriteFileAtomically(const std::string& path, ByteView contents, unsigned mode) {
  std::string temporary = path + ".XXXXXX";
  const FileDescriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (fd.get() < 0) return IoError(path, errno);
  Status written = WriteAll(fd.get(), temporary, contents);
  if (written.has_value() && ::fchmod(fd.get(), mode) != 0) written = IoError(temporary, errno);
  if (written.has_value() && ::rename(temporary.c_str(), path.c_str()) != 0) written = IoError(path, errno);
  if (written.has_error()) ::unlink(temporary.c_str());
  return written;
}

}  // namespace skms
