// Requests for approval on the admin socket; and what needs approval, done once it is there.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include <functional>
#include <string_view>

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

/// `perform`s at once what needs no approval, or has it; else it becomes a request: 202. What was approved
/// and then not done may be tried again under the same approval.
http::Response PerformApproved(const AdminDependencies& deps, std::string_view method,
                               std::string_view pattern, Call& call,
                               const std::function<http::Response()>& perform);

http::Response ListApprovals(const AdminDependencies& deps, const Call& call);
http::Response ShowApproval(const AdminDependencies& deps, const Call& call);
http::Response Approve(const AdminDependencies& deps, Call& call);
http::Response RefuseApproval(const AdminDependencies& deps, Call& call);
http::Response WithdrawApproval(const AdminDependencies& deps, const Call& call);

}  // namespace skms::admin
