// KeptNumber: a query for one number by texts, which its connection keeps (keystore/prepared_statements.h).
//
// For sources that speak to SOCI; used by one thread at a time, as its connection is.
#pragma once

#include <soci/soci.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "keystore/prepared_statements.h"

namespace skms::keystore {

/// Of `Query::kSql`, which has a parameter for each of the texts, in their order.
template <class Query, std::size_t kTexts>
class KeptNumber {
 public:
  explicit KeptNumber(soci::session& session) : statement_(session) {
    statement_.exchange(soci::into(number_));
    for (std::string& text : texts_) statement_.exchange(soci::use(text));
    statement_.alloc();
    statement_.prepare(Query::kSql);
    statement_.define_and_bind();
  }

  /// Of the first row; nullopt: there is none.
  std::optional<long long> Ask(std::array<std::string, kTexts> texts) {
    // Member by member: SOCI holds on to where each is.
    for (std::size_t i = 0; i < kTexts; ++i) texts_[i] = std::move(texts[i]);
    if (!statement_.execute(true)) return std::nullopt;
    const long long number = number_;
    while (statement_.fetch()) {
    }
    return number;
  }

 private:
  long long number_ = 0;
  std::array<std::string, kTexts> texts_;
  soci::statement statement_;
};

/// What the connection's KeptNumber of this query answers. Throws SOCI's exceptions.
template <class Query, class... Texts>
std::optional<long long> AskNumber(soci::session& session, const Texts&... texts) {
  return PreparedStatements::Of<KeptNumber<Query, sizeof...(Texts)>>(session)->Ask({std::string(texts)...});
}

}  // namespace skms::keystore
