#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "appliance/audit_sink.h"
#include "base/log.h"

namespace skms::appliance {
namespace {

using nlohmann::json;

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

  Status Deliver(const std::vector<AuditLine>& lines) override {
    SKMS_TRYV(Open());
    std::string text;
    for (const AuditLine& line : lines) {
      // What a former try has written already.
      if (line.seq < last_.seq || (line.seq == last_.seq && (!line.checkpoint || ends_signed_))) continue;
      text += line.text + "\n";
    }
    Status written = WriteAll(file_->get(), path_, text);
    if (written.has_error()) {
      file_.reset();  // what stands there is read anew
      return written;
    }
    if (!lines.empty() && lines.back().seq >= last_.seq) {
      last_ = {lines.back().seq, lines.back().hash};
      ends_signed_ = lines.back().checkpoint;
    }
    return Ok();
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
    file_.emplace(std::move(file));
    return Ok();
  }

  /// A last line that was cut is taken away.
  Result<AuditPosition> EndOf(int descriptor, off_t size) {
    ends_signed_ = false;
    if (size == 0) return AuditPosition{};
    const Error wrong =
        IntegrityError(path_ + " does not end with lines of an audit chain; move it away, or name another");
    SKMS_TRY(std::string tail, Tail(descriptor, path_, size));
    const std::size_t end = tail.rfind('\n');
    if (end == std::string::npos) {
      if (size >= kLongestLine || tail.front() != '{') return wrong;
      return ::ftruncate(descriptor, 0) == 0 ? Result<AuditPosition>(AuditPosition{}) : IoError(path_, errno);
    }
    const auto cut = static_cast<off_t>(tail.size() - end - 1);
    if (cut > 0 && ::ftruncate(descriptor, size - cut) != 0) return IoError(path_, errno);
    tail.resize(end);
    const json line = json::parse(tail.substr(tail.rfind('\n') + 1), nullptr, false);
    const bool whole = line.is_object() && line.contains("seq") && line["seq"].is_number_integer() &&
                       line.contains("hash") && line["hash"].is_string();
    if (!whole) return wrong;
    ends_signed_ = line.contains("checkpoint");
    return AuditPosition{line["seq"].get<std::int64_t>(), line["hash"].get<std::string>()};
  }

  const std::string path_;
  std::optional<File> file_;
  AuditPosition last_;
  bool ends_signed_ = false;  ///< its last line is a checkpoint
};

}  // namespace

std::unique_ptr<AuditSink> MakeAuditFileSink(const std::string& path) {
  return std::make_unique<FileSink>(path);
}

}  // namespace skms::appliance
