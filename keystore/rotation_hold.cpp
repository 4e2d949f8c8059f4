// Rotation held because of a leap of the clock, kept in the database so that a restart does not forget it.
#include <soci/soci.h>

#include <charconv>

#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

constexpr std::int64_t kLatest = 253402300799;  // the year 9999

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
  const std::string value = std::to_string(hold.since) + ' ' + std::to_string(hold.leap) + ' ' + hold.reason;
  return state.database->Write(
      [&](soci::session& session) -> Status {
        session << "DELETE FROM meta WHERE name = 'rotation_hold'";
        session << "INSERT INTO meta (name, value) VALUES ('rotation_hold', :value)", soci::use(value);
        return AppendAudit(session, state.clock, DoneBy(by, "rotation.hold", hold.reason));
      },
      Touches::kNothingDelivered);
}

Status KeyStore::ResumeRotation(const PrincipalId& by, const std::string& reason) {
  State& state = *state_;
  SKMS_TRYV(state.CheckLeads());
  return state.database->Write(
      [&](soci::session& session) -> Status {
        session << "DELETE FROM meta WHERE name = 'rotation_hold'";
        return AppendAudit(session, state.clock, DoneBy(by, "rotation.resume", reason));
      },
      Touches::kNothingDelivered);
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
  const char* const end = value.data() + value.size();
  const auto since = std::from_chars(value.data(), end, hold.since);
  const bool more = since.ec == std::errc{} && since.ptr != end;
  const auto leap = std::from_chars(more ? since.ptr + 1 : end, end, hold.leap);
  if (!more || leap.ec != std::errc{} || leap.ptr == end || hold.since < 0 || hold.since > kLatest ||
      hold.leap < 0 || hold.leap > kLatest) {
    return IntegrityError("row meta 'rotation_hold' is not one of ours");
  }
  hold.reason.assign(leap.ptr + 1, end);
  return std::optional(std::move(hold));
}

}  // namespace skms::keystore
