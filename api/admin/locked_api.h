// The admin socket's API while the appliance is locked: health, state and unlock. Everything else of
// api/openapi/skms_admin.yaml is answered 503 with the cause "locked".
//
// The same peers as ever may use it. Thread-safe; the dependencies must outlive the Api.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "api/admin/peer_access.h"
#include "api/http/router.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "keystore/key_store.h"

namespace skms::admin {

struct LockedDependencies {
  AdminAccess access;
  std::string skms_id;
  std::string version;
  const Clock& clock;
  std::int64_t started = 0;                           ///< seconds since 1970
  std::function<std::vector<std::string>()> reasons;  ///< what it waits for
  std::function<std::string()> metrics;               ///< in Prometheus' text format
  /// The label is empty where there is one token. Errors: kPinIncorrect, and why it cannot be opened.
  std::function<Status(const std::string& label, SecretBytes pin, const keystore::Requester& by)> unlock;
};

void RegisterLockedApi(http::Api& api, LockedDependencies dependencies);

}  // namespace skms::admin
