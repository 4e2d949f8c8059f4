// The file of a backup, without a token: what is written is read, and nothing else is.
#include "keystore/backup_file.h"

#include <doctest/doctest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <fstream>
#include <sstream>

#include "base/file.h"
#include "hsm/openssl_keys.h"
#include "tests/support/temporary_directory.h"

namespace skms::keystore {
namespace {

SecretBytes KeyOf(std::uint8_t octet) { return SecretBytes::CopyOf(Bytes(32, octet)); }

BackupHeader Header() {
  BackupHeader header;
  header.server = "skms-1";
  header.version = "1.0";
  header.time_ms = 1764324000123;
  header.schema = 7;
  header.tokens = "skms/0123 hsm-b/4567";
  header.kek = {1, 2, 11};
  header.strict_kek = {1};
  header.mac = {2};
  header.sign = 2;
  header.services = 1;
  header.key_versions = 20;
  header.payloads = 3;
  header.entries = 99;
  header.head = std::string(64, 'a');
  header.checkpoint = "a.b.c";
  header.data_key = {2, std::string(hsm::kFormatRfc5649), Bytes(40, 5)};
  return header;
}

/// A backup of `size` octets of a database; `jws` in place of a token's signature.
std::string Made(std::size_t size, const std::string& jws_of_another = "") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("b");
  const std::string text = BackupHeaderText(Header());
  const auto cipher = PartCipher(KeyOf(9), text);
  auto file = NewFile::Create(path);
  REQUIRE(file.has_value());
  BackupWriter writer(file.value(), cipher.value());
  REQUIRE(writer.WriteHeader(text).has_value());
  for (std::size_t done = 0; done < size;) {
    const std::size_t now = std::min(size - done, kBackupPart);
    done += now;
    REQUIRE(writer.WritePart(Bytes(now, static_cast<std::uint8_t>(done)), done == size).has_value());
  }
  const std::string payload = BackupStatementText(writer.Statement(Header().time_ms));
  const std::string jws =
      JwsText(JwsSignedPart({"ES256", "skms-sign-2", kBackupType}, payload), Bytes(64, 1));
  REQUIRE(writer.WriteStatement(jws_of_another.empty() ? jws : jws_of_another).has_value());
  REQUIRE(file.value().Finish().has_value());
  return ReadFile(path, 10000000).value();
}

Result<BackupContents> Read(const std::string& octets, const BackupVisitor& visitor = {}) {
  std::istringstream file(octets);
  return ReadBackup(file, "b", visitor);
}

std::string WhyNot(const std::string& octets) {
  const auto read = Read(octets);
  REQUIRE(read.has_error());
  CHECK(read.error().code == ErrorCode::kIntegrity);
  return read.error().detail;
}

TEST_CASE("what a header says is what was said") {
  const std::string text = BackupHeaderText(Header());
  const auto read = ReadBackupHeader(text);
  REQUIRE(read.has_value());
  CHECK(BackupHeaderText(read.value()) == text);
  CHECK(read.value().kek == std::set<std::uint32_t>{1, 2, 11});
  CHECK(read.value().data_key.bytes == Bytes(40, 5));
  CHECK(read.value().checkpoint == "a.b.c");
  for (const char* wrong : {"", "{}", "[]"}) CHECK(ReadBackupHeader(wrong).has_error());
  CHECK(ReadBackupHeader(text + " ").has_error());
  for (const char* part : {"\"1 2 11\"", "\"sign\":2", "\"schema\":7"}) {
    std::string changed = text;
    changed.replace(changed.find(part), std::string(part).size(), "\"1 2 x\"");
    CHECK(ReadBackupHeader(changed).has_error());
  }
}

TEST_CASE("the report of a drill says once whether it passed") {
  DrillReport report;
  report.hash = std::string(64, 'b');
  report.rows = 7;
  report.could_open = 5;
  report.sampled = 3;
  const std::string passed = DrillReportText(report);
  CHECK(ReadDrillReport(passed).value().passed());
  report.failed = 1;
  const std::string failed = DrillReportText(report);
  CHECK_FALSE(ReadDrillReport(failed).value().passed());
  std::string contradicts = failed;
  contradicts.replace(contradicts.find("failed"), 6, "passed");
  CHECK(ReadDrillReport(contradicts).error().detail.find("contradicts itself") != std::string::npos);
}

TEST_CASE("a drill that opened none of the keys did not pass, nor did one whose chain is not whole") {
  DrillReport report;
  CHECK(std::string(report.result()) == "passed");  // there is no key
  report.could_open = 9;
  report.sampled = 3;
  report.strict = 3;
  report.missing = "skms-strict-kek-1";
  CHECK(std::string(report.result()) == "unproven");
  CHECK_FALSE(report.passed());
  const DrillReport read = ReadDrillReport(DrillReportText(report)).value();
  CHECK(read.missing == report.missing);
  CHECK(std::string(read.result()) == "unproven");
  report.strict = 2;
  CHECK(report.passed());
  report.chain = "entry 2 was changed";
  CHECK(std::string(report.result()) == "failed");
  CHECK(ReadDrillReport(DrillReportText(report)).value().chain == report.chain);
}

TEST_CASE("a backup of any number of parts opens to what was written") {
  for (const std::size_t size :
       {std::size_t{1}, kBackupPart - 1, kBackupPart, kBackupPart + 1, 3 * kBackupPart}) {
    CAPTURE(size);
    std::size_t opened = 0;
    std::optional<ChunkCipher> cipher;
    const BackupVisitor visitor{[&](const BackupHeader&, const std::string& text) -> Status {
                                  cipher.emplace(PartCipher(KeyOf(9), text).value());
                                  return Ok();
                                },
                                [&](std::uint64_t number, bool last, ByteView sealed) -> Status {
                                  SKMS_TRY(const Bytes plain, cipher->Open(number, last, sealed));
                                  opened += plain.size();
                                  CHECK(plain.back() == static_cast<std::uint8_t>(opened));
                                  return Ok();
                                }};
    const auto read = Read(Made(size), visitor);
    REQUIRE(read.has_value());
    CHECK(opened == size);
    CHECK(read.value().part_bytes == static_cast<std::int64_t>(size));
    CHECK(read.value().parts == (size + kBackupPart - 1) / kBackupPart);
  }
}

TEST_CASE("another header or another data key opens no part") {
  const std::string text = BackupHeaderText(Header());
  const Bytes sealed = PartCipher(KeyOf(9), text).value().Seal(0, true, Bytes(3, 1)).value();
  CHECK(PartCipher(KeyOf(9), text).value().Open(0, true, sealed).has_value());
  CHECK(PartCipher(KeyOf(9), text + " ").value().Open(0, true, sealed).has_error());
  CHECK(PartCipher(KeyOf(8), text).value().Open(0, true, sealed).has_error());
  CHECK(PartCipher(SecretBytes(31), text).has_error());
}

TEST_CASE("each octet that is changed, each cut and each addition is found without any key") {
  const std::string whole = Made(200);
  REQUIRE(Read(whole).has_value());
  // The signature's own octets are for VerifyBackupSignature: all before them are found here.
  const std::size_t signature = whole.rfind('.');
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CAPTURE(i);
    CHECK(Read(whole.substr(0, i)).has_error());
    if (i >= signature) continue;
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    // What changes in the JWS's header, and leaves it a header, is found with the key.
    const auto read = Read(changed);
    CHECK((read.has_error() || read.value().jws.header.kid != "skms-sign-2" ||
           read.value().jws.header.alg != "ES256"));
  }
  CHECK(WhyNot(whole + "x").find("added behind its end") != std::string::npos);
  CHECK(WhyNot(whole.substr(0, whole.size() - 1)).find("cut") != std::string::npos);
}

