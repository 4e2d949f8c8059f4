// Rotation held because of a leap of the clock, kept in the database so that a restart does not forget it.
#include <soci/soci.h>

#include <algorithm>
#include <charconv>

#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

AuditEntry DoneBy(const PrincipalId& by, const char* action, const std::string& reason) {
  AuditEntry entry;
  entry.actor = by.value();
  entry.action = action;
  entry.outcome = "granted";
  entry.reason = reason;
  return entry;
}

}  // namespace

Status KeyStore::HoldRotation(const PrincipalId& by, const RotationHold& hold) {
  State& state = *state_;
  const std::string value = std::to_string(hold.since) + ' ' + hold.reason;
  return state.database->Write([&](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'rotation_hold'";
    session << "INSERT INTO meta (name, value) VALUES ('rotation_hold', :value)", soci::use(value);
    return AppendAudit(session, state.clock, DoneBy(by, "rotation.hold", hold.reason));
  });
}

Status KeyStore::ResumeRotation(const PrincipalId& by, const std::string& reason) {
  State& state = *state_;
  return state.database->Write([&](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'rotation_hold'";
    return AppendAudit(session, state.clock, DoneBy(by, "rotation.resume", reason));
  });
}

Result<std::optional<RotationHold>> KeyStore::HeldRotation() {
  std::string value;
  bool held = false;
  SKMS_TRYV(state_->database->Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = 'rotation_hold'", soci::into(value);
    held = session.got_data();
    return Ok();
  }));
  if (!held) return std::optional<RotationHold>();
  RotationHold hold;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), hold.since);
  if (code != std::errc{}) return IntegrityError("meta 'rotation_hold' begins with no time");
  const auto read = static_cast<std::size_t>(end - value.data());
  hold.reason = value.substr(std::min(value.size(), read + 1));
  return std::optional(std::move(hold));
}

}  // namespace skms::keystore
