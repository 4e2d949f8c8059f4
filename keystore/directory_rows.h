// Directory entries to and from rows. Statements throw SOCI's exceptions; MACs are checked by the caller's
// token.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "keystore/database.h"
#include "keystore/directory_entries.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

RowFields FieldsOf(const Service& service);
RowFields FieldsOf(const Principal& principal);
RowFields FieldsOf(const RecipientEntry& recipient);
RowFields FieldsOf(const Issuer& issuer);
RowFields FieldsOf(const Subscription& subscription);

void InsertRow(soci::session& session, const Service& service, const RowMac& mac);
void UpdateRow(soci::session& session, const Service& service, const RowMac& mac);
void InsertRow(soci::session& session, const Principal& principal, const RowMac& mac);
void InsertRow(soci::session& session, const RecipientEntry& recipient, const RowMac& mac);
void InsertRow(soci::session& session, const Issuer& issuer, const RowMac& mac);
void UpdateRow(soci::session& session, const Issuer& issuer, const RowMac& mac);
void InsertRow(soci::session& session, const Subscription& subscription, const RowMac& mac);
/// Is there this service, with this profile? A key is never made for one that was removed meanwhile.
bool ServiceStands(soci::session& session, const Service& service);
/// `table` is one of our own names, never input.
void DeleteRow(soci::session& session, const char* table, const std::string& id);

// Lists of names in one column.
std::string Join(const std::vector<std::string>& words);
std::vector<std::string> Split(const std::string& text);

/// kIntegrity: "the row of service 'x' is not readable …".
Error Unreadable(const char* what, const std::string& id);

template <class Entry>
struct StoredEntry {
  Entry entry;
  RowMac mac;
};

// All rows, unchecked. Errors: kIntegrity for a row that is not readable at all, kStorage.
Result<std::vector<StoredEntry<Service>>> ReadServices(Database& database);
Result<std::vector<StoredEntry<Principal>>> ReadPrincipals(Database& database);
Result<std::vector<StoredEntry<RecipientEntry>>> ReadRecipients(Database& database);
Result<std::vector<StoredEntry<Issuer>>> ReadIssuers(Database& database);
Result<std::vector<StoredEntry<Subscription>>> ReadSubscriptions(Database& database);

}  // namespace skms::keystore
