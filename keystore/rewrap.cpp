// Token keys: the next generation, the walk that brings every row under it, and the end of the former one.
#include <soci/soci.h>

#include <algorithm>
#include <deque>
#include <future>
#include <set>
#include <utility>

#include "base/log.h"
#include "hsm/token_ceremony.h"
#include "keystore/key_profile.h"
#include "keystore/key_search.h"
#include "keystore/key_store_state.h"
#include "keystore/rewrap_rows.h"
#include "keystore/token_key_use.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kMostPayloads = 8;  // they may be large

AuditEntry EntryOf(const Requester& by, const char* action, std::string reason) {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = action;
  entry.outcome = "granted";
  entry.reason = std::move(reason);
  entry.request_id = by.request_id;
  return entry;
}

std::string Text(const hsm::TokenKeyGenerations& use) {
  return "kek=" + std::to_string(use.kek) + " mac=" + std::to_string(use.mac) +
         " sign=" + std::to_string(use.sign) + " transfer=" + std::to_string(use.transfer);
}

/// A row of another token or one that was changed is left; anything else ends the step.
bool LeavesRow(const Error& error, RewrapRun& run) {
  if (error.code != ErrorCode::kIntegrity && error.code != ErrorCode::kNotFound &&
      error.code != ErrorCode::kNewerSchema && error.code != ErrorCode::kToken &&
      error.code != ErrorCode::kInvalidArgument && error.code != ErrorCode::kUnsupported)
    return false;
  ++run.damaged;
  LogError("token keys: a row is left under the old ones: " + error.Describe());
  return true;
}

}  // namespace

/// One step of the walk.
class KeyStore::State::Rewrap {
 public:
  Rewrap(State& state, RewrapCursor& cursor, const std::function<void()>& after_row)
      : state_(state), cursor_(cursor), after_row_(after_row), use_(state.module.generations()) {}

  Status Step(std::size_t most) {
    switch (cursor_.table) {
      case RewrapCursor::Table::kDirectory:
        return Directory();
      case RewrapCursor::Table::kGroups:
        return Groups(most);
      case RewrapCursor::Table::kPayloads:
        return Payloads(std::min(most, kMostPayloads));
      case RewrapCursor::Table::kKeys:
        return Keys(most);
      case RewrapCursor::Table::kEnd:
        break;
    }
    return Ok();
  }

  const RewrapRun& run() const { return run_; }

 private:
  using Table = RewrapCursor::Table;

  Status Directory() {
    SKMS_TRY(const std::int64_t count, state_.directory->Rewrap(use_));
    SKMS_TRY(const std::int64_t asked, state_.approvals.Rewrap(use_));
    run_.rewrapped += count + asked;
    cursor_ = {Table::kGroups, ""};
    after_row_();
    return Ok();
  }

  Status Groups(std::size_t most) {
    std::vector<StoredGroup> page;
    SKMS_TRYV(state_.database->Read([&](soci::session& session) -> Status {
      SKMS_TRY(page, ReadGroupPage(session, cursor_.after, static_cast<int>(most)));
      return Ok();
    }));
    RewrapCursor next{Table::kPayloads, ""};
    if (!page.empty()) next = {Table::kGroups, page.back().record.id.value()};
    std::erase_if(page, [&](const StoredGroup& one) { return one.mac.generation == Generation(); });
    return Replace(
        page, next,
        [&](StoredGroup& group) -> Status {
          SKMS_TRYV(CheckRowMac(state_.module, FieldsOf(group.record), group.mac,
                                "group '" + group.record.id.value() + "'"));
          SKMS_TRY(group.mac, MakeRowMac(state_.module, FieldsOf(group.record)));
          return Ok();
        },
        WriteGroupMac);
  }

  Status Payloads(std::size_t most) {
    SKMS_TRY(std::vector<StoredPayload> page,
             ReadPayloadsNotUnder(*state_.database, use_, cursor_.after, static_cast<int>(most)));
    RewrapCursor next{Table::kKeys, ""};
    if (!page.empty()) next = {Table::kPayloads, page.back().payload.id};
    return Replace(
        page, next,
        [&](StoredPayload& stored) -> Status {
          SKMS_TRYV(
              CheckRowMac(state_.module, FieldsOf(stored.payload), stored.mac, RowName(stored.payload)));
          hsm::WrappedKey& key = stored.payload.sealed.key;
          if (key.format != hsm::kFormatTrusted) {
            SKMS_TRY(key, state_.module.RewrapUnderKek(key, {hsm::KeyKind::kAes, 32}));
          }
          SKMS_TRY(stored.mac, MakeRowMac(state_.module, FieldsOf(stored.payload)));
          return Ok();
        },
        RewrapPayload);
  }

