// sd-journal takes the fields as macros of its own location unless this is said.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "appliance/audit_sink.h"

namespace skms::appliance {
namespace {

constexpr std::string_view kSocket = "/run/systemd/journal/socket";

/// libsystemd says nothing of a journal that is not there.
Status Reach() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, kSocket.data(), kSocket.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool there = descriptor >= 0 &&
                     ::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (there) return Ok();
  return Error{ErrorCode::kIo,
               "journald at " + std::string(kSocket) + ": " + std::generic_category().message(error)};
}

class JournalSink final : public AuditSink {
 public:
  Status Deliver(const std::vector<AuditLine>& lines) override {
    SKMS_TRYV(Reach());
    for (const AuditLine& line : lines) {
      const std::array<std::string, 5> fields{
          "MESSAGE=" + line.text, std::string("PRIORITY=") + (line.refused ? "4" : "6"),
          "SYSLOG_IDENTIFIER=skms-audit", "SKMS_AUDIT_SEQ=" + std::to_string(line.seq),
          std::string("SKMS_AUDIT_KIND=") + (line.checkpoint ? "checkpoint" : "entry")};
      std::array<iovec, fields.size()> vectors{};
      for (std::size_t i = 0; i < fields.size(); ++i)
        vectors.at(i) = {const_cast<char*>(fields.at(i).data()), fields.at(i).size()};
      const int sent = ::sd_journal_sendv(vectors.data(), static_cast<int>(vectors.size()));
      if (sent < 0)
        return Error{ErrorCode::kIo, std::string("journald: ") + std::generic_category().message(-sent)};
    }
    // One that went away meanwhile took nothing.
    return Reach();
  }
};

}  // namespace

std::unique_ptr<AuditSink> MakeAuditJournalSink() { return std::make_unique<JournalSink>(); }

std::unique_ptr<AuditSink> MakeAuditSink(const AuditSection& options) {
  if (options.export_to == "file") return MakeAuditFileSink(options.export_path);
  if (options.export_to == "syslog") return MakeAuditSyslogSink(options.export_address);
  if (options.export_to == "journald") return MakeAuditJournalSink();
  return nullptr;
}

}  // namespace skms::appliance
