// AuditSink: where AuditExporter sends the audit chain: a file, a syslog collector, journald.
//
// For one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "appliance/config/configuration.h"
#include "base/result.h"

namespace skms::appliance {

/// An entry or a checkpoint.
struct AuditLine {
  std::int64_t seq = 0;
  std::string hash;  ///< hex: of the entry
  std::int64_t time_ms = 0;
  bool checkpoint = false;
  bool refused = false;
  std::string text;  ///< as in an export (docs/audit.md)
};

/// How far a sink knows that it has come.
struct AuditPosition {
  std::int64_t seq = 0;    ///< 0: it holds nothing, or cannot tell
  std::string hash;        ///< hex: of that entry
  std::string checkpoint;  ///< its last line, where that is a checkpoint: the JWS
};

class AuditSink {
 public:
  AuditSink() = default;
  AuditSink(const AuditSink&) = delete;
  AuditSink& operator=(const AuditSink&) = delete;
  virtual ~AuditSink() = default;

  /// All of them, in their order, or an error: then any of them may have gone, and all are given again.
  /// Errors: kIo (text that says what cannot be reached), kIntegrity (what is there is no export).
  virtual Status Deliver(const std::vector<AuditLine>& lines) = 0;
  /// Where it ends. Errors: as Deliver.
  virtual Result<AuditPosition> Last() { return AuditPosition{}; }
  /// What is delivered next begins something that is read by itself. Errors: as Deliver.
  virtual Result<bool> BeginsAnew() { return false; }
};

/// JSON lines added to a file of mode 0600, on the disk before Deliver returns. A file that was moved away
/// (logrotate) is begun anew; a last line of ours that was cut is taken away, and a file of anybody else's is
/// left as it is.
std::unique_ptr<AuditSink> MakeAuditFileSink(const std::string& path);
/// RFC 5424, facility 13 (log audit): datagrams to the unix socket at an absolute path, or frames with octet
/// counts (RFC 6587) to "tcp://host:port".
std::unique_ptr<AuditSink> MakeAuditSyslogSink(const std::string& address);
/// Entries of the journal with fields of their own.
std::unique_ptr<AuditSink> MakeAuditJournalSink();
/// nullptr: nothing is exported.
std::unique_ptr<AuditSink> MakeAuditSink(const AuditSection& options);

}  // namespace skms::appliance
