#include "keystore/prepared_statements.h"

#include <utility>

namespace skms::keystore {
namespace {

thread_local PreparedStatements* current = nullptr;

}  // namespace

PreparedStatements::InUse::InUse(PreparedStatements& statements)
    : before_(std::exchange(current, &statements)) {}

PreparedStatements::InUse::~InUse() { current = before_; }

PreparedStatements* PreparedStatements::Current(const soci::session& session) {
  return current != nullptr && &current->session_ == &session ? current : nullptr;
}

}  // namespace skms::keystore
