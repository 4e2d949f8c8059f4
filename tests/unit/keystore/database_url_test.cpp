#include "keystore/database_url.h"

#include <doctest/doctest.h>

namespace skms::keystore {
namespace {

TEST_CASE("a URL of this host needs no certificate, and one of another host does") {
  for (const char* url : {"postgresql:///skms", "postgresql://skms@/skms?host=/run/postgresql",
                          "postgres://localhost:5433/skms", "postgresql://127.0.0.1,[::1]/skms",
                          "postgresql://a,b/skms?sslmode=verify-full&sslrootcert=/ca.pem"}) {
    CAPTURE(url);
    CHECK(CheckPostgresqlUrl(url).has_value());
  }
  for (const char* url : {"postgresql://a/skms", "postgresql://localhost,a/skms?sslmode=verify-ca",
                          "postgresql://localhost/skms?hostaddr=192.0.2.1",
                          "postgresql://127.0.0.1.example.org/skms", "postgresql://2130706433/skms"}) {
    CAPTURE(url);
    REQUIRE(CheckPostgresqlUrl(url).has_error());
    CHECK(CheckPostgresqlUrl(url).error().detail.find("add sslmode=verify-full") != std::string::npos);
  }
}

TEST_CASE("what would hold a secret, or weaken what is checked, is not taken") {
  for (const char* url :
       {"postgresql://localhost/skms?sslpassword=s3cret", "postgresql://skms:pa/ss@db/x?sslmode=verify-full",
        "postgresql://localhost/skms?connect_timeout=0", "postgresql://localhost/skms?tcp_user_timeout=",
        "postgresql://localhost/skms?keepalives=0", "postgresql://localhost/skms?service=x",
        "postgresql://localhost/skms?replication=true", "postgresql://localhost/a?b@c"}) {
    CAPTURE(url);
    const Status checked = CheckPostgresqlUrl(url);
    REQUIRE(checked.has_error());
    CHECK(checked.error().detail.find("pa/ss") == std::string::npos);
    CHECK(checked.error().detail.find("s3cret") == std::string::npos);
  }
}

TEST_CASE("a name tells hosts, ports and database, and nothing of who connects") {
  CHECK(PostgresqlName("postgresql://role:word@a:1,b:2/skms?sslmode=verify-full") ==
        "postgresql://a:1,b:2/skms");
  CHECK(PostgresqlName("postgresql://role@/skms?host=/run/a&port=5433") == "postgresql:///run/a:5433/skms");
  CHECK(PostgresqlName("postgresql://a,b,c/skms?port=7") == "postgresql://a:7,b:7,c:7/skms");
  CHECK(PostgresqlName("nonsense") == "postgresql");
}

TEST_CASE("what the URL leaves open is filled in, and what it says stays") {
  const std::string plain = PostgresqlConnection("postgresql://localhost/skms");
  for (const char* part : {"host='localhost'", "dbname='skms'", "target_session_attrs='read-write'",
                           "connect_timeout='2'", "tcp_user_timeout='5000'"}) {
    CAPTURE(part);
    CHECK(plain.find(part) != std::string::npos);
  }
  const std::string said = PostgresqlConnection("postgresql://o%27b%5C@localhost/skms?connect_timeout=9");
  CHECK(said.find("connect_timeout='9'") != std::string::npos);
  CHECK(said.find("connect_timeout='2'") == std::string::npos);
  CHECK(said.find(R"(user='o\'b\\')") != std::string::npos);
}

}  // namespace
}  // namespace skms::keystore
