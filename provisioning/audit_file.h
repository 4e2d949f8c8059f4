// The audit chain in a file: JSON lines, each an entry or a checkpoint as the admin API has them, checkpoints
// after the entry that they speak of.
//
// One thread.
#pragma once

#include <cstdint>
#include <fstream>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "keystore/audit_verifier.h"

namespace skms::provisioning {

/// Where a file ends, for more to be added.
struct AuditFileEnd {
  std::int64_t seq = 0;  ///< of its last entry; 0: there is none
  std::string hash = keystore::kAuditGenesis;
};

/// The lines of a page of the admin API (/admin/v1/audit/chain), in the file's order.
std::vector<nlohmann::json> LinesOf(const nlohmann::json& page);

/// Through `verifier`, line by line. Errors: kIo; kIntegrity, with file and line.
Status ReadAuditLines(std::istream& lines, const std::string& name, keystore::AuditVerifier& verifier);
Status ReadAuditFile(const std::string& path, keystore::AuditVerifier& verifier);
/// Of a file that is not there: nothing. Errors: kIo, kIntegrity (its last line is cut).
Result<AuditFileEnd> EndOfAuditFile(const std::string& path);

/// Appends lines to a file of mode 0600. Errors: kIo.
class AuditFileWriter {
 public:
  /// A file that is not there yet.
  static Result<AuditFileWriter> Create(const std::string& path);
  static Result<AuditFileWriter> Open(const std::string& path);
  AuditFileWriter(AuditFileWriter&& other) noexcept;
  AuditFileWriter& operator=(AuditFileWriter&&) = delete;
  AuditFileWriter(const AuditFileWriter&) = delete;
  AuditFileWriter& operator=(const AuditFileWriter&) = delete;
  ~AuditFileWriter();

  Status Write(const nlohmann::json& line);
  /// What is written so far stays, whatever comes.
  Status Mark();
  Status DropAfterMark();
  /// Everything is on the disk.
  Status Finish();

 private:
  explicit AuditFileWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status Flush();

  std::string path_;
  int fd_;
  std::int64_t marked_ = 0;
  std::string buffer_;
};

}  // namespace skms::provisioning
