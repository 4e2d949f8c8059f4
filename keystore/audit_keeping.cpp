// What the KeyStore does with its audit chain besides appending to it: checkpoints, search, archives.
#include <algorithm>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>

#include "base/delivery_receipt.h"
#include "base/digest.h"
#include "base/jws.h"
#include "base/log.h"
#include "base/secret_bytes.h"
#include "keystore/audit_checkpoint.h"
#include "keystore/audit_log.h"
#include "keystore/key_store.h"
#include "keystore/key_store_state.h"
#include "keystore/token_signature.h"

namespace skms::keystore {
namespace {

/// By the token's key of that generation.
Result<AuditCheckpoint> Sign(hsm::CryptoModule& module, std::uint32_t generation,
                             AuditCheckpoint checkpoint) {
  checkpoint.kid = SignKid(generation);
  SKMS_TRY(checkpoint.jws, SignJws(module, generation, kCheckpointType, CheckpointPayload(checkpoint)));
  return checkpoint;
}

std::set<std::uint32_t> HeldSigningKeys(const hsm::CryptoModule& module) {
  std::set<std::uint32_t> held;
  for (const hsm::TokenStatus& token : module.tokens())
    held.insert(token.held.sign.begin(), token.held.sign.end());
  return held;
}

}  // namespace

Result<std::string> KeyStore::SignReceipt(const DeliveryReceipt& receipt) {
  return SignJws(state_->module, state_->module.generations().sign, kReceiptType, ReceiptPayload(receipt));
}

Result<AuditSummary> KeyStore::Audit() { return ReadAuditHead(*state_->database); }

Result<std::vector<AuditKey>> KeyStore::AuditKeys() {
  std::vector<AuditKey> keys;
  for (const std::uint32_t generation : HeldSigningKeys(state_->module)) {
    SKMS_TRY(Bytes spki, state_->module.SigningPublicKey(generation));
    keys.push_back({SignKid(generation), std::move(spki)});
  }
  return keys;
}

Result<AuditVerdict> VerifyChainOf(Database& database, hsm::CryptoModule& module,
                                   const std::function<Status()>& watch) {
  const std::set<std::uint32_t> held = HeldSigningKeys(module);
  std::vector<Bytes> known;
  known.reserve(held.size());
  for (const std::uint32_t generation : held) {
    SKMS_TRY(Bytes spki, module.SigningPublicKey(generation));
    known.push_back(std::move(spki));
  }
  AuditVerifier verifier(std::move(known));
  SKMS_TRYV(VerifyAuditChain(database, verifier, watch));
  return verifier.verdict();
}

Result<AuditVerdict> KeyStore::VerifyAudit() { return VerifyChainOf(*state_->database, state_->module); }

/// The last checkpoint, if all that it says is so. Errors: kIntegrity (somebody wrote it, or what it speaks
/// of).
Result<std::optional<AuditCheckpoint>> KeyStore::State::GoodLastCheckpoint(const AuditSummary& head) {
  SKMS_TRY(std::optional<AuditCheckpoint> last, ReadLastCheckpoint(*database));
  const std::int64_t signed_here = signed_up_to;
  if (signed_here > (last ? last->seq : 0))
    return IntegrityError("the audit checkpoint of entry " + std::to_string(signed_here) +
                          " is gone from the database");
  if (!last) return last;
  if (last->seq > head.entries)
    return IntegrityError("the audit chain ends with entry " + std::to_string(head.entries) + ", and entry " +
                          std::to_string(last->seq) + " was signed");
  SKMS_TRY(const Jws jws, ReadJws(last->jws));
  for (const std::uint32_t generation : HeldSigningKeys(module)) {
    if (last->kid != SignKid(generation)) continue;
    SKMS_TRY(const Bytes spki, module.SigningPublicKey(generation));
    SKMS_TRYV(VerifyJws(jws, spki));
    return last;
  }
  return IntegrityError("the last audit checkpoint is signed by '" + last->kid + "', which no token holds");
}

Result<std::optional<AuditCheckpoint>> KeyStore::SignAudit() {
  State& state = *state_;
  const std::lock_guard one_at_a_time(state.checkpoint_mutex);
  SKMS_TRY(const AuditSummary head, ReadAuditHead(*state.database));
  SKMS_TRY(const std::optional<AuditCheckpoint> last, state.GoodLastCheckpoint(head));
  // The token says of nothing that it is so before it was looked at.
  SKMS_TRYV(VerifyAuditFrom(*state.database, last ? last->seq : 0, last ? last->hash : "", head));
  const std::uint32_t generation = state.module.generations().sign;
  const bool same_key = last && last->kid == SignKid(generation);
  if (head.entries == 0 || (same_key && last->seq == head.entries)) return std::optional<AuditCheckpoint>();
  AuditCheckpoint now{head.entries, head.head, state.clock.NowMilliseconds(), {}, {}, {}};
  std::vector<AuditCheckpoint> made;
  if (!same_key) {
    // The former key vouches for the new one, so that whoever holds the former alone can go on.
    const std::set<std::uint32_t> held = HeldSigningKeys(state.module);
    for (const std::uint32_t former : held) {
      const bool signed_last = last ? last->kid == SignKid(former) : former == *held.begin();
      if (!signed_last || former == generation) continue;
      AuditCheckpoint handover = now;
      SKMS_TRY(handover.next_key, state.module.SigningPublicKey(generation));
      SKMS_TRY(handover, Sign(state.module, former, std::move(handover)));
      made.push_back(std::move(handover));
    }
  }
  SKMS_TRY(now, Sign(state.module, generation, std::move(now)));
  made.push_back(now);
  SKMS_TRYV(AddCheckpoints(*state.database, made));
  state.signed_up_to = now.seq;
  // Whoever has the log elsewhere can tell a cut tail by it.
  for (const AuditCheckpoint& one : made) LogInfo("audit checkpoint " + one.jws);
  return std::optional<AuditCheckpoint>(std::move(now));
}

Status KeyStore::State::CountersignArchived() {
  SKMS_TRY(const std::int64_t archived, ReadArchived(*database));
  if (archived == 0) return Ok();
  SKMS_TRY(std::optional<AuditCheckpoint> anchor, ReadCheckpointOf(*database, archived));
  const std::uint32_t generation = module.generations().sign;
  if (!anchor || anchor->kid == SignKid(generation)) return Ok();
  SKMS_TRY(const Jws jws, ReadJws(anchor->jws));
  for (const std::uint32_t former : HeldSigningKeys(module)) {
    if (anchor->kid != SignKid(former)) continue;
    SKMS_TRY(const Bytes spki, module.SigningPublicKey(former));
    SKMS_TRYV(VerifyJws(jws, spki));
    AuditCheckpoint again{anchor->seq, anchor->hash, clock.NowMilliseconds(), {}, {}, {}};
    SKMS_TRY(again, Sign(module, generation, std::move(again)));
    return AddCheckpoints(*database, {std::move(again)});
  }
  return Ok();
}

Result<std::optional<AuditCheckpoint>> KeyStore::LastCheckpoint() {
  return ReadLastCheckpoint(*state_->database);
}

Result<AuditPage> KeyStore::ReadAudit(std::int64_t after, std::uint32_t limit) {
  if (limit < 1 || limit > 1000) return InvalidArgument("limit must be 1 to 1000");
  return ReadAuditPage(*state_->database, after, limit);
}

Result<std::vector<AuditRecord>> KeyStore::SearchAudit(const AuditQuery& query) {
  if (query.limit < 1 || query.limit > 1000) return InvalidArgument("limit must be 1 to 1000");
  return keystore::SearchAudit(*state_->database, query);
}

std::string KeyStore::AuditPseudonym(const Selector& selector) const {
  return state_->EntryFor({}, "", selector).target_pseudonym;
}

void KeyStore::KeepUntilExported() { state_->exports = true; }

std::string KeyStore::State::ExportedText(const AuditExported& exported) const {
  Bytes fields;
  AppendField(fields, std::string_view("audit exported"));
  AppendField(fields, exported.seq);
  AppendField(fields, exported.checkpoint);
  return std::to_string(exported.seq) + ' ' + std::to_string(exported.checkpoint) + ' ' + Pseudonym(fields);
}

Result<AuditExported> KeyStore::ExportedAudit() {
  SKMS_TRY(const std::string text, ReadExported(*state_->database));
  AuditExported exported;
  if (text.empty()) return exported;
  std::istringstream words(text);
  words >> exported.seq >> exported.checkpoint;
  if (words && ConstantTimeEqual(AsBytes(text), AsBytes(state_->ExportedText(exported)))) return exported;
  return IntegrityError(
      "what the database says of how far the audit chain was exported is not of this server");
}

Status KeyStore::SetExportedAudit(const AuditExported& exported) {
  return WriteExported(*state_->database, state_->ExportedText(exported));
}

void KeyStore::RefuseDecisions(std::string why) { state_->database->RefuseWrites(std::move(why)); }

Status KeyStore::ArchiveAudit(const Requester& by, std::int64_t seq, const std::string& hash) {
  State& state = *state_;
  if (state.exports) {
    SKMS_TRY(const AuditExported exported, ExportedAudit());
    if (seq > exported.seq) {
      return Conflict("entries after " + std::to_string(exported.seq) +
                      " are not exported yet (audit.export); archive no more than those that are");
    }
  }
  SKMS_TRY(const std::optional<AuditCheckpoint> checkpoint, ReadCheckpointOf(*state.database, seq));
  if (!checkpoint || checkpoint->seq != seq || checkpoint->hash != hash) {
    return Conflict("no checkpoint speaks of entry " + std::to_string(seq) +
                    " with this hash; archive up to one that does");
  }
  SKMS_TRY(const std::vector<AuditKey> keys, AuditKeys());
  SKMS_TRY(const Jws jws, ReadJws(checkpoint->jws));
  const bool good = std::any_of(keys.begin(), keys.end(),
                                [&](const AuditKey& key) { return VerifyJws(jws, key.spki).has_value(); });
  if (!good) {
    return IntegrityError("the checkpoint of entry " + std::to_string(seq) +
                          " is signed by no key that the token holds");
  }
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = kArchiveAction;
  entry.outcome = "granted";
  entry.request_id = by.request_id;
  return state.database->Write(
      [&](soci::session& session) { return Archive(session, state.clock, seq, hash, entry); },
      Touches::kNothingDelivered);
}

Result<std::int64_t> KeyStore::DeleteArchivedAudit(std::uint32_t most) {
  return DeleteArchived(*state_->database, most);
}

}  // namespace skms::keystore
