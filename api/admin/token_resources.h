// The tokens, and the life of the token keys, on the admin socket: who holds which generations, a token that
// joins, the next generation, how far the rows are, the end of the former one.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

http::Response ListTokens(const AdminDependencies& deps);
http::Response ShowJoinKey(const AdminDependencies& deps, Call& call);
http::Response JoinToken(const AdminDependencies& deps, Call& call);
http::Response ShowTokenKeys(const AdminDependencies& deps);
http::Response RotateTokenKeys(const AdminDependencies& deps, Call& call);
http::Response RetireTokenKeys(const AdminDependencies& deps, Call& call);

}  // namespace skms::admin
