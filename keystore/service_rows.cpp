// Services and their policy to and from rows.
#include <soci/soci.h>

#include <utility>
#include <vector>

#include "keystore/directory_rows.h"

namespace skms::keystore {
namespace {

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

bool ServiceStands(soci::session& session, const Service& service) {
  int found = 0;
  session << "SELECT count(*) FROM services WHERE id = :id AND profile = :profile", soci::into(found),
      soci::use(service.id.value()), soci::use(service.profile);
  return found == 1;
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

}  // namespace skms::keystore
