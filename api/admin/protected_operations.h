// Which operations others must approve before they are done, and how one is named so that exactly it is
// approved.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include <optional>
#include <string_view>

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"
#include "keystore/approvals.h"

namespace skms::admin {

/// nullopt: `call` needs no approval. An error is the operation's own: what could not be done anyway, nobody
/// is asked to approve.
Result<std::optional<keystore::ApprovalOrder>> OrderToApprove(const AdminDependencies& deps,
                                                              std::string_view method,
                                                              std::string_view pattern, Call& call);

}  // namespace skms::admin
