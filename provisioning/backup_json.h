// What is told of a backup's header. Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "keystore/backup_file.h"

namespace skms::provisioning {

nlohmann::json BackupJson(const std::string& file, const keystore::BackupContents& contents);
std::string BackupPairs(const keystore::BackupContents& contents);

}  // namespace skms::provisioning
