// The audit chain on the admin socket: verified, read to be kept elsewhere, searched, signed, archived.
//
// Functions over the dependencies; thread-safe as those are.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "api/admin/admin_api.h"
#include "api/admin/admin_call.h"

namespace skms::admin {

/// For the status: entries, head, and how far it is signed.
nlohmann::json AuditJson(const AdminDependencies& deps, const keystore::AuditSummary& head);

http::Response VerifyAudit(const AdminDependencies& deps, const Call& call);
http::Response ReadAudit(const AdminDependencies& deps, Call& call);
http::Response SearchAudit(const AdminDependencies& deps, Call& call);
http::Response ListAuditKeys(const AdminDependencies& deps, const Call& call);
http::Response SignAudit(const AdminDependencies& deps, const Call& call);
http::Response ArchiveAudit(const AdminDependencies& deps, Call& call);

}  // namespace skms::admin
