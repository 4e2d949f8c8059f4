// A key store on a SoftHSM token of its own, with a service "s", a principal "val-1" that may read it, and a
// stranger.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "base/digest.h"
#include "hsm/openssl_keys.h"
#include "keystore/key_store.h"
#include "tests/support/manual_clock.h"
#include "tests/support/postgresql_schema.h"
#include "tests/token/soft_token.h"

namespace skms::keystore::test_fixture {

/// The value, or the end of the test program with the error's words.
template <class T>
T Must(Result<T> result) {
  if (result.has_error()) {
    std::fprintf(stderr, "fixture: %s\n", result.error().Describe().c_str());
    std::abort();
  }
  return std::move(result).value();
}
inline void Must(const Status& status) {
  if (status.has_error()) {
    std::fprintf(stderr, "fixture: %s\n", status.error().Describe().c_str());
    std::abort();
  }
}

struct Client {
  hsm::PkeyPtr key = Must(hsm::GenerateRsa());
  Bytes spki = Must(hsm::PublicSpki(key.get()));
};

/// Two pairs that every case shares: they hold no state.
inline const Client& Reader() {
  static const Client client;
  return client;
}
inline const Client& Stranger() {
  static const Client client;
  return client;
}

/// The rest of the case is about SQLite's files, or about what no PostgreSQL database was ever like.
#define SKMS_OF_SQLITE(fixture) \
  if (!(fixture).of_sqlite()) { \
    MESSAGE("of SQLite alone"); \
    return;                     \
  }

class StoreFixture {
 public:
  StoreFixture() {
    Must(KeyStore::Initialise(options(), *module, clock));
    Reopen();
    Must(store->AddPrincipal(admin,
                             {PrincipalId("val-1"), "val-server", "val-1", client.spki, "CN=val-1", 0}));
    Must(store->AddPrincipal(admin,
                             {PrincipalId("val-2"), "val-server", "val-2", stranger.spki, "CN=val-2", 0}));
    Must(store->AddService(admin, ServiceNamed("s")));
  }

  StoreOptions options() const { return {token.directory() + "/skms.db", answer_cache_bytes, schema.url()}; }
  void Close() { store.reset(); }
  void Reopen() {
    store.reset();
    store = Must(KeyStore::Open(options(), *module, clock));
  }
  Service ServiceNamed(const std::string& id) const {
    Service service;
    service.id = ValServiceId(id);
    service.scopes = {TargetKind::kService, TargetKind::kUser, TargetKind::kUe};
    service.readers = {PrincipalId("val-1")};
    return service;
  }
  /// SQL behind the store's back, as somebody with the database would.
  void Tamper(const std::string& sql) const {
    const auto session = Session();
    *session << sql;
  }
  long long Number(const std::string& sql) const {
    const auto session = Session();
    long long number = 0;
    *session << sql, soci::into(number);
    return number;
  }
  std::string Text(const std::string& sql) const {
    const auto session = Session();
    std::string text;
    *session << sql, soci::into(text);
    return text;
  }
  std::unique_ptr<soci::session> Session() const {
    if (!schema.url().empty()) return std::make_unique<soci::session>(soci::postgresql, schema.url());
    return std::make_unique<soci::session>(soci::sqlite3, "db=\"" + options().path + "\"");
  }
  /// No audit entry can be written any more, or none of this reason.
  void RefuseEntries(const std::string& reason = "") const {
    const std::string when = reason.empty() ? "" : " WHEN (NEW.reason = '" + reason + "')";
    if (of_sqlite()) {
      Tamper("CREATE TRIGGER refusing BEFORE INSERT ON audit" + when +
             " BEGIN SELECT RAISE(FAIL, 'no room'); END");
      return;
    }
    Tamper("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$");
    Tamper("CREATE TRIGGER refusing BEFORE INSERT ON audit FOR EACH ROW" + when +
           " EXECUTE FUNCTION refuse()");
  }
  void AcceptEntries() const {
    Tamper(of_sqlite() ? "DROP TRIGGER refusing" : "DROP TRIGGER refusing ON audit");
  }
  bool of_sqlite() const { return schema.url().empty(); }
  Requester Val1() const { return {PrincipalId("val-1"), client.spki, "req-1"}; }
  Requester Val2() const { return {PrincipalId("val-2"), stranger.spki, "req-2"}; }

  std::size_t answer_cache_bytes = 0;
  skms::test::PostgresqlSchema schema;
  skms::test::SoftToken token;
  skms::test::ManualClock clock;
  std::unique_ptr<hsm::CryptoModule> module = token.Provision();
  const Client& client = Reader();
  const Client& stranger = Stranger();
  Requester admin{PrincipalId("admin:0"), {}, "req-admin"};
  std::unique_ptr<KeyStore> store;
};

inline Selector ForService(const std::string& id = "s") {
  return {ValServiceId(id), TargetKind::kService, ""};
}
inline Selector ForUser(const std::string& user, const std::string& id = "s") {
  return {ValServiceId(id), TargetKind::kUser, user};
}
inline Selector ForUe(const std::string& ue) { return {ValServiceId("s"), TargetKind::kUe, ue}; }

inline constexpr std::int64_t kDaySeconds = 86400;

/// What the file holds; empty where there is none.
inline std::string Octets(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The key that was wrapped to the client's pair.
inline SecretBytes Opened(const Client& client, const DeliveredVersion& key) {
  return Must(hsm::OaepDecrypt(client.key.get(), hsm::OaepHash::kSha1, key.wrapped->encrypted_key));
}

}  // namespace skms::keystore::test_fixture
