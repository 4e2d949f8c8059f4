#include "keystore/backup_header.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/encoding.h"
#include "base/plain_json.h"

namespace skms::keystore {
namespace {

std::string TextOf(const std::set<std::uint32_t>& generations) {
  std::string text;
  for (const std::uint32_t generation : generations) {
    if (!text.empty()) text += ' ';
    text += std::to_string(generation);
  }
  return text;
}

/// Members in their order; one that is missing makes all of it wrong.
class Members {
 public:
  explicit Members(std::string_view text) : reader_(text) {}

  std::string Text(const char* name) {
    auto value = reader_.Text(name);
    if (!value) whole_ = false;
    return value ? std::move(*value) : std::string();
  }
  std::int64_t Count(const char* name) {
    const auto value = reader_.Number(name);
    if (!value || *value < 0) whole_ = false;
    return value.value_or(0);
  }
  std::uint32_t Generation(const char* name) {
    const std::int64_t number = Count(name);
    if (number < 1 || number > INT32_MAX) whole_ = false;
    return static_cast<std::uint32_t>(number);
  }
  std::set<std::uint32_t> Generations(const char* name) {
    const std::string text = Text(name);
    std::set<std::uint32_t> out;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
      std::uint32_t number = 0;
      const auto [next, code] = std::from_chars(at, end, number);
      if (code != std::errc{}) break;
      out.insert(number);
      at = next != end && *next == ' ' ? next + 1 : next;
    }
    if (TextOf(out) != text) whole_ = false;
    return out;
  }
  void Is(const char* name, std::int64_t wanted) {
    if (reader_.Number(name) != wanted) whole_ = false;
  }
  Bytes Octets(const char* name) {
    auto octets = FromBase64Url(Text(name));
    if (!octets) whole_ = false;
    return octets ? std::move(*octets) : Bytes();
  }
  Status Finish(const char* what) const {
    if (whole_ && reader_.AtEnd()) return Ok();
    return IntegrityError(std::string(what) + " cannot be read");
  }

 private:
  PlainJsonReader reader_;
  bool whole_ = true;
};

}  // namespace

std::string BackupHeaderText(const BackupHeader& header) {
  return PlainJsonWriter()
      .Text("server", header.server)
      .Text("version", header.version)
      .Number("timeMs", header.time_ms)
      .Number("schema", header.schema)
      .Text("tokens", header.tokens)
      .Text("kek", TextOf(header.kek))
      .Text("strictKek", TextOf(header.strict_kek))
      .Text("mac", TextOf(header.mac))
      .Number("sign", header.sign)
      .Number("services", header.services)
      .Number("keyVersions", header.key_versions)
      .Number("payloads", header.payloads)
      .Number("entries", header.entries)
      .Text("head", header.head)
      .Text("checkpoint", header.checkpoint)
      .Number("dataKeyKek", header.data_key.kek_generation)
      .Text("dataKeyFormat", header.data_key.format)
      .Text("dataKey", ToBase64Url(header.data_key.bytes))
      .Done();
}

Result<BackupHeader> ReadBackupHeader(std::string_view text) {
  Members members(text);
  BackupHeader header;
  header.server = members.Text("server");
  header.version = members.Text("version");
  header.time_ms = members.Count("timeMs");
  header.schema = members.Count("schema");
  header.tokens = members.Text("tokens");
  header.kek = members.Generations("kek");
  header.strict_kek = members.Generations("strictKek");
  header.mac = members.Generations("mac");
  header.sign = members.Generation("sign");
  header.services = members.Count("services");
  header.key_versions = members.Count("keyVersions");
  header.payloads = members.Count("payloads");
  header.entries = members.Count("entries");
  header.head = members.Text("head");
  header.checkpoint = members.Text("checkpoint");
  header.data_key.kek_generation = members.Generation("dataKeyKek");
  header.data_key.format = members.Text("dataKeyFormat");
  header.data_key.bytes = members.Octets("dataKey");
  SKMS_TRYV(members.Finish("the backup's header"));
  return header;
}

std::string BackupStatementText(const BackupStatement& statement) {
  return PlainJsonWriter()
      .Number("format", 1)
      .Text("sha256", statement.hash)
      .Number("bytes", statement.bytes)
      .Number("timeMs", statement.time_ms)
      .Done();
}

Result<BackupStatement> ReadBackupStatement(std::string_view text) {
  Members members(text);
  members.Is("format", 1);
  BackupStatement statement;
  statement.hash = members.Text("sha256");
  statement.bytes = members.Count("bytes");
  statement.time_ms = members.Count("timeMs");
  SKMS_TRYV(members.Finish("what was signed of the backup"));
  return statement;
}

const char* DrillReport::result() const {
  if (!whole()) return "failed";
  return passed() ? "passed" : "unproven";
}

std::string DrillReportText(const DrillReport& report) {
  return PlainJsonWriter()
      .Text("result", report.result())
      .Text("sha256", report.hash)
      .Number("backupMs", report.backup_ms)
      .Number("timeMs", report.time_ms)
      .Number("rows", report.rows)
      .Number("damaged", report.damaged)
      .Number("couldOpen", report.could_open)
      .Number("sampled", report.sampled)
      .Number("failed", report.failed)
      .Number("strict", report.strict)
      .Number("entries", report.entries)
      .Text("head", report.head)
      .Text("chain", report.chain)
      .Text("missing", report.missing)
      .Done();
}

Result<DrillReport> ReadDrillReport(std::string_view text) {
  Members members(text);
  DrillReport report;
  const std::string result = members.Text("result");
  report.hash = members.Text("sha256");
  report.backup_ms = members.Count("backupMs");
  report.time_ms = members.Count("timeMs");
  report.rows = members.Count("rows");
  report.damaged = members.Count("damaged");
  report.could_open = members.Count("couldOpen");
  report.sampled = members.Count("sampled");
  report.failed = members.Count("failed");
  report.strict = members.Count("strict");
  report.entries = members.Count("entries");
  report.head = members.Text("head");
  report.chain = members.Text("chain");
  report.missing = members.Text("missing");
  SKMS_TRYV(members.Finish("the report of the drill"));
  if (result != report.result()) return IntegrityError("the report of the drill contradicts itself");
  return report;
}

}  // namespace skms::keystore
