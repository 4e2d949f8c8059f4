#include "keystore/directory_rows.h"

#include <soci/soci.h>

#include <utility>
#include <vector>

#include "base/encoding.h"

namespace skms::keystore {
namespace {

constexpr const char* kRsa = "rsa";
constexpr const char* kTransport = "transport";

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

std::string ScopesText(const Service& service) {
  std::vector<std::string> words;
  for (const TargetKind kind : service.scopes) words.emplace_back(Name(kind));
  return Join(words);
}

std::string PrincipalsText(const std::vector<PrincipalId>& principals) {
  std::vector<std::string> words;
  words.reserve(principals.size());
  for (const PrincipalId& principal : principals) words.push_back(principal.value());
  return Join(words);
}

/// Has it a policy that schema version 2 did not know?
bool HasLifePolicy(const Service& service) {
  return service.rotation != RotationPolicy{} || service.max_records != 0 || !service.group_servers.empty() ||
         service.join != JoinPolicy::kFromCurrent;
}

Error Unreadable(const char* what, const std::string& id) {
  return IntegrityError("the row of " + std::string(what) + " '" + id +
                        "' is not readable: it was changed outside skms");
}

struct RecipientColumns {
  std::string kind;
  std::string public_key;
  hsm::WrappedKey wrapped;
};

RecipientColumns ColumnsOf(const RecipientEntry& recipient) {
  if (const auto* rsa = std::get_if<hsm::RsaRecipient>(&recipient.key)) {
    return {kRsa, ToBase64Url(rsa->spki), {0, "", {}}};
  }
  return {kTransport, "", std::get<hsm::TransportKeyRecipient>(recipient.key).key};
}

}  // namespace

RowFields FieldsOf(const Service& service) {
  RowFields fields("services v1");
  fields.Add(service.id.value())
      .Add(service.profile)
      .Add(ScopesText(service))
      .Add(std::int64_t{service.generate_on_request ? 1 : 0})
      .Add(Name(service.delivery))
      .Add(PrincipalsText(service.readers))
      .Add(service.user_uri);
  // Rows of schema version 2 keep the MAC they have.
  if (!HasLifePolicy(service)) return fields;
  fields.Add("life v3")
      .Add(service.rotation.crypto_period)
      .Add(service.rotation.overlap)
      .Add(service.rotation.make_ahead)
      .Add(std::int64_t{service.rotation.versions_kept})
      .Add(service.max_records)
      .Add(PrincipalsText(service.group_servers))
      .Add(Name(service.join));
  return fields;
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
  return fields;
}

RowFields FieldsOf(const Issuer& issuer) {
  RowFields fields("issuers v1");
  fields.Add(issuer.id.value()).Add(issuer.issuer).Add(issuer.audience).Add(issuer.jwks);
  return fields;
}

void InsertRow(soci::session& session, const Service& service, const RowMac& mac) {
  const std::string scopes = ScopesText(service);
  const std::string readers = PrincipalsText(service.readers);
  const std::string group_servers = PrincipalsText(service.group_servers);
  const std::string delivery(Name(service.delivery));
  const std::string join(Name(service.join));
  const int generate = service.generate_on_request ? 1 : 0;
  const long long period = service.rotation.crypto_period;
  const long long overlap = service.rotation.overlap;
  const long long ahead = service.rotation.make_ahead;
  const long long kept = service.rotation.versions_kept;
  const long long records = service.max_records;
  session << "INSERT INTO services (id, profile, scopes, generate_on_request, delivery, readers, user_uri,"
             " crypto_period, overlap, make_ahead, versions_kept, max_records, group_servers, join_policy,"
             " mac_generation, mac) VALUES (:id, :profile, :scopes, :generate, :delivery, :readers, :uri, "
             ":period, :overlap, :ahead, :kept, :records, :servers, :join, :g, :mac)",
      soci::use(service.id.value()), soci::use(service.profile), soci::use(scopes), soci::use(generate),
      soci::use(delivery), soci::use(readers), soci::use(service.user_uri), soci::use(period),
      soci::use(overlap), soci::use(ahead), soci::use(kept), soci::use(records), soci::use(group_servers),
      soci::use(join), soci::use(mac.generation), soci::use(mac.text);
}

void UpdateRow(soci::session& session, const Service& service, const RowMac& mac) {
  DeleteRow(session, "services", service.id.value());
  InsertRow(session, service, mac);
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
  session << "INSERT INTO recipients (id, principal, kind, public_key, kek_generation, wrap_format, wrapped,"
             " mac_generation, mac) VALUES (:id, :principal, :kind, :key, :kek, :format, :wrapped, :g, :mac)",
      soci::use(recipient.id.value()), soci::use(recipient.principal.value()), soci::use(columns.kind),
      soci::use(columns.public_key), soci::use(kek), soci::use(columns.wrapped.format), soci::use(wrapped),
      soci::use(mac.generation), soci::use(mac.text);
}

void InsertRow(soci::session& session, const Issuer& issuer, const RowMac& mac) {
  session << "INSERT INTO issuers (id, issuer, audience, jwks, mac_generation, mac) VALUES (:id, :issuer, "
             ":audience,"
             " :jwks, :g, :mac)",
      soci::use(issuer.id.value()), soci::use(issuer.issuer), soci::use(issuer.audience),
      soci::use(issuer.jwks), soci::use(mac.generation), soci::use(mac.text);
}

bool ServiceStands(soci::session& session, const Service& service) {
  int found = 0;
  session << "SELECT count(*) FROM services WHERE id = :id AND profile = :profile", soci::into(found),
      soci::use(service.id.value()), soci::use(service.profile);
  return found == 1;
}

void DeleteRow(soci::session& session, const char* table, const std::string& id) {
  session << "DELETE FROM " << table << " WHERE id = :id", soci::use(id);
}

Result<std::vector<StoredEntry<Service>>> ReadServices(Database& database) {
  std::vector<StoredEntry<Service>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, profile, scopes, delivery, readers, user_uri, group_servers, join;
    int generate = 0;
    long long period = 0;
    long long overlap = 0;
    long long ahead = 0;
    long long kept = 0;
    long long records = 0;
    RowMac mac;
    soci::statement select =
        (session.prepare << "SELECT id, profile, scopes, generate_on_request, delivery, readers, user_uri,"
                            " crypto_period, overlap, make_ahead, versions_kept, max_records, group_servers,"
                            " join_policy, mac_generation, mac FROM services",
         soci::into(id), soci::into(profile), soci::into(scopes), soci::into(generate), soci::into(delivery),
         soci::into(readers), soci::into(user_uri), soci::into(period), soci::into(overlap),
         soci::into(ahead), soci::into(kept), soci::into(records), soci::into(group_servers),
         soci::into(join), soci::into(mac.generation), soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      Service service;
      service.id = ValServiceId(id);
      service.profile = profile;
      service.scopes.clear();
      for (const std::string& word : Split(scopes)) {
        const auto kind = ParseTargetKind(word);
        if (kind.has_error()) return Unreadable("service", id);
        service.scopes.push_back(kind.value());
      }
      const auto parsed = ParseDelivery(delivery);
      const auto joining = ParseJoinPolicy(join);
      if (parsed.has_error() || joining.has_error() || kept < 0 || kept > UINT32_MAX)
        return Unreadable("service", id);
      service.join = joining.value();
      service.rotation = {period, overlap, ahead, static_cast<std::uint32_t>(kept)};
      service.max_records = records;
      for (const std::string& word : Split(group_servers)) service.group_servers.emplace_back(word);
      service.delivery = parsed.value();
      service.generate_on_request = generate == 1;
      for (const std::string& word : Split(readers)) service.readers.emplace_back(word);
      service.user_uri = user_uri;
      rows.push_back({std::move(service), mac});
    }
    return Ok();
  }));
  return rows;
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
    std::string id, principal, kind, public_key, format, wrapped;
    int kek = 0;
    RowMac mac;
    soci::statement select =
        (session.prepare << "SELECT id, principal, kind, public_key, kek_generation, wrap_format, wrapped,"
                            " mac_generation, mac FROM recipients",
         soci::into(id), soci::into(principal), soci::into(kind), soci::into(public_key), soci::into(kek),
         soci::into(format), soci::into(wrapped), soci::into(mac.generation), soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      auto spki = FromBase64Url(public_key);
      auto blob = FromBase64Url(wrapped);
      if (!spki || !blob || (kind != kRsa && kind != kTransport)) return Unreadable("recipient", id);
      RecipientEntry entry{RecipientId(id), PrincipalId(principal), hsm::RsaRecipient{std::move(*spki)}};
      if (kind == kTransport) {
        entry.key = hsm::TransportKeyRecipient{{static_cast<std::uint32_t>(kek), format, std::move(*blob)}};
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
    std::string id;
    Issuer issuer;
    RowMac mac;
    soci::statement select =
        (session.prepare << "SELECT id, issuer, audience, jwks, mac_generation, mac FROM issuers",
         soci::into(id), soci::into(issuer.issuer), soci::into(issuer.audience), soci::into(issuer.jwks),
         soci::into(mac.generation), soci::into(mac.text));
    select.execute();
    while (select.fetch()) {
      issuer.id = IssuerId(id);
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