  Status Keys(std::size_t most) {
    SKMS_TRY(OldVersions old, ReadNotUnder(*state_.database, use_, cursor_.after, static_cast<int>(most)));
    RewrapCursor next{Table::kEnd, ""};
    if (old.seen_until) next = {Table::kKeys, *old.seen_until};
    return Replace(
        old.page, next,
        [&](StoredKeyVersion& stored) -> Status {
          KeyVersion& version = stored.version;
          SKMS_TRYV(CheckRowMac(state_.module, FieldsOf(version), stored.mac, RowName(version)));
          // What is under a strict KEK stays there; a tombstone is under none.
          const bool strict = version.wrapped.format == hsm::kFormatTrusted;
          if (version.wrapped.bytes.empty() && !strict) {
            version.wrapped.kek_generation = use_.kek;
          } else if (!strict) {
            SKMS_TRY(const KeyProfile profile, FindKeyProfile(version.profile));
            SKMS_TRY(version.wrapped,
                     state_.module.RewrapUnderKek(version.wrapped, profile.spec, version.public_key));
          }
          SKMS_TRY(stored.mac, MakeRowMac(state_.module, FieldsOf(version)));
          return Ok();
        },
        RewrapVersion);
  }

  template <class Stored>
  struct Made {
    Made(Stored row, const RowMac& before) : stored(std::move(row)), former(before) {}
    Made(const Made&) = delete;
    Made& operator=(const Made&) = delete;
    ~Made() {
      if (outcome.valid()) outcome.wait();  // the writer looks at this
    }
    Stored stored;
    RowMac former;
    bool written = false;
    std::future<Status> outcome;
  };

  /// Makes each row of `page` anew with the token. Each is a change of its own, committed while the next
  /// ones are made: a request's audit entry must not wait behind a page of them.
  template <class Stored, class Make, class Write>
  Status Replace(std::vector<Stored>& page, RewrapCursor next, const Make& make, const Write& write) {
    std::deque<Made<Stored>> made;  // what is being written must not move
    Status status = Ok();
    for (Stored& stored : page) {
      const RowMac former = stored.mac;
      Status remade = make(stored);
      if (remade.has_error()) {
        if (!LeavesRow(remade.error(), run_)) {
          status = std::move(remade);
          break;
        }
        after_row_();
        continue;
      }
      Made<Stored>& one = made.emplace_back(std::move(stored), former);
      one.outcome = state_.database->BeginPatientWrite([&one, &write](soci::session& session) -> Status {
        one.written = write(session, one.stored, one.former);
        return Ok();
      });
      after_row_();
    }
    for (Made<Stored>& one : made) {
      Status outcome = one.outcome.get();
      if (outcome.has_error()) {
        status = std::move(outcome);
      } else {
        ++(one.written ? run_.rewrapped : run_.overtaken);
      }
    }
    SKMS_TRYV(std::move(status));
    cursor_ = std::move(next);
    return Ok();
  }

  int Generation() const { return static_cast<int>(use_.mac); }

  State& state_;
  RewrapCursor& cursor_;
  const std::function<void()>& after_row_;
  const hsm::TokenKeyGenerations use_;
  RewrapRun run_;
};

Status KeyStore::RewrapRows(RewrapCursor& cursor, std::size_t most, const std::function<void()>& after_row,
                            RewrapRun& run) {
  State::Rewrap rewrap(*state_, cursor, after_row);
  Status status = rewrap.Step(most);
  run = rewrap.run();
  return status;
}

Result<TokenKeyRows> KeyStore::CountTokenKeyRows() {
  const hsm::TokenKeyGenerations use = state_->module.generations();
  TokenKeyRows rows;
  SKMS_TRYV(state_->database->ReadSnapshotAtLength([&](soci::session& session) -> Status {
    const RowCount count = CountRows(session, use);
    rows = {count.all, count.old};
    return Ok();
  }));
  return rows;
}

Status KeyStore::State::CheckAllRewrapped() {
  const hsm::TokenKeyGenerations use = module.generations();
  RowCount count;
  SKMS_TRYV(database->ReadSnapshotAtLength([&](soci::session& session) -> Status {
    count = CountRows(session, use);
    return Ok();
  }));
  if (count.old == 0) return Ok();
  return Conflict(std::to_string(count.old) + " of " + std::to_string(count.all) +
                  " rows are still under former token keys; see: skmsctl kek status");
}

