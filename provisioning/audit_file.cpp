#include "provisioning/audit_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <istream>
#include <nlohmann/json.hpp>
#include <utility>

namespace skms::provisioning {
namespace {

using keystore::AuditRecord;
using nlohmann::json;

constexpr std::size_t kBuffer = 65536;
constexpr std::size_t kLongestLine = 65536;

AuditRecord RecordOf(const json& line) {
  AuditRecord record;
  record.seq = line.at("seq").get<std::int64_t>();
  record.time_ms = line.at("timeMs").get<std::int64_t>();
  keystore::AuditEntry& entry = record.entry;
  for (const auto& [name, member] :
       {std::pair("actor", &entry.actor), std::pair("action", &entry.action),
        std::pair("outcome", &entry.outcome), std::pair("service", &entry.service),
        std::pair("targetKind", &entry.target_kind), std::pair("target", &entry.target_pseudonym),
        std::pair("kid", &entry.kid), std::pair("reason", &entry.reason),
        std::pair("requestId", &entry.request_id), std::pair("previous", &record.previous),
        std::pair("hash", &record.hash)})
    *member = line.at(name).get<std::string>();
  return record;
}

std::string Spelt(const json& line) { return line.dump(-1, ' ', false, json::error_handler_t::replace); }

/// What a checkpoint's line says beside it must be what it says itself.
Status CheckSpeaksOf(const json& line, const std::string& text) {
  SKMS_TRY(const Jws jws, ReadJws(text));
  SKMS_TRY(const keystore::AuditCheckpoint checkpoint, keystore::ReadCheckpoint(jws, text));
  const json said{{"seq", checkpoint.seq},
                  {"hash", checkpoint.hash},
                  {"timeMs", checkpoint.time_ms},
                  {"kid", checkpoint.kid},
                  {"checkpoint", text}};
  return line == said ? Ok() : Status(IntegrityError("says something else than its checkpoint"));
}

Status TakeLine(const std::string& text, keystore::AuditVerifier& verifier) {
  constexpr std::size_t kMembers = 13;
  const Error wrong = IntegrityError("is no line of an audit chain");
  const json line = text.size() > kLongestLine ? json() : json::parse(text, nullptr, false);
  // One spelling: a member that stands twice, or more of them, would be read by nobody and seen by people.
  if (!line.is_object() || Spelt(line) != text) return wrong;
  try {
    if (line.contains("checkpoint")) {
      const auto checkpoint = line.at("checkpoint").get<std::string>();
      SKMS_TRYV(verifier.TakeCheckpoint(checkpoint));
      return CheckSpeaksOf(line, checkpoint);
    }
    const bool whole = line.size() == kMembers && line.at("seq").is_number_integer() &&
                       line.at("timeMs").is_number_integer();
    return whole ? verifier.Take(RecordOf(line)) : Status(wrong);
  } catch (const json::exception&) {
    return wrong;
  }
}

}  // namespace

std::vector<json> LinesOf(const json& page) {
  std::vector<json> lines;
  const json& checkpoints = page.at("checkpoints");
  auto checkpoint = checkpoints.begin();
  const auto take_up_to = [&](std::int64_t seq) {
    for (; checkpoint != checkpoints.end() && checkpoint->at("seq").get<std::int64_t>() <= seq; ++checkpoint)
      lines.push_back(*checkpoint);
  };
  for (const json& entry : page.at("entries")) {
    take_up_to(entry.at("seq").get<std::int64_t>() - 1);
    lines.push_back(entry);
  }
  for (; checkpoint != checkpoints.end(); ++checkpoint) lines.push_back(*checkpoint);
  return lines;
}

Status ReadAuditLines(std::istream& lines, const std::string& name, keystore::AuditVerifier& verifier) {
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    const Status taken = lines.eof() ? Status(IntegrityError("the line is cut")) : TakeLine(line, verifier);
    if (taken.has_error())
      return Error{taken.error().code, name + ":" + std::to_string(number) + ": " + taken.error().detail};
  }
  return lines.bad() ? Status(IoError(name, EIO)) : Ok();
}

Status ReadAuditFile(const std::string& path, keystore::AuditVerifier& verifier) {
  std::ifstream file(path);
  if (!file) return IoError(path, errno);
  return ReadAuditLines(file, path, verifier);
}

Result<AuditFileEnd> EndOfAuditFile(const std::string& path) {
  AuditFileEnd end;
  std::ifstream file(path);
  if (!file) return errno == ENOENT ? Result<AuditFileEnd>(end) : IoError(path, errno);
  std::string line;
  while (std::getline(file, line)) {
    const json parsed = file.eof() ? json() : json::parse(line, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("hash") || !parsed.contains("seq"))
      return IntegrityError(path +
                            " does not end with whole lines of an audit chain; export to another file");
    end.seq = parsed.at("seq").get<std::int64_t>();
    end.hash = parsed.at("hash").get<std::string>();
  }
  return end;
}

Result<AuditFileWriter> AuditFileWriter::Create(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return IoError(path, errno);
  return AuditFileWriter(path, fd);
}

Status AuditFileWriter::Mark() {
  SKMS_TRYV(Flush());
  marked_ = ::lseek(fd_, 0, SEEK_CUR);
  return marked_ >= 0 ? Ok() : Status(IoError(path_, errno));
}

Status AuditFileWriter::DropAfterMark() {
  buffer_.clear();
  return ::ftruncate(fd_, marked_) == 0 ? Ok() : Status(IoError(path_, errno));
}

Result<AuditFileWriter> AuditFileWriter::Open(const std::string& path) {
  if (path == "-") return AuditFileWriter("standard output", ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return IoError(path, errno);
  return AuditFileWriter(path, fd);
}

AuditFileWriter::AuditFileWriter(AuditFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      marked_(other.marked_),
      buffer_(std::move(other.buffer_)) {}

AuditFileWriter::~AuditFileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

Status AuditFileWriter::Write(const json& line) {
  buffer_ += Spelt(line) + "\n";
  return buffer_.size() < kBuffer ? Ok() : Flush();
}

Status AuditFileWriter::Flush() {
  for (std::size_t done = 0; done < buffer_.size();) {
    const ssize_t written = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (written < 0 && errno != EINTR) return IoError(path_, errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  buffer_.clear();
  return Ok();
}

Status AuditFileWriter::Finish() {
  SKMS_TRYV(Flush());
  // A pipe or a terminal has no disk behind it.
  if (::fsync(fd_) != 0 && errno != EINVAL && errno != EROFS) return IoError(path_, errno);
  return Ok();
}

}  // namespace skms::provisioning
