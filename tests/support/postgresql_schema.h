// A schema of the test's own in the PostgreSQL database that SKMS_TEST_POSTGRESQL names (tests/postgresql);
// none where it names none: the test is of SQLite then.
#pragma once

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace skms::test {

class PostgresqlSchema {
 public:
  PostgresqlSchema() {
    if (server_.empty()) return;
    static std::atomic<int> made{0};
    name_ = "case_" + std::to_string(::getpid()) + "_" + std::to_string(++made);
    soci::session(soci::postgresql, server_) << "CREATE SCHEMA " + name_;
  }
  PostgresqlSchema(const PostgresqlSchema&) = delete;
  PostgresqlSchema& operator=(const PostgresqlSchema&) = delete;
  ~PostgresqlSchema() {
    if (server_.empty()) return;
    soci::session session(soci::postgresql, server_);
    session << "SET client_min_messages = error";
    session << "DROP SCHEMA " + name_ + " CASCADE";
  }
  /// Empty: SQLite.
  std::string url() const { return server_.empty() ? "" : server_ + "&options=-csearch_path%3D" + name_; }

 private:
  static std::string Server() {
    const char* named = std::getenv("SKMS_TEST_POSTGRESQL");  // NOLINT(concurrency-mt-unsafe): nobody sets it
    return named == nullptr ? "" : named;
  }
  const std::string server_ = Server();
  std::string name_;
};

}  // namespace skms::test
