#include "keystore/approvals.h"

#include <soci/soci.h>

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "base/encoding.h"
#include "base/log.h"
#include "keystore/approval_rows.h"
#include "keystore/audit_log.h"

namespace skms::keystore {
namespace {

constexpr std::int64_t kKeptWhenEnded = std::int64_t{30} * 86400;  // seconds
constexpr int kMostEnded = 100;
constexpr const char* kRequested = "approval.request";
constexpr const char* kApproved = "approval.approve";
constexpr const char* kGivenBack = "approval.return";

AuditEntry EntryFor(const Requester& by, const char* action, const Approval& approval) {
  AuditEntry entry;
  entry.actor = by.principal.value();
  entry.action = action;
  entry.outcome = "granted";
  entry.kid = approval.id;
  entry.reason = approval.order.kind + ": " + approval.order.operation + " sha256=" + approval.digest;
  entry.request_id = by.request_id;
  return entry;
}

Requester Daemon() { return {PrincipalId("skmsd"), {}, "", true}; }

std::string NameOf(const Approval& approval) { return "request for approval '" + approval.id + "'"; }

Error Ended(const Approval& approval) {
  return Conflict("the request " + approval.id + " is " + std::string(Name(approval.state)) + " already");
}

Status CheckDecider(const Requester& by, const Approval& approval, const std::string& digest) {
  if (by.principal == approval.requester)
    return PermissionDenied("who asks does not decide: the request " + approval.id +
                            " is your own; another person must, or withdraw it");
  if (digest != approval.digest)
    return Error{ErrorCode::kPreconditionFailed,
                 "the digest is another than that of request " + approval.id + "; look at it again"};
  return Ok();
}

}  // namespace

std::string_view Name(ApprovalState state) {
  switch (state) {
    case ApprovalState::kOpen:
      return "open";
    case ApprovalState::kRefused:
      return "refused";
    case ApprovalState::kWithdrawn:
      return "withdrawn";
    case ApprovalState::kExpired:
      return "expired";
    case ApprovalState::kUsed:
      break;
  }
  return "used";
}

std::string DigestOf(const ApprovalOrder& order) {
  Bytes fields;
  for (const std::string& field : {order.kind, order.operation, order.body, order.summary})
    AppendField(fields, field);
  return ToHex(Sha256(fields));
}

Result<std::vector<Approvals::Stored>> Approvals::ReadChecked(const std::string& conditions) {
  SKMS_TRY(std::vector<ApprovalRow> rows, ReadApprovalRows(database_, conditions));
  std::vector<Stored> out;
  out.reserve(rows.size());
  for (ApprovalRow& row : rows) {
    SKMS_TRYV(CheckApprovalRow(module_, row));
    out.push_back({std::move(row.approval), std::move(row.mac)});
  }
  return out;
}

Result<std::vector<Approvals::Stored>> Approvals::ReadGood(const std::string& conditions) {
  SKMS_TRY(std::vector<ApprovalRow> rows, ReadApprovalRows(database_, conditions));
  std::vector<Stored> out;
  out.reserve(rows.size());
  for (ApprovalRow& row : rows) {
    const Status good = CheckApprovalRow(module_, row);
    if (good.has_value()) {
      out.push_back({std::move(row.approval), std::move(row.mac)});
    } else if (good.error().code != ErrorCode::kIntegrity) {
      return good.error();
    } else if (tells_.Now()) {
      LogCritical(good.error().detail + "; it counts for nothing");
    }
  }
  return out;
}

Status Approvals::Replace(const Stored& stored, Approval next, AuditEntry entry) {
  next.changed = clock_.NowSeconds();
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(next)));
  return database_.Write(
      [&](soci::session& session) -> Status {
        if (!UpdateRow(session, next, mac, stored.mac))
          return ChangedMeanwhile("the request " + next.id + " was changed meanwhile");
        return AppendAudit(session, clock_, entry);
      },
      Touches::kNothingDelivered);
}

Status Approvals::Sweep() {
  const std::int64_t now = clock_.NowSeconds();
  SKMS_TRY(const std::vector<Stored> due, ReadGood("state = 'open' AND expires <= " + std::to_string(now)));
  for (const Stored& one : due) {
    Approval next = one.approval;
    next.state = ApprovalState::kExpired;
    SKMS_TRYV(Replace(one, next, EntryFor(Daemon(), "approval.expire", next)));
  }
  const std::int64_t before = now - kKeptWhenEnded;
  SKMS_TRY(const std::vector<ApprovalRow> old,
           ReadApprovalRows(database_, "state <> 'open' AND (changed < " + std::to_string(before) +
                                           " OR id NOT IN (SELECT id FROM approvals WHERE state <> 'open'"
                                           " ORDER BY changed DESC, id LIMIT " +
                                           std::to_string(kMostEnded) + "))"));
  if (old.empty()) return Ok();
  return database_.Write(
      [&](soci::session& session) -> Status {
        for (const ApprovalRow& row : old) DeleteApprovalRow(session, row.approval.id);
        return Ok();
      },
      Touches::kNothingDelivered);
}

