#include "keystore/rewrap_rows.h"

#include <soci/soci.h>

#include <algorithm>

#include "base/encoding.h"

namespace skms::keystore {
namespace {

struct MacTable {
  const char* name;
  bool wrapped;  ///< it has a kek_generation, 0 where the row holds no key
};
constexpr MacTable kMacTables[] = {{"services", false}, {"principals", false},    {"recipients", true},
                                   {"issuers", false},  {"subscriptions", false}, {"val_groups", false},
                                   {"payloads", true},  {"key_versions", true},   {"approvals", false}};

}  // namespace

bool ReplaceWrapping(soci::session& session, const RowPlace& place, const hsm::WrappedKey& wrapped,
                     const RowMac& mac, const RowMac& former) {
  const std::string text = ToBase64Url(wrapped.bytes);
  const int kek = static_cast<int>(wrapped.kek_generation);
  soci::statement update =
      (session.prepare << "UPDATE " << place.table
                       << " SET kek_generation = :kek, wrap_format = :format, wrapped = :wrapped,"
                          " mac_generation = :generation, mac = :mac WHERE "
                       << place.id_column << " = :id AND mac = :former",
       soci::use(kek), soci::use(wrapped.format), soci::use(text), soci::use(mac.generation),
       soci::use(mac.text), soci::use(place.id), soci::use(former.text));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

bool ReplaceMac(soci::session& session, const RowPlace& place, const RowMac& mac, const RowMac& former) {
  soci::statement update =
      (session.prepare << "UPDATE " << place.table << " SET mac_generation = :generation, mac = :mac WHERE "
                       << place.id_column << " = :id AND mac = :former",
       soci::use(mac.generation), soci::use(mac.text), soci::use(place.id), soci::use(former.text));
  update.execute(true);
  return update.get_affected_rows() == 1;
}

RowCount CountRows(soci::session& session, const hsm::TokenKeyGenerations& use) {
  RowCount count;
  const OldRows old(use);
  for (const MacTable& table : kMacTables) {
    long long all = 0;
    long long not_under = 0;
    session << "SELECT count(*) FROM " << table.name, soci::into(all);
    if (table.wrapped) {
      session << "SELECT count(*) FROM " << table.name
              << " WHERE (kek_generation <> 0 OR mac_generation <> :mac_alone) AND " << OldRows::kWrapped,
          soci::into(not_under), soci::use(old.mac), soci::use(old.mac), soci::use(old.kek);
    } else {
      session << "SELECT count(*) FROM " << table.name << " WHERE mac_generation <> :mac",
          soci::into(not_under), soci::use(old.mac);
    }
    count.all += all;
    count.old += not_under;
  }
  return count;
}

RowGenerations ReadRowGenerations(soci::session& session) {
  RowGenerations out;
  int generation = 0;
  const auto add = [&](const std::string& query, std::set<std::uint32_t>& to) {
    soci::statement select = (session.prepare << query, soci::into(generation));
    for (select.execute(); select.fetch();) to.insert(static_cast<std::uint32_t>(generation));
  };
  for (const MacTable& table : kMacTables) {
    const std::string from = std::string(" FROM ") + table.name;
    add("SELECT DISTINCT mac_generation" + from, out.mac);
    if (!table.wrapped) continue;
    const std::string keys =
        "SELECT DISTINCT kek_generation" + from + " WHERE wrapped <> '' AND wrap_format ";
    add(keys + "<> 'RFC5649-TRUSTED'", out.kek);
    add(keys + "= 'RFC5649-TRUSTED'", out.strict_kek);
  }
  return out;
}

std::uint32_t HighestGeneration(soci::session& session) {
  int highest = 0;
  for (const MacTable& table : kMacTables) {
    int mac = 0;
    session << "SELECT coalesce(max(mac_generation), 0) FROM " << table.name, soci::into(mac);
    highest = std::max(highest, mac);
    if (!table.wrapped) continue;
    int kek = 0;
    session << "SELECT coalesce(max(kek_generation), 0) FROM " << table.name, soci::into(kek);
    highest = std::max(highest, kek);
  }
  return static_cast<std::uint32_t>(highest);
}

}  // namespace skms::keystore
