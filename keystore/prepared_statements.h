// PreparedStatements: statements that a connection keeps, so that the database parses them once in its life
// and not with every request.
//
// Made by Database for each of its connections, and found by work that runs on one. Who uses a kept statement
// reads it to its end: one that stands in the middle of its rows keeps the database's log from being emptied.
// Used by one thread at a time, as its connection is.
#pragma once

#include <map>
#include <memory>
#include <typeindex>

namespace soci {
class session;
}

namespace skms::keystore {

class PreparedStatements {
 public:
  explicit PreparedStatements(soci::session& session) : session_(session) {}
  PreparedStatements(const PreparedStatements&) = delete;
  PreparedStatements& operator=(const PreparedStatements&) = delete;
  ~PreparedStatements() = default;

  /// While it lives, work of this thread finds `statements`.
  class InUse {
   public:
    explicit InUse(PreparedStatements& statements);
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    ~InUse();

   private:
    PreparedStatements* const before_;
  };

  /// The connection's `Kept`, made by Kept(session) when it is first asked for; of a connection that keeps
  /// none, one for this time. It may throw SOCI's exceptions.
  template <class Kept>
  static std::shared_ptr<Kept> Of(soci::session& session) {
    PreparedStatements* own = Current(session);
    if (own == nullptr) return std::make_shared<Kept>(session);
    const std::type_index kind = typeid(Kept);
    std::shared_ptr<void>& kept = own->kept_[kind];
    if (!kept) kept = std::make_shared<Kept>(session);
    return std::static_pointer_cast<Kept>(kept);
  }

  /// After an error, which may leave a statement anywhere.
  void Forget() { kept_.clear(); }

 private:
  static PreparedStatements* Current(const soci::session& session);

  soci::session& session_;
  std::map<std::type_index, std::shared_ptr<void>> kept_;
};

}  // namespace skms::keystore
