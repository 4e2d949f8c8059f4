// A database that several servers use: what one learns of the others' changes, and which one leads.
#include <soci/soci.h>

#include "base/log.h"
#include "keystore/decision.h"
#include "keystore/key_store.h"
#include "keystore/key_store_state.h"
#include "keystore/schema.h"
#include "keystore/store_move.h"
#include "keystore/token_key_use.h"

namespace skms::keystore {

/// Another server, or process, may have made those in use in a token that was opened here before, or have
/// destroyed former ones.
Status KeyStore::State::LearnTokenKeys() {
  SKMS_TRY(std::string text, ReadTokenKeyUseText(*database));
  // Not even a token that is lost is asked for what is known.
  if (text == token_key_use_text && !HoldFormer(module.tokens(), module.generations())) return Ok();
  const auto learn = [this]() -> Status {
    SKMS_TRY(const std::optional<TokenKeyUse> use, ReadTokenKeyUse(*database, module));
    if (!use) return Ok();
    SKMS_TRYV(module.UseGenerations(use->generations));
    lasting = true;
    return Ok();
  };
  module.FindKeysAnew();
  SKMS_TRYV(learn());
  token_key_use_text = std::move(text);
  // What a key that is gone has vouched for counts no more.
  answers.Clear();
  return Ok();
}

Status KeyStore::State::LearnAnew() {
  // Another process may have had it meanwhile.
  SKMS_TRYV(CheckNotMoved(*database));
  SKMS_TRY(const int version, ReadSchemaVersion(*database));
  if (version != kSchemaVersion)
    return Error{ErrorCode::kNewerSchema, "the database has schema version " + std::to_string(version) +
                                              " by now, and this program knows version " +
                                              std::to_string(kSchemaVersion)};
  SKMS_TRY(const AuditSummary head, ReadAuditHead(*database));
  if (head.entries < signed_up_to)
    return IntegrityError("the audit chain of this server ends with entry " + std::to_string(head.entries) +
                          ", and entry " + std::to_string(signed_up_to) +
                          " was signed: it lacks what was acknowledged");
  SKMS_TRYV(LearnTokenKeys());
  SKMS_TRYV(directory->Reload());
  payloads_exist = true;  // for all that is known
  ++changes_by_hand;
  deliveries.Clear();
  return Ok();
}

void KeyStore::State::HearOfOthers() {
  database->OnReconnected([this] { return LearnAnew(); });
  if (!database->is_shared()) return;
  payloads_exist = true;
  database->OnChangedElsewhere([this](const Places& places) {
    deliveries.ChangedElsewhere(places);
    ++changes_by_hand;
  });
}

Status KeyStore::State::CheckLeads() {
  if (database->leads()) return Ok();
  std::string leader;
  SKMS_TRYV(database->Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = 'leader'", soci::into(leader);
    return Ok();
  }));
  return Conflict("this is done by the server that leads, and this one does not: ask " +
                  (leader.empty() ? "another one" : "'" + leader + "'"));
}

bool KeyStore::is_shared() const { return state_->database->is_shared(); }
Decision KeyStore::Decide() const { return Decision(state_->database->learnt()); }
bool KeyStore::HasLearntSince(const Decision& decision) const {
  return state_->database->learnt() != decision.learnt();
}
bool KeyStore::leads() const { return state_->database->leads(); }

std::uint64_t KeyStore::term() const { return state_->database->term(); }

Status KeyStore::LookAround() { return state_->database->LookAround(); }

Status KeyStore::SeekLead() {
  State& state = *state_;
  if (!is_shared()) return Ok();
  // Without a token nothing of it could be done.
  Status sought = state.database->SeekLead(state.module.health().available);
  if (sought.has_error()) {
    state.database->DoubtLead();
    return sought;
  }
  const std::uint64_t term = state.database->term();
  if (!leads() || state.told_term == term) return Ok();
  AuditEntry entry;
  entry.actor = "skmsd";
  entry.action = "server.lead";
  entry.outcome = "granted";
  entry.reason = "server=" + state.server;
  const DatabaseWork write = [&](soci::session& session) -> Status {
    session << "DELETE FROM meta WHERE name = 'leader'";
    session << "INSERT INTO meta (name, value) VALUES ('leader', :value)", soci::use(state.server);
    return AppendAudit(session, state.clock, entry);
  };
  SKMS_TRYV(state.database->WriteAnyway(write, Touches::kNothingDelivered));
  state.told_term = term;
  return Ok();
}

Result<std::string> KeyStore::Leader() {
  std::string leader;
  if (!is_shared()) return leader;
  SKMS_TRYV(state_->database->Read([&](soci::session& session) -> Status {
    session << "SELECT value FROM meta WHERE name = 'leader'", soci::into(leader);
    return Ok();
  }));
  return leader;
}

}  // namespace skms::keystore