Result<hsm::TokenKeyGenerations> KeyStore::State::UseNewTokenKeys(
    const Requester& by, const char* action, const std::string& what,
    const std::function<Result<hsm::TokenKeyGenerations>(std::uint32_t above)>& make) {
  const std::lock_guard alone(token_keys_mutex);
  SKMS_TRYV(CheckAllRewrapped());
  std::uint32_t highest = 0;
  SKMS_TRYV(database->Read([&](soci::session& session) -> Status {
    highest = HighestGeneration(session);
    return Ok();
  }));
  // Before keys are handed to another token: nobody shall get them without an entry.
  AuditEntry entry = EntryOf(by, action, what + "begins");
  SKMS_TRYV(Record({&entry, 1}));
  auto changed = [&]() -> Result<hsm::TokenKeyGenerations> {
    SKMS_TRY(const hsm::TokenKeyGenerations next, make(highest));
    SKMS_TRY(const TokenKeyUseRows rows, EncodeTokenKeyUse(module, next, lasting_key_));
    entry.reason = what + Text(next);
    // Keys were made meanwhile, for which nothing else counts that another server may have changed.
    SKMS_TRYV(database->WriteUndecided([&](soci::session& session) -> Status {
      WriteTokenKeyUse(session, rows);
      return AppendAudit(session, clock, entry);
    }));
    lasting = true;
    SKMS_TRYV(module.UseGenerations(next));
    answers.Clear();
    deliveries.Clear();
    return next;
  }();
  if (changed.has_value()) return changed;
  entry.outcome = "refused";
  entry.reason = what + "failed: " + std::string(Name(changed.error().code));
  SKMS_TRYV(Record({&entry, 1}));
  return changed;
}

Result<hsm::TokenKeyGenerations> KeyStore::RotateTokenKeys(const Requester& by) {
  SKMS_TRYV(state_->CheckLeads());
  return state_->UseNewTokenKeys(by, "token-keys.rotate", "", [&](std::uint32_t above) {
    return hsm::TokenCeremony(state_->module).MakeNext(above);
  });
}

Result<hsm::TokenKeyGenerations> KeyStore::JoinToken(const Requester& by, const std::string& label,
                                                     const std::string& fingerprint) {
  SKMS_TRYV(state_->CheckLeads());
  return state_->UseNewTokenKeys(by, "token.join", "token=" + label + " join-key-sha256=" + fingerprint + " ",
                                 [&](std::uint32_t above) {
                                   return hsm::TokenCeremony(state_->module).Join(label, fingerprint, above);
                                 });
}

Result<hsm::HeldGenerations> KeyStore::RetireTokenKeys(const Requester& by) {
  SKMS_TRYV(state_->CheckLeads());
  State& state = *state_;
  const std::lock_guard alone(state.token_keys_mutex);
  // No run of the scheduler holds rows that it read before.
  const std::lock_guard no_rotation(state.rotation_mutex);
  SKMS_TRYV(state.CheckAllRewrapped());
  if (!state.lasting) return Conflict("token keys were never changed: those in use are the first ones");
  const hsm::TokenKeyGenerations use = state.module.generations();
  if (!HoldFormer(state.module.tokens(), use))
    return Conflict("the tokens hold no former token keys: there is nothing to retire");
  // While the former keys can still vouch for those in use.
  SKMS_TRYV(SignAudit());
  SKMS_TRYV(state.CountersignArchived());
  const AuditEntry entry = EntryOf(by, "token-keys.retire", "all before " + Text(use));
  SKMS_TRYV(state.Record({&entry, 1}));
  auto destroyed = hsm::TokenCeremony(state.module).DestroyBefore(use);
  // Other servers look for them no more, and take nothing for good that they vouched for.
  if (state.database->is_shared())
    SKMS_TRYV(state.database->WriteUndecided([](soci::session& /*session*/) -> Status { return Ok(); }));
  // What a key that is gone has vouched for counts no more.
  state.answers.Clear();
  state.deliveries.Clear();
  if (destroyed.has_value()) return destroyed;
  AuditEntry failed = entry;
  failed.outcome = "refused";
  failed.reason = "not all were destroyed: " + destroyed.error().detail;
  SKMS_TRYV(state.Record({&failed, 1}));
  return destroyed;
}

}  // namespace skms::keystore
