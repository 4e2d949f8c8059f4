// The file of a backup, as somebody made it who wants it restored; and the report of a drill.
#include "keystore/backup_file.h"

#include <sstream>

#include "base/encoding.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

/// Of whoever wrote the corpus; the private key is gone, so that nothing new can be signed with it.
constexpr std::string_view kSigningKey =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUEO4cNGsgs-t31z8zjHiWZuDoll1SC_"
    "E44BAP0eyGBZFa9LpJJUXm63DGLvSLZ6o_aj3q1J-e5qj4lP32XWczA";
/// The data key of the corpus's backups: 00 01 … 1f.
SecretBytes DataKey() {
  Bytes octets(ChunkCipher::kKeyBytes);
  for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<std::uint8_t>(i);
  return SecretBytes::TakeFrom(octets);
}

struct SeenPart {
  bool last;
  Bytes sealed;
};

/// The file that says the same, put together anew.
std::string Again(const keystore::BackupContents& contents, const std::vector<SeenPart>& parts) {
  const auto word = [](std::size_t value) {
    std::string text;
    for (const unsigned shift : {24U, 16U, 8U, 0U}) text += static_cast<char>((value >> shift) & 0xffU);
    return text;
  };
  std::string file(keystore::kBackupMagic);
  file += word(contents.header_text.size());
  file += contents.header_text;
  for (const SeenPart& part : parts) {
    file += word(part.sealed.size() | (part.last ? 0x80000000U : 0U));
    file += AsText(part.sealed);
  }
  file += word(contents.statement_text.size());
  return file + contents.statement_text;
}

void CheckSigned(const keystore::BackupContents& contents, const std::vector<SeenPart>& parts,
                 std::string_view input) {
  Require(contents.statement.bytes < 1000 && parts.size() == 1, "nothing is added to what was signed", input);
  const auto cipher = keystore::PartCipher(DataKey(), contents.header_text);
  Require(cipher.has_value() && cipher.value().Open(0, true, parts[0].sealed).has_value(),
          "what was signed opens", input);
}

void CheckBackup(std::string_view input) {
  std::vector<SeenPart> parts;
  bool began = false;
  const keystore::BackupVisitor visitor{
      [&](const keystore::BackupHeader& header, const std::string& text) -> Status {
        began = true;
        Require(keystore::BackupHeaderText(header) == text, "a header has one spelling", input);
        return Ok();
      },
      [&](std::uint64_t number, bool last, ByteView sealed) -> Status {
        Require(began && number == parts.size(), "parts come in their order, behind the header", input);
        Require(sealed.size() > ChunkCipher::kTagBytes, "none is empty", input);
        parts.push_back({last, {sealed.begin(), sealed.end()}});
        return Ok();
      }};
  std::istringstream file{std::string(input)};
  const auto read = keystore::ReadBackup(file, "f", visitor);
  if (read.has_error()) {
    Require(read.error().code == ErrorCode::kIntegrity && !read.error().detail.empty(), "a refusal says why",
            input);
    return;
  }
  const keystore::BackupContents& contents = read.value();
  Require(Again(contents, parts) == input, "a backup has one spelling", input);
  Require(!parts.empty() && parts.back().last, "it has an end", input);
  Require(keystore::VerifyBackupSignature(contents, {}).has_error(), "without a key nothing is believed",
          input);
  if (keystore::VerifyBackupSignature(contents, {*FromBase64Url(kSigningKey)}).has_value())
    CheckSigned(contents, parts, input);
}

void CheckDrill(std::string_view input) {
  const auto jws = ReadJws(input);
  if (jws.has_error()) return;
  const auto report = keystore::ReadDrillReport(jws.value().payload);
  if (report.has_error()) return;
  Require(keystore::DrillReportText(report.value()) == jws.value().payload, "a report has one spelling",
          input);
}

void CheckBackupFile(std::string_view input) {
  CheckBackup(input);
  CheckDrill(input);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(backup_file, skms::fuzz::CheckBackupFile)
