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
                          "postgresql://localhost/skms?hostaddr=192.0.2.1"}) {
    CAPTURE(url);
    REQUIRE(CheckPostgresqlUrl(url).has_error());
    CHECK(CheckPostgresqlUrl(url).error().detail.find("add sslmode=verify-full") != std::string::npos);
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
  CHECK(plain.rfind("postgresql://localhost/skms?target_session_attrs=read-write&connect_timeout=2", 0) == 0);
  CHECK(CheckPostgresqlUrl(plain).has_value());
  const std::string said = PostgresqlConnection("postgresql://localhost/skms?connect_timeout=9");
  CHECK(said.find("connect_timeout=9&") != std::string::npos);
  CHECK(said.find("connect_timeout=2") == std::string::npos);
}

}  // namespace
}  // namespace skms::keystore
