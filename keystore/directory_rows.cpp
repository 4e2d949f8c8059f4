#include "keystore/directory_rows.h"

#include <soci/soci.h>

#include <utility>
#include <vector>

#include "base/encoding.h"

namespace skms::keystore {
namespace {

constexpr const char* kRsa = "rsa";
constexpr const char* kEc = "ec";
constexpr const char* kTransport = "transport";

struct RecipientColumns {
  std::string kind;
  std::string public_key;
  hsm::WrappedKey wrapped;
};

RecipientColumns ColumnsOf(const RecipientEntry& recipient) {
  if (const auto* rsa = std::get_if<hsm::RsaRecipient>(&recipient.key)) {
    return {kRsa, ToBase64Url(rsa->spki), {0, "", {}}};
  }
  if (const auto* ec = std::get_if<hsm::EcRecipient>(&recipient.key)) {
    return {kEc, ToBase64Url(ec->spki), {0, "", {}}};
  }
  return {kTransport, "", std::get<hsm::TransportKeyRecipient>(recipient.key).key};
}

}  // namespace

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    words.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  return words;
}

Error Unreadable(const char* what, const std::string& id) {
  return IntegrityError("the row of " + std::string(what) + " '" + id +
                        "' is not readable: it was changed outside skms");
}

RowFields FieldsOf(const Principal& principal) {
  RowFields fields("principals v1");
  fields.Add(principal.id.value())
      .Add(principal.role)
      .Add(principal.client_id)
      .Add(AsText(principal.certificate_spki))
      .Add(principal.certificate_subject)
      .Add(principal.certificate_not_after);
  return fields;
}

RowFields FieldsOf(const RecipientEntry& recipient) {
  const RecipientColumns columns = ColumnsOf(recipient);
  RowFields fields("recipients v1");
  fields.Add(recipient.id.value())
      .Add(recipient.principal.value())
      .Add(columns.kind)
      .Add(columns.public_key)
      .Add(std::int64_t{columns.wrapped.kek_generation})
      .Add(columns.wrapped.format)
      .Add(AsText(columns.wrapped.bytes));
  // Rows of schema version 3 keep the MAC they have; so do those of issuers.
  if (recipient.ue) fields.Add("ue v4").Add(Name(recipient.ue->kind)).Add(recipient.ue->id);
  return fields;
}

RowFields FieldsOf(const Issuer& issuer) {
  RowFields fields("issuers v1");
  fields.Add(issuer.id.value()).Add(issuer.issuer).Add(issuer.audience).Add(issuer.jwks);
  const TokenProfile& profile = issuer.profile;
  if (issuer.jwks_uri.empty() && profile == TokenProfile{}) return fields;
  fields.Add("profile v4")
      .Add(issuer.jwks_uri)
      .Add(issuer.jwks_ca)
      .Add(profile.services_claim)
      .Add(profile.user_claim)
      .Add(profile.ue_claim)
      .Add(profile.client_claim)
      .Add(profile.provisioning_claim)
      .Add(Join(profile.provisioning_values));
  return fields;
}

void InsertRow(soci::session& session, const Principal& principal, const RowMac& mac) {
  const std::string spki = ToBase64Url(principal.certificate_spki);
  const long long not_after = principal.certificate_not_after;
  session << "INSERT INTO principals (id, role, client_id, certificate_spki, certificate_subject,"
             " certificate_not_after, mac_generation, mac) VALUES (:id, :role, :client, :spki, :subject, "
             ":after, :g,"
             " :mac)",
      soci::use(principal.id.value()), soci::use(principal.role), soci::use(principal.client_id),
      soci::use(spki), soci::use(principal.certificate_subject), soci::use(not_after),
      soci::use(mac.generation), soci::use(mac.text);
}

