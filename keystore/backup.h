// Making a backup, and taking one: the values that KeyStore's verbs of it have, and what is done before there
// is a KeyStore. docs/backup.md.
//
// Functions; thread-safe where their files are the caller's own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "hsm/crypto_module.h"
#include "keystore/backup_file.h"
#include "keystore/backup_header.h"

namespace skms::keystore {

struct BackupOrder {
  std::string path;     ///< the file to be made; nothing may be there
  std::string scratch;  ///< for the snapshot, in a directory that nobody else reads; removed at the end
  std::string server;   ///< skmsId
  std::string version;  ///< of this program
};

struct BackupMade {
  BackupHeader header;
  BackupStatement statement;
  std::string jws;
};

/// Each row's MAC, and some keys opened.
struct RowCheck {
  std::int64_t rows = 0;
  std::int64_t damaged = 0;
  std::int64_t could_open = 0;
  std::int64_t sampled = 0;
  std::int64_t failed = 0;
  std::int64_t strict = 0;           ///< of the sample: for TRUSTED recipients alone, not opened
  std::vector<std::string> trouble;  ///< the first few rows that are damaged or did not open
};

/// Encrypts the database at `order.scratch`, and signs it. `header`: server, version and time_ms are set, the
/// rest is read from the snapshot. Errors: kStorage, kIo (nothing is left at `order.path`), the token's.
Result<BackupMade> WriteBackup(hsm::CryptoModule& module, const BackupOrder& order, BackupHeader header);

/// Errors: kTokenBlank, naming the token keys that no token holds, and what to do.
Status CheckTokensHold(const hsm::CryptoModule& module, const BackupHeader& header);

/// Verifies the backup `file` by the tokens' signing keys, and only then decrypts it into a new file
/// `database`, which SQLite finds whole. What the rows say is looked at by KeyStore::Open and CheckRows.
/// Errors: kIntegrity (it was changed, cut, or is another token's), kTokenBlank (a token key is missing),
/// kIo, the token's. Nothing is left at `database` then.
Result<BackupContents> OpenBackup(const std::string& file, const std::string& database,
                                  hsm::CryptoModule& module);

/// Reads all of a backup, to be verified by whoever has the public key. Errors: kIntegrity, kIo.
Result<BackupContents> ReadBackupFile(const std::string& file);

}  // namespace skms::keystore
