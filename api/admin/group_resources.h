// VAL groups on the admin socket.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

http::Response ListGroups(const AdminDependencies& deps, Call& call);
http::Response ShowGroup(const AdminDependencies& deps, Call& call);
http::Response RekeyGroup(const AdminDependencies& deps, Call& call);
http::Response RemoveGroup(const AdminDependencies& deps, Call& call);

}  // namespace skms::admin