void InsertRow(soci::session& session, const RecipientEntry& recipient, const RowMac& mac) {
  const RecipientColumns columns = ColumnsOf(recipient);
  const std::string wrapped = ToBase64Url(columns.wrapped.bytes);
  const int kek = static_cast<int>(columns.wrapped.kek_generation);
  const std::string ue_kind(recipient.ue ? Name(recipient.ue->kind) : "");
  const std::string ue = recipient.ue ? recipient.ue->id : "";
  session
      << "INSERT INTO recipients (id, principal, ue_kind, ue, kind, public_key, kek_generation, wrap_format,"
         " wrapped, mac_generation, mac) VALUES (:id, :principal, :ue_kind, :ue, :kind, :key, :kek, :format,"
         " :wrapped, :g, :mac)",
      soci::use(recipient.id.value()), soci::use(recipient.principal.value()), soci::use(ue_kind),
      soci::use(ue), soci::use(columns.kind), soci::use(columns.public_key), soci::use(kek),
      soci::use(columns.wrapped.format), soci::use(wrapped), soci::use(mac.generation), soci::use(mac.text);
}

void InsertRow(soci::session& session, const Issuer& issuer, const RowMac& mac) {
  const TokenProfile& profile = issuer.profile;
  const std::string values = Join(profile.provisioning_values);
  session << "INSERT INTO issuers (id, issuer, audience, jwks, jwks_uri, jwks_ca, services_claim, user_claim,"
             " ue_claim, client_claim, provisioning_claim, provisioning_values, mac_generation, mac) VALUES"
             " (:id, :issuer, :audience, :jwks, :uri, :ca, :services, :user, :ue, :client, :provisioning, "
             ":values,"
             " :g, :mac)",
      soci::use(issuer.id.value()), soci::use(issuer.issuer), soci::use(issuer.audience),
      soci::use(issuer.jwks), soci::use(issuer.jwks_uri), soci::use(issuer.jwks_ca),
      soci::use(profile.services_claim), soci::use(profile.user_claim), soci::use(profile.ue_claim),
      soci::use(profile.client_claim), soci::use(profile.provisioning_claim), soci::use(values),
      soci::use(mac.generation), soci::use(mac.text);
}

void UpdateRow(soci::session& session, const Issuer& issuer, const RowMac& mac) {
  DeleteRow(session, "issuers", issuer.id.value());
  InsertRow(session, issuer, mac);
}

void DeleteRow(soci::session& session, const char* table, const std::string& id) {
  session << "DELETE FROM " << table << " WHERE id = :id", soci::use(id);
}

Result<std::vector<StoredEntry<Principal>>> ReadPrincipals(Database& database) {
  std::vector<StoredEntry<Principal>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, spki;
    Principal principal;
    long long not_after = 0;
    RowMac mac;
    soci::statement select =
        (session.prepare << "SELECT id, role, client_id, certificate_spki, certificate_subject,"
                            " certificate_not_after, mac_generation, mac FROM principals",
         soci::into(id), soci::into(principal.role), soci::into(principal.client_id), soci::into(spki),
         soci::into(principal.certificate_subject), soci::into(not_after), soci::into(mac.generation),
         soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      auto octets = FromBase64Url(spki);
      if (!octets) return Unreadable("principal", id);
      principal.id = PrincipalId(id);
      principal.certificate_spki = std::move(*octets);
      principal.certificate_not_after = not_after;
      rows.push_back({principal, mac});
    }
    return Ok();
  }));
  return rows;
}