Result<std::vector<Approvals::Stored>> Approvals::Open() {
  SKMS_TRYV(Sweep());
  return ReadGood("state = 'open'");
}

Result<Approvals::Stored> Approvals::Find(const std::string& id) {
  // It comes from outside: only what is a name of ours may stand in a condition.
  const bool named = id.rfind("apr-", 0) == 0 && id.size() == 20 &&
                     id.find_first_not_of("0123456789abcdef", 4) == std::string::npos;
  if (named) {
    SKMS_TRY(std::vector<Stored> found, ReadChecked("id = '" + id + "'"));
    if (!found.empty()) return std::move(found.front());
  }
  return NotFound("there is no request for approval '" + id + "'");
}

Status Approvals::CheckNotPutBack(const Approval& approval) {
  std::string last;
  SKMS_TRYV(database_.Read([&](soci::session& session) -> Status {
    const long long after = approval.after_entry;
    session << "SELECT action FROM audit WHERE kid = :id AND seq > :after ORDER BY seq DESC LIMIT 1",
        soci::into(last), soci::use(approval.id), soci::use(after);
    return Ok();
  }));
  if (last == kRequested || last == kApproved || last == kGivenBack) return Ok();
  if (last.empty())
    return Conflict("what the audit chain says of request " + approval.id +
                    " is archived, so that nobody can tell whether it was used; withdraw it and ask again");
  return IntegrityError(NameOf(approval) + " is open in the database, and the audit chain says " + last +
                        ": it was put back outside skms");
}

Status Approvals::EndExpired() {
  const std::lock_guard lock(mutex_);
  return Sweep();
}

Result<Approvals::Stored> Approvals::FindOpen(const std::string& id) {
  SKMS_TRYV(Sweep());
  SKMS_TRY(Stored found, Find(id));
  if (found.approval.state != ApprovalState::kOpen) return Ended(found.approval);
  SKMS_TRYV(CheckNotPutBack(found.approval));
  return found;
}

Result<Approval> Approvals::Request(const Requester& by, const ApprovalOrder& order,
                                    const ApprovalRules& rules) {
  const std::lock_guard lock(mutex_);
  const std::string digest = DigestOf(order);
  SKMS_TRY(const std::vector<Stored> open, Open());
  std::size_t own = 0;
  for (const Stored& one : open) {
    if (one.approval.requester != by.principal) continue;
    if (one.approval.digest == digest) return one.approval;
    ++own;
  }
  if (open.size() >= kMostOpen || own >= kMostOpenOfOne)
    return Conflict("too many requests for approval are open (" + std::to_string(own) + " of yours, " +
                    std::to_string(open.size()) + " in all); withdraw some: skmsctl approval list");
  SKMS_TRY(const Bytes random, module_.Random(8));
  Approval made;
  made.id = "apr-" + ToHex(random);
  made.order = order;
  made.digest = digest;
  made.requester = by.principal;
  made.quorum = rules.quorum;
  made.created = made.changed = clock_.NowSeconds();
  made.expires = made.created + rules.lifetime_s;
  SKMS_TRY(const AuditSummary head, ReadAuditHead(database_));
  made.after_entry = head.entries;
  SKMS_TRY(const RowMac mac, MakeRowMac(module_, FieldsOf(made)));
  const AuditEntry entry = EntryFor(by, kRequested, made);
  SKMS_TRYV(database_.Write(
      [&](soci::session& session) -> Status {
        InsertRow(session, made, mac);
        return AppendAudit(session, clock_, entry);
      },
      Touches::kNothingDelivered));
  return made;
}

Result<std::vector<Approval>> Approvals::List() {
  const std::lock_guard lock(mutex_);
  SKMS_TRYV(Sweep());
  SKMS_TRY(std::vector<Stored> rows, ReadGood("1 = 1"));
  std::vector<Approval> out;
  out.reserve(rows.size());
  for (Stored& row : rows) out.push_back(std::move(row.approval));
  std::sort(out.begin(), out.end(), [](const Approval& a, const Approval& b) {
    return a.created != b.created ? a.created > b.created : a.id < b.id;
  });
  return out;
}

Result<Approval> Approvals::Show(const std::string& id) {
  const std::lock_guard lock(mutex_);
  SKMS_TRYV(Sweep());
  SKMS_TRY(Stored found, Find(id));
  return std::move(found.approval);
}

