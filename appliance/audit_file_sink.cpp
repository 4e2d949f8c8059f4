#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "api/admin/audit_json.h"
#include "appliance/audit_sink.h"
#include "base/log.h"

namespace skms::appliance {
namespace {

constexpr off_t kLongestLine = 65536;

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Status WriteAll(int descriptor, const std::string& path, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) return IoError(path, errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  return ::fdatasync(descriptor) == 0 ? Ok() : Status(IoError(path, errno));
}

/// The last octets of the file.
Result<std::string> Tail(int descriptor, const std::string& path, off_t size) {
  std::string tail(static_cast<std::size_t>(std::min(size, kLongestLine)), '\0');
  const ssize_t got = ::pread(descriptor, tail.data(), tail.size(), size - static_cast<off_t>(tail.size()));
  if (got != static_cast<ssize_t>(tail.size())) return IoError(path, got < 0 ? errno : EIO);
  return tail;
}

class FileSink final : public AuditSink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}

  Result<AuditPosition> Last() override {
    SKMS_TRYV(Open());
    return last_;
  }

  Result<bool> BeginsAnew() override {
    SKMS_TRYV(Open());
    return empty_;
  }

  Status Deliver(const std::vector<AuditLine>& lines) override {
    SKMS_TRYV(Open());
    std::string text;
    for (const AuditLine& line : lines) text += line.text + "\n";
    Status written = WriteAll(file_->get(), path_, text);
    empty_ = empty_ && text.empty();
    if (written.has_error()) file_.reset();  // what stands there is read anew
    return written;
  }

 private:
  /// The file at the path, as it stands there now.
  Status Open() {
    struct stat at_path {};
    const bool there = ::lstat(path_.c_str(), &at_path) == 0;
    if (file_) {
      struct stat ours {};
      const bool same = there && ::fstat(file_->get(), &ours) == 0 && ours.st_dev == at_path.st_dev &&
                        ours.st_ino == at_path.st_ino;
      if (same) return Ok();
      LogInfo("the export of the audit chain goes on in a new file at " + path_);
      file_.reset();
    }
    File file(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return IoError(path_, errno);
    if (!S_ISREG(status.st_mode)) return IntegrityError(path_ + " is no regular file");
    SKMS_TRY(last_, EndOf(file.get(), status.st_size));
    if (::fstat(file.get(), &status) != 0) return IoError(path_, errno);
    empty_ = status.st_size == 0;
    file_.emplace(std::move(file));
    return Ok();
  }

  /// A last line of ours that was cut is taken away.
  Result<AuditPosition> EndOf(int descriptor, off_t size) const {
    if (size == 0) return AuditPosition{};
    const Error wrong =
        IntegrityError(path_ + " does not end with lines of an audit chain; move it away, or name another");
    SKMS_TRY(const std::string tail, Tail(descriptor, path_, size));
    const std::size_t end = tail.rfind('\n');
    const std::string_view whole = tail;
    const std::string_view cut = whole.substr(end == std::string::npos ? 0 : end + 1);
    if (!cut.empty() && (!admin::BeginsAuditLine(cut) || (end == std::string::npos && size >= kLongestLine)))
      return wrong;
    AuditPosition position;
    if (end != std::string::npos) {
      const std::string_view before = whole.substr(0, end);
      const std::size_t begin = before.rfind('\n');
      auto line = admin::ReadAuditLine(before.substr(begin == std::string_view::npos ? 0 : begin + 1));
      if (!line) return wrong;
      position = {line->seq, std::move(line->hash), std::move(line->checkpoint)};
    }
    if (!cut.empty() && ::ftruncate(descriptor, size - static_cast<off_t>(cut.size())) != 0)
      return IoError(path_, errno);
    return position;
  }

  const std::string path_;
  std::optional<File> file_;
  AuditPosition last_;
  bool empty_ = false;
};

}  // namespace

std::unique_ptr<AuditSink> MakeAuditFileSink(const std::string& path) {
  return std::make_unique<FileSink>(path);
}

}  // namespace skms::appliance