Result<std::vector<StoredEntry<RecipientEntry>>> ReadRecipients(Database& database) {
  std::vector<StoredEntry<RecipientEntry>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, principal, ue_kind, ue, kind, public_key, format, wrapped;
    int kek = 0;
    RowMac mac;
    soci::statement select =
        (session.prepare
             << "SELECT id, principal, ue_kind, ue, kind, public_key, kek_generation, wrap_format,"
                " wrapped, mac_generation, mac FROM recipients",
         soci::into(id), soci::into(principal), soci::into(ue_kind), soci::into(ue), soci::into(kind),
         soci::into(public_key), soci::into(kek), soci::into(format), soci::into(wrapped),
         soci::into(mac.generation), soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      auto spki = FromBase64Url(public_key);
      auto blob = FromBase64Url(wrapped);
      if (!spki || !blob) return Unreadable("recipient", id);
      RecipientEntry entry{.id = RecipientId(id), .principal = PrincipalId(principal), .key = {}};
      if (kind == kRsa) {
        entry.key = hsm::RsaRecipient{std::move(*spki)};
      } else if (kind == kEc) {
        entry.key = hsm::EcRecipient{std::move(*spki)};
      } else if (kind == kTransport) {
        entry.key = hsm::TransportKeyRecipient{{static_cast<std::uint32_t>(kek), format, std::move(*blob)}};
      } else {
        return Unreadable("recipient", id);
      }
      if (!ue_kind.empty()) {
        const auto parsed = ParseTargetKind(ue_kind);
        if (parsed.has_error()) return Unreadable("recipient", id);
        entry.ue = UeIdentity{parsed.value(), ue};
      }
      rows.push_back({std::move(entry), mac});
    }
    return Ok();
  }));
  return rows;
}

Result<std::vector<StoredEntry<Issuer>>> ReadIssuers(Database& database) {
  std::vector<StoredEntry<Issuer>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, values;
    Issuer issuer;
    TokenProfile& profile = issuer.profile;
    RowMac mac;
    soci::statement select =
        (session.prepare
             << "SELECT id, issuer, audience, jwks, jwks_uri, jwks_ca, services_claim, user_claim,"
                " ue_claim, client_claim, provisioning_claim, provisioning_values, mac_generation, mac"
                " FROM issuers",
         soci::into(id), soci::into(issuer.issuer), soci::into(issuer.audience), soci::into(issuer.jwks),
         soci::into(issuer.jwks_uri), soci::into(issuer.jwks_ca), soci::into(profile.services_claim),
         soci::into(profile.user_claim), soci::into(profile.ue_claim), soci::into(profile.client_claim),
         soci::into(profile.provisioning_claim), soci::into(values), soci::into(mac.generation),
         soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      issuer.id = IssuerId(id);
      profile.provisioning_values = Split(values);
      rows.push_back({issuer, mac});
    }
    return Ok();
  }));
  return rows;
}

RowFields FieldsOf(const Subscription& subscription) {
  RowFields fields("subscriptions v1");
  fields.Add(subscription.id.value())
      .Add(subscription.principal.value())
      .Add(subscription.destination)
      .Add(subscription.ca)
      .Add(subscription.created);
  return fields;
}

void InsertRow(soci::session& session, const Subscription& subscription, const RowMac& mac) {
  const long long created = subscription.created;
  session << "INSERT INTO subscriptions (id, principal, destination, ca, created, mac_generation, mac)"
             " VALUES (:id, :principal, :destination, :ca, :created, :g, :mac)",
      soci::use(subscription.id.value()), soci::use(subscription.principal.value()),
      soci::use(subscription.destination), soci::use(subscription.ca), soci::use(created),
      soci::use(mac.generation), soci::use(mac.text);
}

Result<std::vector<StoredEntry<Subscription>>> ReadSubscriptions(Database& database) {
  std::vector<StoredEntry<Subscription>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, principal, destination, ca;
    long long created = 0;
    RowMac mac;
    soci::statement select =
        (session.prepare << "SELECT id, principal, destination, ca, created, mac_generation, mac"
                            " FROM subscriptions",
         soci::into(id), soci::into(principal), soci::into(destination), soci::into(ca), soci::into(created),
         soci::into(mac.generation), soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      rows.push_back({{SubscriptionId(id), PrincipalId(principal), destination, ca, created}, mac});
    }
    return Ok();
  }));
  return rows;
}

}  // namespace skms::keystore
