// Requests for approval to and from rows. Statements throw SOCI's exceptions; MACs are checked by the
// caller's token.
#pragma once

#include <string>
#include <vector>

#include "keystore/approvals.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

struct ApprovalRow {
  Approval approval;
  RowMac mac;
  bool readable = true;  ///< false: it has what skms writes to none
};

RowFields FieldsOf(const Approval& approval);
void InsertRow(soci::session& session, const Approval& approval, const RowMac& mac);
/// Inside a write transaction. False: the row's MAC is not `former`, and nothing is written.
bool UpdateRow(soci::session& session, const Approval& approval, const RowMac& mac, const RowMac& former);
void DeleteApprovalRow(soci::session& session, const std::string& id);
void DeleteApprovalRows(soci::session& session);
/// kIntegrity: it was changed outside skms. Errors: also the token's.
Status CheckApprovalRow(hsm::CryptoModule& module, const ApprovalRow& row);
/// Unchecked; `conditions` are our own words, never input. Errors: kStorage.
Result<std::vector<ApprovalRow>> ReadApprovalRows(Database& database, const std::string& conditions);

}  // namespace skms::keystore
