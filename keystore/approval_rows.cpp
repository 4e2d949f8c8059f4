#include "keystore/approval_rows.h"

#include <soci/soci.h>

#include <optional>
#include <utility>

#include "keystore/directory_rows.h"

namespace skms::keystore {
namespace {

std::string JoinPrincipals(const std::vector<PrincipalId>& principals) {
  std::vector<std::string> words;
  words.reserve(principals.size());
  for (const PrincipalId& one : principals) words.push_back(one.value());
  return Join(words);
}

std::optional<ApprovalState> StateNamed(const std::string& name) {
  for (const ApprovalState state : {ApprovalState::kOpen, ApprovalState::kRefused, ApprovalState::kWithdrawn,
                                    ApprovalState::kExpired, ApprovalState::kUsed}) {
    if (Name(state) == name) return state;
  }
  return std::nullopt;
}

/// The columns of one row, as they are bound.
struct Columns {
  Columns() = default;
  explicit Columns(const Approval& approval)
      : approvers(JoinPrincipals(approval.approvers)),
        state(Name(approval.state)),
        requester(approval.requester.value()),
        refused_by(approval.refused_by.value()),
        quorum(static_cast<int>(approval.quorum)),
        created(approval.created),
        expires(approval.expires),
        changed(approval.changed),
        after_entry(approval.after_entry) {}
  std::string approvers, state, requester, refused_by;
  int quorum = 0;
  long long created = 0, expires = 0, changed = 0, after_entry = 0;
};

}  // namespace

RowFields FieldsOf(const Approval& approval) {
  RowFields fields("approvals v9");
  fields.Add(approval.id)
      .Add(approval.order.kind)
      .Add(approval.order.operation)
      .Add(approval.order.body)
      .Add(approval.order.summary)
      .Add(approval.digest)
      .Add(approval.requester.value())
      .Add(JoinPrincipals(approval.approvers))
      .Add(approval.refused_by.value())
      .Add(Name(approval.state))
      .Add(static_cast<std::int64_t>(approval.quorum))
      .Add(approval.created)
      .Add(approval.expires)
      .Add(approval.changed)
      .Add(approval.after_entry);
  return fields;
}

void InsertRow(soci::session& session, const Approval& approval, const RowMac& mac) {
  const Columns columns(approval);
  const ApprovalOrder& order = approval.order;
  session
      << "INSERT INTO approvals (id, kind, operation, body, summary, digest, requester, approvers, "
         "refused_by,"
         " state, quorum, created, expires, changed, after_entry, mac_generation, mac) VALUES (:id, :kind,"
         " :operation, :body, :summary, :digest, :requester, :approvers, :refused_by, :state, :quorum, "
         ":created,"
         " :expires, :changed, :after_entry, :generation, :mac)",
      soci::use(approval.id), soci::use(order.kind), soci::use(order.operation), soci::use(order.body),
      soci::use(order.summary), soci::use(approval.digest), soci::use(columns.requester),
      soci::use(columns.approvers), soci::use(columns.refused_by), soci::use(columns.state),
      soci::use(columns.quorum), soci::use(columns.created), soci::use(columns.expires),
      soci::use(columns.changed), soci::use(columns.after_entry), soci::use(mac.generation),
      soci::use(mac.text);
}

bool UpdateRow(soci::session& session, const Approval& approval, const RowMac& mac, const RowMac& former) {
  const Columns columns(approval);
  soci::statement update =
      (session.prepare
           << "UPDATE approvals SET approvers = :approvers, refused_by = :refused_by, state = :state,"
              " changed = :changed, mac_generation = :generation, mac = :mac"
              " WHERE id = :id AND mac = :former",
       soci::use(columns.approvers), soci::use(columns.refused_by), soci::use(columns.state),
       soci::use(columns.changed), soci::use(mac.generation), soci::use(mac.text), soci::use(approval.id),
       soci::use(former.text));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

void DeleteApprovalRow(soci::session& session, const std::string& id) { DeleteRow(session, "approvals", id); }

void DeleteApprovalRows(soci::session& session) { session << "DELETE FROM approvals"; }

Status CheckApprovalRow(hsm::CryptoModule& module, const ApprovalRow& row) {
  if (!row.readable) return Unreadable("request for approval", row.approval.id);
  return CheckRowMac(module, FieldsOf(row.approval), row.mac,
                     "request for approval '" + row.approval.id + "'");
}

Result<std::vector<ApprovalRow>> ReadApprovalRows(Database& database, const std::string& conditions) {
  std::vector<ApprovalRow> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    rows.clear();
    Approval approval;
    ApprovalOrder& order = approval.order;
    Columns columns;
    RowMac mac;
    soci::statement select =
        (session.prepare
             << "SELECT id, kind, operation, body, summary, digest, requester, approvers, refused_by, state,"
                " quorum, created, expires, changed, after_entry, mac_generation, mac FROM approvals WHERE "
             << conditions,
         soci::into(approval.id), soci::into(order.kind), soci::into(order.operation), soci::into(order.body),
         soci::into(order.summary), soci::into(approval.digest), soci::into(columns.requester),
         soci::into(columns.approvers), soci::into(columns.refused_by), soci::into(columns.state),
         soci::into(columns.quorum), soci::into(columns.created), soci::into(columns.expires),
         soci::into(columns.changed), soci::into(columns.after_entry), soci::into(mac.generation),
         soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      const auto state = StateNamed(columns.state);
      const bool readable = state && columns.quorum >= 1;
      approval.state = state.value_or(ApprovalState::kUsed);
      approval.requester = PrincipalId(columns.requester);
      approval.refused_by = PrincipalId(columns.refused_by);
      approval.approvers.clear();
      for (std::string& word : Split(columns.approvers)) approval.approvers.emplace_back(word);
      approval.quorum = static_cast<std::uint32_t>(columns.quorum);
      approval.created = columns.created;
      approval.expires = columns.expires;
      approval.changed = columns.changed;
      approval.after_entry = columns.after_entry;
      rows.push_back({approval, mac, readable});
    }
    return Ok();
  }));
  return rows;
}

}  // namespace skms::keystore
