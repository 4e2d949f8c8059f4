// Directory::Rewrap: the directory's rows under other token keys. They are few: one transaction.
#include <soci/soci.h>

#include <utility>
#include <vector>

#include "keystore/directory.h"
#include "keystore/directory_rows.h"
#include "keystore/rewrap_rows.h"

namespace skms::keystore {
namespace {

template <class Entry>
struct Replaced {
  StoredEntry<Entry> now;
  RowMac former;
};

/// The transport key of a recipient, if it is one.
hsm::WrappedKey* WrappedIn(RecipientEntry& recipient) {
  auto* transport = std::get_if<hsm::TransportKeyRecipient>(&recipient.key);
  return transport == nullptr ? nullptr : &transport->key;
}
template <class Entry>
hsm::WrappedKey* WrappedIn(Entry& /*entry*/) {
  return nullptr;
}

/// What of a table is not under `use`, checked and made anew.
template <class Entry>
Result<std::vector<Replaced<Entry>>> MakeAnew(Result<std::vector<StoredEntry<Entry>>> rows,
                                              hsm::CryptoModule& module, const hsm::TokenKeyGenerations& use,
                                              const char* what) {
  if (rows.has_error()) return rows.error();
  std::vector<Replaced<Entry>> out;
  for (StoredEntry<Entry>& row : rows.value()) {
    hsm::WrappedKey* wrapped = WrappedIn(row.entry);
    const bool key_is_old = wrapped != nullptr && wrapped->kek_generation != use.kek;
    if (row.mac.generation == static_cast<int>(use.mac) && !key_is_old) continue;
    SKMS_TRYV(CheckRowMac(module, FieldsOf(row.entry), row.mac,
                          std::string(what) + " '" + row.entry.id.value() + "'"));
    const RowMac former = row.mac;
    if (key_is_old) {
      SKMS_TRY(*wrapped, module.RewrapUnderKek(*wrapped, {hsm::KeyKind::kAes, 32}));
    }
    SKMS_TRY(row.mac, MakeRowMac(module, FieldsOf(row.entry)));
    out.push_back({std::move(row), former});
  }
  return out;
}

template <class Entry>
Status WriteAnew(soci::session& session, const char* table, std::vector<Replaced<Entry>>& rows) {
  for (Replaced<Entry>& row : rows) {
    const RowPlace place{table, "id", row.now.entry.id.value()};
    const hsm::WrappedKey* wrapped = WrappedIn(row.now.entry);
    const bool written = wrapped == nullptr
                             ? ReplaceMac(session, place, row.now.mac, row.former)
                             : ReplaceWrapping(session, place, *wrapped, row.now.mac, row.former);
    if (!written) return ChangedMeanwhile("a row of the directory was changed meanwhile");
  }
  return Ok();
}

}  // namespace

Result<std::int64_t> Directory::Rewrap(const hsm::TokenKeyGenerations& use) {
  const auto lock = BeginChange();
  SKMS_TRY(auto services, MakeAnew(ReadServices(database_), module_, use, "service"));
  SKMS_TRY(auto principals, MakeAnew(ReadPrincipals(database_), module_, use, "principal"));
  SKMS_TRY(auto recipients, MakeAnew(ReadRecipients(database_), module_, use, "recipient"));
  SKMS_TRY(auto issuers, MakeAnew(ReadIssuers(database_), module_, use, "issuer"));
  SKMS_TRY(auto subscriptions, MakeAnew(ReadSubscriptions(database_), module_, use, "subscription"));
  const std::size_t count =
      services.size() + principals.size() + recipients.size() + issuers.size() + subscriptions.size();
  if (count == 0) return std::int64_t{0};
  SKMS_TRYV(database_.Write([&](soci::session& session) -> Status {
    if (snapshot()->version != decided_on_)
      return ChangedMeanwhile("the directory was read anew meanwhile; try again");
    SKMS_TRYV(WriteAnew(session, "services", services));
    SKMS_TRYV(WriteAnew(session, "principals", principals));
    SKMS_TRYV(WriteAnew(session, "recipients", recipients));
    SKMS_TRYV(WriteAnew(session, "issuers", issuers));
    return WriteAnew(session, "subscriptions", subscriptions);
  }));
  if (!recipients.empty()) {
    decided_on_ = Publish([&](DirectorySnapshot& next) {
      for (const Replaced<RecipientEntry>& row : recipients)
        next.recipients.insert_or_assign(row.now.entry.id.value(), row.now.entry);
    });
  }
  return static_cast<std::int64_t>(count);
}

}  // namespace skms::keystore