TEST_CASE("each kind of wrong file is told from the others") {
  CHECK(WhyNot("").find("is no backup of skms") != std::string::npos);
  CHECK(WhyNot("skms-backup 2\n").find("one of another version") != std::string::npos);
  CHECK(WhyNot("skms-backup 1\n\xff\xff\xff\xff").find("header is longer") != std::string::npos);
  const std::string other =
      JwsText(JwsSignedPart({"ES256", "skms-sign-2", "skms-audit"}, "{}"), Bytes(64, 1));
  CHECK(WhyNot(Made(5, other)).find("what the token signed of it cannot be read") != std::string::npos);
  const std::string elsewhere =
      JwsText(JwsSignedPart({"ES256", "skms-sign-2", kBackupType},
                            BackupStatementText({std::string(64, '0'), 5, Header().time_ms})),
              Bytes(64, 1));
  CHECK(WhyNot(Made(5, elsewhere)).find("it is not what the token signed") != std::string::npos);
  CHECK(WhyNot(Made(5, std::string(kMostStatement + 1, 'x'))).find("longer than it can be") !=
        std::string::npos);
}

TEST_CASE("a signature counts by a key that is given, and by no other") {
  const auto contents = Read(Made(5));
  REQUIRE(contents.has_value());
  const hsm::PkeyPtr strange(EVP_EC_gen("P-256"));
  const auto refused =
      VerifyBackupSignature(contents.value(), {hsm::PublicSpki(strange.get()).value(), Bytes(3, 1)});
  REQUIRE(refused.has_error());
  CHECK(refused.error().detail.find("'skms-sign-2' of skms-1") != std::string::npos);
}

}  // namespace
}  // namespace skms::keystore
