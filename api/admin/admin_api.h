// The administrator's API on the admin socket: /admin/v1/… and /healthz (api/openapi/skms_admin.yaml).
//
// The peer is known by SO_PEERCRED: root, the daemon's own user, or a member of the admin group. He is
// trusted with the details of errors, never with key material: no answer holds any. Every change is audited
// as "admin:<uid>". Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "api/http/router.h"
#include "base/clock.h"
#include "hsm/crypto_module.h"
#include "keystore/key_store.h"

namespace skms::admin {

struct AdminDependencies {
  keystore::KeyStore& store;
  hsm::CryptoModule& module;
  const Clock& clock;
  std::optional<gid_t> admin_group;
  std::string skms_id;
  std::string version;
  std::int64_t started = 0;       ///< seconds since 1970
  std::function<bool()> healthy;  ///< are all listeners alive
};

void RegisterAdminApi(http::Api& api, AdminDependencies dependencies);

}  // namespace skms::admin
