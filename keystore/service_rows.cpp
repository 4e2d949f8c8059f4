// Services and their policy to and from rows.
#include <soci/soci.h>

#include <utility>
#include <vector>

#include "keystore/directory_rows.h"
#include "keystore/kept_number.h"

namespace skms::keystore {
namespace {

std::string ScopesText(const Service& service) {
  std::vector<std::string> words;
  for (const TargetKind kind : service.scopes) words.emplace_back(Name(kind));
  return Join(words);
}

template <class Id>
std::string IdsText(const std::vector<Id>& ids) {
  std::vector<std::string> words;
  words.reserve(ids.size());
  for (const Id& id : ids) words.push_back(id.value());
  return Join(words);
}

template <class Id>
std::vector<Id> SplitIds(const std::string& text) {
  std::vector<Id> ids;
  for (const std::string& word : Split(text)) ids.emplace_back(word);
  return ids;
}

/// Has it a policy that schema version 2 did not know?
bool HasLifePolicy(const Service& service) {
  return service.rotation != RotationPolicy{} || service.max_records != 0 || !service.group_servers.empty() ||
         service.join != JoinPolicy::kFromCurrent;
}

void AddLifePolicy(RowFields& fields, const Service& service) {
  fields.Add("life v3")
      .Add(service.rotation.crypto_period)
      .Add(service.rotation.overlap)
      .Add(service.rotation.make_ahead)
      .Add(std::int64_t{service.rotation.versions_kept})
      .Add(service.max_records)
      .Add(IdsText(service.group_servers))
      .Add(Name(service.join));
}

void AddAccessPolicy(RowFields& fields, const AccessPolicy& access) {
  fields.Add("access v4")
      .Add(IdsText(access.provisioners))
      .Add(IdsText(access.ue_issuers))
      .Add(std::int64_t{access.ue_service_key ? 1 : 0})
      .Add(access.home)
      .Add(std::int64_t{access.home_permanent ? 1 : 0});
  // Rows of schema version 4 keep the MAC they have.
  if (!access.home_ue.empty()) fields.Add("home v5").Add(access.home_ue);
}

struct ServicesThatStand {
  static constexpr const char* kSql =
      "SELECT count(*) FROM services WHERE id = :id AND profile = :profile AND recipients = :recipients";
};

}  // namespace

RowFields FieldsOf(const Service& service) {
  RowFields fields("services v1");
  fields.Add(service.id.value())
      .Add(service.profile)
      .Add(ScopesText(service))
      .Add(std::int64_t{service.generate_on_request ? 1 : 0})
      .Add(Name(service.delivery))
      .Add(IdsText(service.readers))
      .Add(service.user_uri);
  // Rows of schema version 2 keep the MAC they have, and rows of version 3.
  if (HasLifePolicy(service)) AddLifePolicy(fields, service);
  if (service.access != AccessPolicy{}) AddAccessPolicy(fields, service.access);
  if (service.recipients != Recipients::kAny) fields.Add("recipients v6").Add(Name(service.recipients));
  return fields;
}

void InsertRow(soci::session& session, const Service& service, const RowMac& mac) {
  const std::string scopes = ScopesText(service);
  const std::string readers = IdsText(service.readers);
  const std::string group_servers = IdsText(service.group_servers);
  const std::string delivery(Name(service.delivery));
  const std::string join(Name(service.join));
  const int generate = service.generate_on_request ? 1 : 0;
  const long long period = service.rotation.crypto_period;
  const long long overlap = service.rotation.overlap;
  const long long ahead = service.rotation.make_ahead;
  const long long kept = service.rotation.versions_kept;
  const long long records = service.max_records;
  const std::string provisioners = IdsText(service.access.provisioners);
  const std::string ue_issuers = IdsText(service.access.ue_issuers);
  const int ue_service_key = service.access.ue_service_key ? 1 : 0;
  const int home_permanent = service.access.home_permanent ? 1 : 0;
  const std::string recipients(Name(service.recipients));
  session << "INSERT INTO services (id, profile, scopes, generate_on_request, delivery, readers, user_uri,"
             " crypto_period, overlap, make_ahead, versions_kept, max_records, group_servers, join_policy,"
             " provisioners, ue_issuers, ue_service_key, home, home_ue, home_permanent,"
             " recipients, mac_generation, mac) VALUES (:id, :profile, :scopes, :generate, :delivery, "
             ":readers, :uri, "
             ":period, :overlap, :ahead, :kept, :records, :servers, :join, :provisioners, :ue_issuers, "
             ":ue_service_key, :home, :home_ue, :permanent, :recipients, :g, :mac)",
      soci::use(service.id.value()), soci::use(service.profile), soci::use(scopes), soci::use(generate),
      soci::use(delivery), soci::use(readers), soci::use(service.user_uri), soci::use(period),
      soci::use(overlap), soci::use(ahead), soci::use(kept), soci::use(records), soci::use(group_servers),
      soci::use(join), soci::use(provisioners), soci::use(ue_issuers), soci::use(ue_service_key),
      soci::use(service.access.home), soci::use(service.access.home_ue), soci::use(home_permanent),
      soci::use(recipients), soci::use(mac.generation), soci::use(mac.text);
}

void UpdateRow(soci::session& session, const Service& service, const RowMac& mac) {
  DeleteRow(session, "services", service.id.value());
  InsertRow(session, service, mac);
}

bool ServiceStands(soci::session& session, const Service& service) {
  return AskNumber<ServicesThatStand>(session, service.id.value(), service.profile,
                                      Name(service.recipients)) == 1;
}

Result<std::vector<StoredEntry<Service>>> ReadServices(Database& database) {
  std::vector<StoredEntry<Service>> rows;
  SKMS_TRYV(database.Read([&](soci::session& session) -> Status {
    std::string id, profile, scopes, delivery, readers, user_uri, group_servers, join, provisioners,
        ue_issuers, home, home_ue, recipients;
    int ue_service_key = 0;
    int home_permanent = 0;
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
                            " join_policy, provisioners, ue_issuers, ue_service_key, home, home_ue,"
                            " home_permanent, recipients, mac_generation, mac FROM services",
         soci::into(id), soci::into(profile), soci::into(scopes), soci::into(generate), soci::into(delivery),
         soci::into(readers), soci::into(user_uri), soci::into(period), soci::into(overlap),
         soci::into(ahead), soci::into(kept), soci::into(records), soci::into(group_servers),
         soci::into(join), soci::into(provisioners), soci::into(ue_issuers), soci::into(ue_service_key),
         soci::into(home), soci::into(home_ue), soci::into(home_permanent), soci::into(recipients),
         soci::into(mac.generation), soci::into(mac.text));
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
      const auto whom = ParseRecipients(recipients);
      if (parsed.has_error() || joining.has_error() || whom.has_error() || kept < 0 || kept > UINT32_MAX)
        return Unreadable("service", id);
      service.recipients = whom.value();
      service.join = joining.value();
      service.rotation = {period, overlap, ahead, static_cast<std::uint32_t>(kept)};
      service.max_records = records;
      service.group_servers = SplitIds<PrincipalId>(group_servers);
      service.access = {SplitIds<PrincipalId>(provisioners),
                        SplitIds<IssuerId>(ue_issuers),
                        ue_service_key == 1,
                        home,
                        home_ue,
                        home_permanent == 1};
      service.delivery = parsed.value();
      service.generate_on_request = generate == 1;
      service.readers = SplitIds<PrincipalId>(readers);
      service.user_uri = user_uri;
      rows.push_back({std::move(service), mac});
    }
    return Ok();
  }));
  return rows;
}

}  // namespace skms::keystore
