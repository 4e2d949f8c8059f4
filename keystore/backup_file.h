// The file of a backup: what it is made of, its writing and its reading.
//
//   "skms-backup 1\n"
//   4 octets: length of the header; the header (backup_header.h)
//   parts, each: 4 octets: length, the highest bit set in the last one; so many octets (base/chunk_cipher.h)
//   4 octets: length of the statement; the statement, a JWS of typ "skms-backup", signed by the token
//
// Lengths are big-endian. The statement has the SHA-256 of all before it, so that whoever has the public key
// alone sees whether all is there and as it was. The parts' key comes from the data key and the hash of the
// header: another header opens nothing. docs/backup.md.
//
// One thread for each reader or writer; nothing here holds more than one part in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "base/chunk_cipher.h"
#include "base/jws.h"
#include "base/new_file.h"
#include "base/result.h"
#include "base/running_digest.h"
#include "base/secret_bytes.h"
#include "keystore/backup_header.h"

namespace skms::keystore {

inline constexpr std::string_view kBackupMagic = "skms-backup 1\n";
inline constexpr std::size_t kBackupPart = 262144;  ///< octets of the database in every part but the last
inline constexpr std::size_t kMostHeader = 65536;
inline constexpr std::size_t kMostStatement = 8192;

/// The key of the parts. `data_key` has 32 octets.
Result<ChunkCipher> PartCipher(const SecretBytes& data_key, std::string_view header_text);

/// Writes one backup: header, parts, statement. Errors of all: kIo (also: no room), kInternal. Borrows both.
class BackupWriter {
 public:
  BackupWriter(NewFile& file, const ChunkCipher& cipher) : file_(file), cipher_(cipher) {}
  BackupWriter(const BackupWriter&) = delete;
  BackupWriter& operator=(const BackupWriter&) = delete;

  Status WriteHeader(std::string_view header_text);
  /// `plain`: kBackupPart octets, of the last part 1 to so many.
  Status WritePart(ByteView plain, bool last);
  /// What is to be signed, once the last part is written. Once.
  BackupStatement Statement(std::int64_t time_ms);
  Status WriteStatement(std::string_view jws);

 private:
  Status Put(ByteView octets);
  NewFile& file_;
  const ChunkCipher& cipher_;
  RunningSha256 hash_;
  std::int64_t bytes_ = 0;
  std::uint64_t parts_ = 0;
};

/// What a backup says, and who signed it.
struct BackupContents {
  BackupHeader header;
  std::string header_text;
  std::uint64_t parts = 0;
  std::int64_t part_bytes = 0;  ///< of the database
  BackupStatement statement;    ///< hash and length are what was read
  std::string statement_text;
  Jws jws;
};

struct BackupVisitor {
  /// The header, before anything is proven of it.
  std::function<Status(const BackupHeader& header, const std::string& text)> header =
      [](const auto&, const auto&) { return Ok(); };
  std::function<Status(std::uint64_t number, bool last, ByteView sealed)> part =
      [](std::uint64_t, bool, ByteView) { return Ok(); };
};

/// Reads all of it, to its end, and compares it with the statement; the signature is not looked at. Errors:
/// kIntegrity (`name` and what is wrong), kIo, those of `visitor`.
Result<BackupContents> ReadBackup(std::istream& file, const std::string& name, const BackupVisitor& visitor);

/// `keys`: SubjectPublicKeyInfo. Errors: kIntegrity: none of the keys signed it.
Status VerifyBackupSignature(const BackupContents& contents, const std::vector<Bytes>& keys);

}  // namespace skms::keystore
