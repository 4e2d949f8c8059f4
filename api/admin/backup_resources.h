// Backups on the admin socket: made by the daemon, fetched piece by piece by whoever asked, removed; and what
// was found of one recorded.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

http::Response MakeBackup(const AdminDependencies& deps, Call& call);
http::Response ReadBackup(const AdminDependencies& deps, Call& call);
http::Response RemoveBackup(const AdminDependencies& deps, const Call& call);
/// Of the body {"sha256"}: the backup's. Errors: kInvalidArgument.
Result<std::string> RestoreHashIn(Call& call);
http::Response AuthoriseRestore(const AdminDependencies& deps, Call& call);
http::Response RecordBackupCheck(const AdminDependencies& deps, Call& call);

}  // namespace skms::admin
