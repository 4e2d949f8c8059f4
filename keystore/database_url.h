// URLs of databases that are not a file: postgresql://[user@]host[:port][,…]/name[?parameter=value&…], as
// libpq reads them.
//
// Functions; thread-safe.
#pragma once

#include <string>

#include "base/result.h"

namespace skms::keystore {

/// Errors: kInvalidArgument, with what to do: it is none; a password or another parameter than those of
/// docs/postgresql.md stands in it; a server on another host would not be verified by its certificate.
Status CheckPostgresqlUrl(const std::string& url);

/// kConfiguration: a variable of the environment would take part in where libpq connects to.
Status CheckPostgresqlEnvironment();

/// Hosts and the name of the database, for people.
std::string PostgresqlName(const std::string& url);

/// `url` in libpq's other form (key='value' …), with what it leaves open: a server that can be written to
/// (target_session_attrs), and how long an attempt and a connection that is not heard of may last.
std::string PostgresqlConnection(const std::string& url);

}  // namespace skms::keystore
