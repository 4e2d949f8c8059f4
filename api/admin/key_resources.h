// Keys and provisioned payloads on the admin socket; never their material.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

http::Response ListKeys(const AdminDependencies& deps, Call& call);
http::Response ShowKey(const AdminDependencies& deps, const Call& call);
http::Response ChangeKey(const AdminDependencies& deps, Call& call);
http::Response RotateKey(const AdminDependencies& deps, Call& call);
http::Response ListPayloads(const AdminDependencies& deps, Call& call);
http::Response RemovePayload(const AdminDependencies& deps, const Call& call);

}  // namespace skms::admin
