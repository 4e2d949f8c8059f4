// What the directory holds, read and checked whole.
#include <set>
#include <utility>

#include "base/encoding.h"
#include "keystore/directory.h"
#include "keystore/directory_rows.h"
#include "keystore/subscriptions.h"

namespace skms::keystore {
namespace {

/// Reads, checks and stores one table of the directory.
class TableLoad {
 public:
  /// `known`: digests of rows whose MACs were right when the table was loaded last.
  TableLoad(hsm::CryptoModule& module, const std::set<Sha256Digest>& known)
      : module_(module), known_(known) {}

  template <class Entry, class Add>
  Status operator()(Result<std::vector<StoredEntry<Entry>>> rows, const char* what, const Add& add) {
    if (rows.has_error()) return rows.error();
    for (StoredEntry<Entry>& row : rows.value()) {
      const RowFields fields = FieldsOf(row.entry);
      const Sha256Digest digest = DigestOf(fields, row.mac);
      if (known_.count(digest) == 0)
        SKMS_TRYV(
            CheckRowMac(module_, fields, row.mac, std::string(what) + " '" + row.entry.id.value() + "'"));
      checked_.insert(digest);
      add(std::move(row.entry));
    }
    return Ok();
  }

  std::set<Sha256Digest> TakeChecked() { return std::move(checked_); }

 private:
  static Sha256Digest DigestOf(const RowFields& fields, const RowMac& mac) {
    Bytes octets;
    AppendField(octets, std::string_view(AsText(fields.octets())));
    AppendField(octets, std::to_string(mac.generation));
    AppendField(octets, mac.text);
    return Sha256(octets);
  }

  hsm::CryptoModule& module_;
  const std::set<Sha256Digest>& known_;
  std::set<Sha256Digest> checked_;
};

}  // namespace

void DirectorySnapshot::Add(const Principal& principal) {
  principals[principal.id.value()] = principal;
  principal_by_spki[Sha256(principal.certificate_spki)] = principal.id.value();
}

void DirectorySnapshot::Add(const RecipientEntry& recipient) {
  recipients.insert_or_assign(recipient.id.value(), recipient);
  if (recipient.ue) {
    recipient_by_ue[*recipient.ue] = recipient.id.value();
  } else {
    recipient_by_principal[recipient.principal.value()] = recipient.id.value();
  }
}

Status Directory::Reload() {
  auto loaded = std::make_shared<DirectorySnapshot>();
  TableLoad load(module_, checked_);
  SKMS_TRYV(load(ReadServices(database_), "service", [&](Service service) {
    loaded->services.insert_or_assign(service.id.value(), std::move(service));
  }));
  SKMS_TRYV(load(ReadPrincipals(database_), "principal",
                 [&](const Principal& principal) { loaded->Add(principal); }));
  SKMS_TRYV(load(ReadRecipients(database_), "recipient",
                 [&](const RecipientEntry& recipient) { loaded->Add(recipient); }));
  SKMS_TRYV(load(ReadIssuers(database_), "issuer", [&](Issuer issuer) {
    loaded->issuers.insert_or_assign(issuer.id.value(), std::move(issuer));
  }));
  SKMS_TRYV(load(ReadSubscriptions(database_), "subscription", [&](Subscription subscription) {
    loaded->subscriptions.insert_or_assign(subscription.id.value(), std::move(subscription));
  }));
  checked_ = load.TakeChecked();
  const std::lock_guard lock(snapshot_mutex_);
  loaded->version = snapshot_ ? snapshot_->version + 1 : 1;
  snapshot_ = std::move(loaded);
  return Ok();
}

}  // namespace skms::keystore