Result<Approval> Approvals::Approve(const Requester& by, const std::string& id, const std::string& digest) {
  const std::lock_guard lock(mutex_);
  SKMS_TRY(const Stored found, FindOpen(id));
  Approval next = found.approval;
  SKMS_TRYV(CheckDecider(by, next, digest));
  if (std::find(next.approvers.begin(), next.approvers.end(), by.principal) != next.approvers.end())
    return Conflict("you have approved the request " + id + " already; each person counts once");
  next.approvers.push_back(by.principal);
  SKMS_TRYV(Replace(found, next, EntryFor(by, kApproved, next)));
  return next;
}

Result<Approval> Approvals::Refuse(const Requester& by, const std::string& id, const std::string& digest) {
  const std::lock_guard lock(mutex_);
  SKMS_TRY(const Stored found, FindOpen(id));
  Approval next = found.approval;
  SKMS_TRYV(CheckDecider(by, next, digest));
  next.state = ApprovalState::kRefused;
  next.refused_by = by.principal;
  SKMS_TRYV(Replace(found, next, EntryFor(by, "approval.refuse", next)));
  return next;
}

Result<Approval> Approvals::Withdraw(const Requester& by, const std::string& id) {
  const std::lock_guard lock(mutex_);
  SKMS_TRYV(Sweep());
  SKMS_TRY(const Stored found, Find(id));
  Approval next = found.approval;
  if (next.requester != by.principal)
    return PermissionDenied("the request " + id + " is another's; refuse it instead");
  if (next.state != ApprovalState::kOpen) return Ended(next);
  next.state = ApprovalState::kWithdrawn;
  SKMS_TRYV(Replace(found, next, EntryFor(by, "approval.withdraw", next)));
  return next;
}

Result<std::optional<Approval>> Approvals::Use(const Requester& by, const ApprovalOrder& order,
                                               const ApprovalRules& rules, const MayDecide& may_decide) {
  const std::lock_guard lock(mutex_);
  const std::string digest = DigestOf(order);
  SKMS_TRY(const std::vector<Stored> open, Open());
  for (const Stored& one : open) {
    if (one.approval.requester != by.principal || one.approval.digest != digest) continue;
    Approval counted = one.approval;
    std::erase_if(counted.approvers, [&](const PrincipalId& who) { return !may_decide(who, order.kind); });
    if (!counted.Approved(rules.quorum)) continue;
    SKMS_TRYV(CheckNotPutBack(one.approval));
    Approval next = one.approval;
    next.state = ApprovalState::kUsed;
    AuditEntry entry = EntryFor(by, "approval.use", next);
    for (const PrincipalId& approver : next.approvers) entry.reason += " approved-by=" + approver.value();
    SKMS_TRYV(Replace(one, next, std::move(entry)));
    return std::optional<Approval>(std::move(next));
  }
  return std::optional<Approval>();
}

Status Approvals::GiveBack(const Requester& by, const Approval& used) {
  const std::lock_guard lock(mutex_);
  SKMS_TRY(const Stored found, Find(used.id));
  if (found.approval.state != ApprovalState::kUsed) return Ended(found.approval);
  Approval next = found.approval;
  next.state = ApprovalState::kOpen;
  return Replace(found, next, EntryFor(by, kGivenBack, next));
}

Result<std::int64_t> Approvals::Rewrap(const hsm::TokenKeyGenerations& use) {
  const std::lock_guard lock(mutex_);
  SKMS_TRY(const std::vector<ApprovalRow> old,
           ReadApprovalRows(database_, "mac_generation <> " + std::to_string(use.mac)));
  if (old.empty()) return std::int64_t{0};
  std::vector<std::optional<RowMac>> macs;  // nullopt: the row was changed
  macs.reserve(old.size());
  for (const ApprovalRow& one : old) {
    const Status good = CheckApprovalRow(module_, one);
    if (good.has_error() && good.error().code != ErrorCode::kIntegrity) return good.error();
    macs.emplace_back();
    if (good.has_error()) continue;
    SKMS_TRY(macs.back(), MakeRowMac(module_, FieldsOf(one.approval)));
  }
  SKMS_TRYV(database_.Write(
      [&](soci::session& session) -> Status {
        for (std::size_t i = 0; i < old.size(); ++i) {
          if (!macs[i]) {
            // It authorises nothing, and would keep the former MAC key from ever going.
            DeleteApprovalRow(session, old[i].approval.id);
            SKMS_TRYV(AppendAudit(session, clock_, EntryFor(Daemon(), "approval.drop", old[i].approval)));
          } else if (!UpdateRow(session, old[i].approval, *macs[i], old[i].mac)) {
            return ChangedMeanwhile("a request for approval was changed meanwhile");
          }
        }
        return Ok();
      },
      Touches::kNothingDelivered));
  return static_cast<std::int64_t>(old.size());
}

}  // namespace skms::keystore
