// PreparedStatements: statements that a connection keeps, so that the database parses them once in its life
// and not with every request; and what one write transaction has read, and need not read again.
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
    return own->template In<Kept>(own->kept_, [&] { return std::make_shared<Kept>(session); });
  }

  /// What changes of one transaction leave for those after them in it: forgotten with its begin, and when a
  /// part of it is undone. Of a connection that keeps nothing, an empty one.
  template <class Kept>
  static std::shared_ptr<Kept> OfTransaction(soci::session& session) {
    PreparedStatements* own = Current(session);
    if (own == nullptr) return std::make_shared<Kept>();
    return own->template In<Kept>(own->of_transaction_, [] { return std::make_shared<Kept>(); });
  }
  static void ForgetTransaction(soci::session& session) {
    if (PreparedStatements* own = Current(session); own != nullptr) own->of_transaction_.clear();
  }

  /// After an error, which may leave a statement anywhere.
  void Forget() { kept_.clear(); }

 private:
  using Keeps = std::map<std::type_index, std::shared_ptr<void>>;

  static PreparedStatements* Current(const soci::session& session);

  template <class Kept, class Make>
  static std::shared_ptr<Kept> In(Keeps& keeps, const Make& make) {
    std::shared_ptr<void>& kept = keeps[typeid(Kept)];
    if (!kept) kept = make();
    return std::static_pointer_cast<Kept>(kept);
  }

  soci::session& session_;
  Keeps kept_;
  Keeps of_transaction_;
};

}  // namespace skms::keystore
