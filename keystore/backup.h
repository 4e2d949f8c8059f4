// Making a backup, and taking one: the values that KeyStore's verbs of it have, and what is done before there
// is a KeyStore, or where there can be none. docs/backup.md.
//
// Functions; thread-safe where their files are the caller's own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hsm/crypto_module.h"
#include "keystore/backup_file.h"
#include "keystore/backup_header.h"

namespace skms::keystore {

class Database;

struct BackupOrder {
  std::string path;     ///< the file to be made; nothing may be there
  std::string scratch;  ///< for the snapshot, in a directory that nobody else reads; removed at the end
  std::string server;   ///< skmsId
  std::string version;  ///< of this program
  /// Also where the audit chain or the directory was changed: what is wrong is recorded.
  bool with_damage = false;
  /// Asked again and again; true: nobody needs it any more.
  std::function<bool()> stopped = [] { return false; };
};

struct BackupMade {
  BackupHeader header;
  BackupStatement statement;
  std::string jws;
  std::vector<std::string> damage;  ///< by order.with_damage
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

/// A whole database, looked at.
struct DatabaseCheck {
  bool readable = true;  ///< false: what is said in `rows.trouble` left nothing else to be looked at
  RowCheck rows;
  std::string chain;  ///< what is wrong with the audit chain; empty: it is whole
  std::int64_t entries = 0;
  std::string head;  ///< hex

  bool sound() const { return rows.damaged == 0 && chain.empty(); }
};

/// Encrypts the database at `order.scratch`, and signs it. `header`: server, version and time_ms are set, the
/// rest is read from the snapshot. Errors: kStorage, kIo (nothing is left at `order.path`), the token's.
Result<BackupMade> WriteBackup(hsm::CryptoModule& module, const BackupOrder& order, BackupHeader header);

/// Errors: kTokenBlank, naming the token keys that no token holds, and what to do.
Status CheckTokensHold(const hsm::CryptoModule& module, const BackupHeader& header);

/// Verifies the backup `file` by the tokens' signing keys, and only then decrypts it into a new file
/// `database`, as it was when the backup was made: what is wrong in it is found by CheckDatabaseFile and
/// CheckDatabase. Errors: kIntegrity (it was changed, cut, or is another token's), kTokenBlank (a token key
/// is missing), kIo, the token's. Nothing is left at `database` then.
Result<BackupContents> OpenBackup(const std::string& file, const std::string& database,
                                  hsm::CryptoModule& module);

/// SQLite's look at the database `path`, each row's MAC, up to `sample` keys of each state opened, and the
/// audit chain. Whatever somebody did to it is in the outcome, so that it can be reported. Uses the token
/// keys that the database names. Errors: kStorage, kNewerSchema, the token's.
Result<DatabaseCheck> CheckDatabase(const std::string& path, hsm::CryptoModule& module, std::size_t sample);

/// The same of one that is open, by the token keys in use. Errors: kStorage, kStoreUnavailable, the token's.
Result<DatabaseCheck> CheckOpened(Database& database, hsm::CryptoModule& module, std::size_t sample);

/// Each row of `database`, by KeyStore::CheckRows.
Result<RowCheck> CheckRowsOf(Database& database, hsm::CryptoModule& module, std::size_t sample);
/// Services, principals, recipients, issuers and subscriptions alone: without them no KeyStore opens.
Result<RowCheck> CheckDirectoryOf(Database& database, hsm::CryptoModule& module);

/// The strict KEK that `header` needs and no token of the configuration holds; empty: none is missing.
std::string MissingStrictKek(hsm::CryptoModule& module, const BackupHeader& header);

/// Reads all of a backup, to be verified by whoever has the public key. Errors: kIntegrity, kIo.
Result<BackupContents> ReadBackupFile(const std::string& file);

}  // namespace skms::keystore
