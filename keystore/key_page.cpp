// Pages of key versions.
#include <soci/soci.h>

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <utility>
#include <variant>

#include "base/encoding.h"
#include "keystore/key_rows.h"
#include "keystore/key_search.h"
#include "keystore/rewrap_rows.h"

namespace skms::keystore {
namespace {

constexpr const char* kBehindAllKids = "~";  // kids are base64url
constexpr int kFewEnding = 5000;             // are sorted rather than met on the way through all
constexpr int kLookedAtForOld = 1024;        // rows in one statement

/// Conditions of a statement, and the values that it holds on to.
class Where {
 public:
  using Value = std::variant<std::string, long long>;

  /// `condition` is our own text, with a "?" for each value.
  void And(std::string_view condition, std::initializer_list<Value> values = {}) {
    text_ += text_.empty() ? " WHERE " : " AND ";
    const Value* next = values.begin();
    for (const char c : condition) {
      if (c != '?') {
        text_ += c;
        continue;
      }
      text_ += ":v" + std::to_string(values_.size());
      values_.push_back(*next++);
    }
  }
  /// Before the statement is prepared.
  void Use(soci::statement& statement) const {
    for (const Value& value : values_)
      std::visit([&](const auto& one) { statement.exchange(soci::use(one)); }, value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::deque<Value> values_;  // what is bound must not move
};

/// The least text, as octets are compared, that is greater than all that begin with `prefix`; nullopt: none.
/// Well-formed, for PostgreSQL takes nothing else.
std::optional<std::string> BehindPrefix(std::string prefix) {
  constexpr std::string_view kGreatest = "\xF4\x8F\xBF\xBF";  // U+10FFFF
  while (prefix.ends_with(kGreatest)) prefix.resize(prefix.size() - kGreatest.size());
  if (prefix.empty()) return std::nullopt;
  // UTF-8 orders as its octets do: the next octet up, where it is a continuation that ends, carries.
  for (auto at = prefix.size(); at-- > 0;) {
    const auto octet = static_cast<unsigned char>(prefix[at]);
    if ((octet & 0xC0U) == 0x80 && octet == 0xBF) {
      prefix[at] = '\x80';
      continue;
    }
    if (octet == 0x7F) return prefix.replace(at, 1, "\xC2\x80");
    if (octet == 0xDF) return prefix.replace(at, 2, "\xE0\xA0\x80");
    if (octet == 0xEF) return prefix.replace(at, 3, "\xF0\x90\x80\x80");
    prefix[at] = static_cast<char>(octet + 1);
    // No surrogates: behind U+D7FF comes U+E000.
    if (at > 0 && prefix[at - 1] == '\xED' && prefix[at] == '\xA0') prefix.replace(at - 1, 2, "\xEE\x80");
    return prefix;
  }
  return std::nullopt;
}

/// Where a version stands in the order of pages.
struct Place {
  std::string service;
  std::string kind;
  std::string target;
  long long version = 0;
};

/// Goes through the services and their kinds of targets one after the other: within one of them, each
/// condition is a range of one index.
class PageSearch {
 public:
  PageSearch(soci::session& session, const KeyListQuery& query) : session_(session), query_(query) {}

  Status Fill(std::vector<StoredKeyVersion>& page) {
    if (!IsValidUtf8(query_.target_prefix)) return InvalidArgument("the prefix of a target must be UTF-8");
    std::optional<Place> behind;
    if (!query_.after_kid.empty()) {
      SKMS_TRY(behind, PlaceOfAfter());
    }
    if (query_.expiring_before && query_.state == KeyState::kActive && FewEnd()) return FillFew(behind, page);
    std::string service = query_.service ? query_.service->value() : std::string();
    std::string kind;
    if (behind && query_.service && behind->service != service) {
      if (behind->service > service) return Ok();
    } else if (behind) {
      service = behind->service;
      kind = behind->kind;
      SKMS_TRYV(AddOf(service, kind, &*behind, page));
    }
    for (auto before = std::pair(service, kind); page.size() < query_.limit && FindNext(service, kind);) {
      // One that is no text would lead round and round.
      if (std::pair(service, kind) <= before)
        return IntegrityError("the service or kind of a key is not readable: it was changed outside skms");
      before = {service, kind};
      SKMS_TRYV(AddOf(service, kind, nullptr, page));
    }
    return Ok();
  }

 private:
  Result<Place> PlaceOfAfter() {
    Place place;
    session_ << "SELECT service, target_kind, target, version FROM key_versions WHERE kid = :kid",
        soci::into(place.service), soci::into(place.kind), soci::into(place.target),
        soci::into(place.version), soci::use(query_.after_kid);
    if (!session_.got_data())
      return InvalidArgument("there is no key '" + query_.after_kid + "' to go on after");
    return place;
  }

  /// The state's name stands in the SQL, for a partial index to be found by it.
  void AndState(Where& where) const {
    if (!query_.state) return;
    where.And("state = '" + std::string(Name(*query_.state)) + "'");
    if (*query_.state != KeyState::kActive) where.And("state <> 'active'");
  }
  void AndPrefix(Where& where) const {
    if (query_.target_prefix.empty()) return;
    where.And("target >= ?", {query_.target_prefix});
    if (const auto end = BehindPrefix(query_.target_prefix)) where.And("target < ?", {*end});
  }

  /// Moves on to the next service and kind that there is. In two steps: SQLite would go through all that
  /// begin with the service to find what is greater than a pair.
  bool FindNext(std::string& service, std::string& kind) {
    Where within;
    AndState(within);
    within.And("service = ?", {service});
    within.And("target_kind > ?", {kind});
    if (FindFirst(within, service, kind)) return true;
    if (query_.service) return false;
    Where beyond;
    AndState(beyond);
    beyond.And("service > ?", {service});
    return FindFirst(beyond, service, kind);
  }
  bool FindFirst(const Where& where, std::string& service, std::string& kind) {
    soci::statement select(session_);
    select.exchange(soci::into(service));
    select.exchange(soci::into(kind));
    where.Use(select);
    select.alloc();
    select.prepare("SELECT service, target_kind FROM key_versions" + where.text() +
                   " ORDER BY service, target_kind LIMIT 1");
    select.define_and_bind();
    return select.execute(true);
  }

  Status AddOf(const std::string& service, const std::string& kind, const Place* behind,
               std::vector<StoredKeyVersion>& page) {
    Where where;
    AndState(where);
    where.And("service = ?", {service});
    where.And("target_kind = ?", {kind});
    // One lower bound, for an index takes no two.
    if (behind != nullptr && behind->target >= query_.target_prefix) {
      where.And("(target, version) > (?, ?)", {behind->target, behind->version});
      if (const auto end = BehindPrefix(query_.target_prefix)) where.And("target < ?", {*end});
    } else {
      AndPrefix(where);
    }
    if (query_.expiring_before) where.And("not_after < ?", {static_cast<long long>(*query_.expiring_before)});
    return Select("key_versions" + where.text() + " ORDER BY target, version", where, page);
  }

  Where EndingSoon() const {
    Where where;
    where.And("state = 'active'");
    where.And("not_after < ?", {static_cast<long long>(*query_.expiring_before)});
    return where;
  }
  bool FewEnd() {
    const Where where = EndingSoon();
    long long count = 0;
    soci::statement select(session_);
    select.exchange(soci::into(count));
    where.Use(select);
    select.alloc();
    select.prepare("SELECT count(*) FROM (SELECT 1 FROM key_versions" + where.text() + " LIMIT " +
                   std::to_string(kFewEnding + 1) + ") AS found");
    select.define_and_bind();
    select.execute(true);
    return count <= kFewEnding;
  }
  Status FillFew(const std::optional<Place>& behind, std::vector<StoredKeyVersion>& page) {
    Where where = EndingSoon();
    // The limit keeps the index of ends in use.
    const std::string ending = "(SELECT * FROM key_versions" + where.text() + " ORDER BY not_after LIMIT " +
                               std::to_string(kFewEnding) + ") AS ending";
    const std::size_t before = where.text().size();
    if (query_.service) where.And("service = ?", {query_.service->value()});
    AndPrefix(where);
    if (behind) {
      where.And("(service, target_kind, target, version) > (?, ?, ?, ?)",
                {behind->service, behind->kind, behind->target, behind->version});
    }
    const std::string rest = where.text().substr(before);
    return Select(ending + " WHERE 1 = 1" + rest + " ORDER BY service, target_kind, target, version", where,
                  page);
  }

  /// As many of `from` as the page has room for.
  Status Select(const std::string& from, const Where& where, std::vector<StoredKeyVersion>& page) {
    KeyRow row;
    soci::statement select(session_);
    Bind(select, row);
    where.Use(select);
    select.alloc();
    select.prepare(std::string("SELECT ") + kKeyColumns + " FROM " + from + " LIMIT " +
                   std::to_string(query_.limit - page.size()));
    return FetchAll(select, row, page);
  }

  soci::session& session_;
  const KeyListQuery& query_;
};

}  // namespace

Result<std::vector<StoredKeyVersion>> ReadPage(Database& database, const KeyListQuery& query) {
  std::vector<StoredKeyVersion> page;
  SKMS_TRYV(
      database.ReadSnapshot([&](soci::session& session) { return PageSearch(session, query).Fill(page); }));
  return page;
}

Result<OldVersions> ReadNotUnder(Database& database, const hsm::TokenKeyGenerations& use,
                                 const std::string& after_kid, int limit) {
  OldVersions found;
  const OldRows old(use);
  SKMS_TRYV(database.ReadSnapshot([&](soci::session& session) -> Status {
    std::string until;
    soci::indicator none = soci::i_null;
    session << "SELECT max(kid) FROM (SELECT kid FROM key_versions WHERE kid > :after ORDER BY kid LIMIT " +
                   std::to_string(kLookedAtForOld) + ") AS next",
        soci::into(until, none), soci::use(after_kid);
    if (none != soci::i_ok) return Ok();
    // An id that is no text comes after all that are, and leads nowhere.
    const bool last = until <= after_kid;
    if (last) until = kBehindAllKids;
    KeyRow row;
    soci::statement statement(session);
    Bind(statement, row);
    statement.exchange(soci::use(after_kid, "after"));
    statement.exchange(soci::use(until, "until"));
    statement.exchange(soci::use(old.mac, "mac"));
    statement.exchange(soci::use(old.kek, "kek"));
    statement.exchange(soci::use(limit, "most"));
    statement.alloc();
    statement.prepare(std::string("SELECT ") + kKeyColumns +
                      " FROM key_versions WHERE kid > :after AND kid <= :until AND " + OldRows::kWrapped +
                      " ORDER BY kid LIMIT :most");
    SKMS_TRYV(FetchAll(statement, row, found.page));
    const bool full = found.page.size() == static_cast<std::size_t>(limit);
    if (full) {
      found.seen_until = found.page.back().version.kid.value();
    } else if (!last) {
      found.seen_until = until;
    }
    return Ok();
  }));
  return found;
}

}  // namespace skms::keystore
