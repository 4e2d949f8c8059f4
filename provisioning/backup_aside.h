// What a restore and a drill have in common: a backup becomes a database aside, and is looked at. Functions.
#pragma once

#include <memory>
#include <string>

#include "appliance/config/configuration.h"
#include "hsm/crypto_module.h"
#include "keystore/backup.h"
#include "keystore/scratch_directory.h"

namespace skms::provisioning {

/// A backup, decrypted where nobody else reads. The directory goes with the object.
struct BackupAside {
  keystore::ScratchDirectory scratch;
  std::unique_ptr<hsm::CryptoModule> module;
  keystore::BackupContents contents;
};

/// Errors: kStorage (no room), those of hsm::CryptoModule::Open and keystore::OpenBackup.
Result<BackupAside> DecryptAside(const appliance::Configuration& configuration, const std::string& suffix,
                                 const std::string& file);

/// What is wrong, row by row as far as it is named.
std::string DamageText(const keystore::DatabaseCheck& found);
/// Empty, or that strict keys cannot be used here.
std::string StrictWarning(const std::string& missing_kek);

}  // namespace skms::provisioning
