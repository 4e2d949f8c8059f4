// Recipients and issuers on the admin socket.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

http::Response ListRecipients(const AdminDependencies& deps);
http::Response AddRecipient(const AdminDependencies& deps, Call& call);
http::Response ListIssuers(const AdminDependencies& deps);
http::Response AddIssuer(const AdminDependencies& deps, Call& call);
http::Response FetchIssuerKeys(const AdminDependencies& deps, const Call& call);

}  // namespace skms::admin
