// Every row by its MAC, and a sample of keys by opening them. A row that cannot even be read is damaged like
// any other: it is counted and named, and the next one is looked at.
#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <random>
#include <type_traits>
#include <utility>

#include "keystore/approval_rows.h"
#include "keystore/backup.h"
#include "keystore/directory_rows.h"
#include "keystore/groups.h"
#include "keystore/key_profile.h"
#include "keystore/key_search.h"
#include "keystore/key_store_state.h"

namespace skms::keystore {
namespace {

constexpr int kRowsAtOnce = 500;
constexpr int kPayloadsAtOnce = 8;  // they may be large
constexpr std::size_t kMostNamed = 20;
/// Under no generation that there is: every row is under another.
constexpr hsm::TokenKeyGenerations kNone{};

struct SampledKey {
  std::string name;
  hsm::WrappedKey wrapped;
  hsm::KeySpec spec;
  Bytes public_key;
};

/// `most` of what is offered, each as likely as any other (reservoir sampling, Vitter's R).
class Sample {
 public:
  void Offer(std::size_t most, std::mt19937_64& random, SampledKey key) {
    ++offered_;
    if (kept_.size() < most) {
      kept_.push_back(std::move(key));
      return;
    }
    const std::size_t place = std::uniform_int_distribution<std::size_t>(0, offered_ - 1)(random);
    if (place < most) kept_[place] = std::move(key);
  }
  const std::vector<SampledKey>& kept() const { return kept_; }

 private:
  std::size_t offered_ = 0;
  std::vector<SampledKey> kept_;
};

/// Of this row, or of the token?
bool IsOfTheRow(const Error& error) {
  return error.code == ErrorCode::kIntegrity || error.code == ErrorCode::kNotFound ||
         error.code == ErrorCode::kNewerSchema || error.code == ErrorCode::kToken ||
         error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kUnsupported;
}

class Check {
 public:
  Check(hsm::CryptoModule& module, Database& database, std::size_t sample)
      : module_(module), database_(database), most_(sample), random_(std::random_device{}()) {}

  Status Directory() {
    SKMS_TRYV(Entries("service", ReadServices(database_)));
    SKMS_TRYV(Entries("principal", ReadPrincipals(database_)));
    SKMS_TRYV(Entries("recipient", ReadRecipients(database_)));
    SKMS_TRYV(Entries("issuer", ReadIssuers(database_)));
    return Entries("subscription", ReadSubscriptions(database_));
  }

  Status ApprovalRequests() {
    const auto rows = ReadApprovalRows(database_, "1 = 1");
    if (rows.has_error()) return NoneRead(rows.error());
    for (const ApprovalRow& row : rows.value()) {
      ++out_.rows;
      const Status checked = CheckApprovalRow(module_, row);
      if (checked.has_error() && checked.error().code != ErrorCode::kIntegrity) return checked.error();
      if (checked.has_error()) Damaged(checked.error().detail);
    }
    return Ok();
  }

  Status Groups() {
    const auto read = [this](const std::string& after, int most) -> Result<std::vector<StoredGroup>> {
      std::vector<StoredGroup> page;
      SKMS_TRYV(database_.Read([&](soci::session& session) -> Status {
        SKMS_TRY(page, ReadGroupPage(session, after, most));
        return Ok();
      }));
      return page;
    };
    return Walk({"val_groups", "id", "group", kRowsAtOnce}, read, [this](const StoredGroup& group) -> Status {
      return Mac(FieldsOf(group.record), group.mac, "group '" + group.record.id.value() + "'");
    });
  }

  Status Payloads() {
    const auto read = [this](const std::string& after, int most) {
      return ReadPayloadsNotUnder(database_, kNone, after, most);
    };
    return Walk(
        {"payloads", "id", "payload", kPayloadsAtOnce}, read, [this](StoredPayload& stored) -> Status {
          const std::string name = RowName(stored.payload);
          SKMS_TRYV(Mac(FieldsOf(stored.payload), stored.mac, name));
          Offer("payload", {name, std::move(stored.payload.sealed.key), {hsm::KeyKind::kAes, 32}, {}});
          return Ok();
        });
  }

  Status Keys() {
    const auto read = [this](const std::string& after, int most) -> Result<std::vector<StoredKeyVersion>> {
      std::string from = after;
      for (;;) {
        SKMS_TRY(OldVersions all, ReadNotUnder(database_, kNone, from, most));
        if (!all.page.empty() || !all.seen_until) return std::move(all.page);
        from = std::move(*all.seen_until);
      }
    };
    return Walk({"key_versions", "kid", "key", kRowsAtOnce}, read,
                [this](StoredKeyVersion& stored) { return Key(stored); });
  }

  /// Wrapped anew and opened again in the token: no octet of it is seen here, and nothing is kept.
  Status OpenSample() {
    for (const auto& [kind, sample] : samples_) {
      for (const SampledKey& key : sample.kept()) {
        ++out_.sampled;
        if (key.wrapped.format == hsm::kFormatTrusted) {
          ++out_.strict;
          continue;
        }
        const auto opened = module_.RewrapUnderKek(key.wrapped, key.spec, key.public_key);
        if (opened.has_value()) continue;
        if (!IsOfTheRow(opened.error())) return opened.error();
        ++out_.failed;
        Tell(key.name + " does not open: " + opened.error().Describe());
      }
    }
    return Ok();
  }

  const RowCheck& out() const { return out_; }

 private:
  struct Table {
    const char* name;
    const char* id_column;
    const char* what;
    int most;
  };

  /// Page by page in the order of ids; row by row where a page cannot be read.
  template <class Read, class Take>
  Status Walk(const Table& table, const Read& read, const Take& take) {
    std::string after;
    std::int64_t seen = 0;
    for (int singly = 0;;) {
      auto page = read(after, singly > 0 ? 1 : table.most);
      if (page.has_error() && !IsOfRows(page.error())) return std::move(page).error();
      if (page.has_error() && singly == 0) {
        singly = table.most;
        continue;
      }
      std::string last;
      if (page.has_error()) {
        SKMS_TRY(last, NextId(table, after));
        Unreadable(table, last, page.error());
        ++seen;
      } else if (!page.value().empty()) {
        last = IdOf(page.value().back());
        seen += static_cast<std::int64_t>(page.value().size());
        for (auto& stored : page.value()) SKMS_TRYV(take(stored));
      }
      if (last <= after) break;  // the end; or ids that are in no order, and would lead round and round
      after = std::move(last);
      singly = std::max(singly - 1, 0);
    }
    return CheckAllSeen(table, seen);
  }

  static bool IsOfRows(const Error& error) {
    return error.code == ErrorCode::kIntegrity || error.code == ErrorCode::kStorage;
  }
  static const std::string& IdOf(const StoredGroup& stored) { return stored.record.id.value(); }
  static const std::string& IdOf(const StoredPayload& stored) { return stored.payload.id; }
  static const std::string& IdOf(const StoredKeyVersion& stored) { return stored.version.kid.value(); }

  /// Empty: there is none.
  Result<std::string> NextId(const Table& table, const std::string& after) {
    std::string next;
    const std::string id = table.id_column;
    SKMS_TRYV(database_.Read([&](soci::session& session) -> Status {
      session << "SELECT " + id + " FROM " + table.name + " WHERE " + id + " > :after ORDER BY " + id +
                     " LIMIT 1",
          soci::use(after), soci::into(next);
      if (!session.got_data()) next.clear();
      return Ok();
    }));
    return next;
  }

  void Unreadable(const Table& table, const std::string& id, const Error& error) {
    ++out_.rows;
    Damaged(error.code == ErrorCode::kIntegrity
                ? error.detail
                : "the row of " + std::string(table.what) + " " + id + " cannot be read: " + error.detail);
  }

  /// What no walk meets (an id that is none, a MAC key that there never was) was put there by somebody, too.
  Status CheckAllSeen(const Table& table, std::int64_t seen) {
    long long all = 0;
    SKMS_TRYV(database_.Read([&](soci::session& session) -> Status {
      session << "SELECT count(*) FROM " + std::string(table.name), soci::into(all);
      return Ok();
    }));
    if (all <= seen) return Ok();
    out_.rows += all - seen;
    out_.damaged += all - seen;
    Tell(std::to_string(all - seen) + " rows of table " + table.name +
         " are not as skms writes any: they were put there or changed outside skms");
    return Ok();
  }

  Status NoneRead(const Error& error) {
    if (!IsOfRows(error)) return error;
    ++out_.rows;
    Damaged(error.detail + "; no row of its table was looked at");
    return Ok();
  }

  /// One table of the directory, which is small.
  template <class Entry>
  Status Entries(const char* what, Result<std::vector<StoredEntry<Entry>>> rows) {
    if (rows.has_error()) return NoneRead(rows.error());
    for (StoredEntry<Entry>& row : rows.value()) {
      const std::string name = std::string(what) + " '" + row.entry.id.value() + "'";
      SKMS_TRYV(Mac(FieldsOf(row.entry), row.mac, name));
      if constexpr (std::is_same_v<Entry, RecipientEntry>) {
        if (const auto* transport = std::get_if<hsm::TransportKeyRecipient>(&row.entry.key))
          Offer("recipient", {name, transport->key, {hsm::KeyKind::kAes, 32}, {}});
      }
    }
    return Ok();
  }

  Status Key(StoredKeyVersion& stored) {
    KeyVersion& version = stored.version;
    const std::string name = RowName(version);
    const std::int64_t damaged = out_.damaged;
    SKMS_TRYV(Mac(FieldsOf(version), stored.mac, name));
    if (version.wrapped.bytes.empty()) return Ok();  // a tombstone
    const auto profile = FindKeyProfile(version.profile);
    if (profile.has_error()) {
      if (out_.damaged == damaged) Damaged(name + ": " + profile.error().detail);
      return Ok();
    }
    Offer(std::string(Name(version.state)),
          {name, std::move(version.wrapped), profile.value().spec, std::move(version.public_key)});
    return Ok();
  }

  Status Mac(const RowFields& fields, const RowMac& mac, const std::string& name) {
    ++out_.rows;
    Status checked = CheckRowMac(module_, fields, mac, name);
    if (checked.has_value() || checked.error().code != ErrorCode::kIntegrity) return checked;
    Damaged(checked.error().detail);
    return Ok();
  }

  void Damaged(std::string what) {
    ++out_.damaged;
    Tell(std::move(what));
  }

  void Offer(const std::string& kind, SampledKey key) {
    ++out_.could_open;
    samples_[kind].Offer(most_, random_, std::move(key));
  }

  void Tell(std::string what) {
    if (out_.trouble.size() < kMostNamed) out_.trouble.push_back(std::move(what));
  }

  hsm::CryptoModule& module_;
  Database& database_;
  const std::size_t most_;
  std::mt19937_64 random_;
  std::map<std::string, Sample> samples_;  ///< of each kind or state
  RowCheck out_;
};

}  // namespace

Result<RowCheck> CheckRowsOf(Database& database, hsm::CryptoModule& module, std::size_t sample) {
  Check check(module, database, sample);
  SKMS_TRYV(check.Directory());
  SKMS_TRYV(check.ApprovalRequests());
  SKMS_TRYV(check.Groups());
  SKMS_TRYV(check.Payloads());
  SKMS_TRYV(check.Keys());
  SKMS_TRYV(check.OpenSample());
  return check.out();
}

Result<RowCheck> CheckDirectoryOf(Database& database, hsm::CryptoModule& module) {
  Check check(module, database, 0);
  SKMS_TRYV(check.Directory());
  return check.out();
}

Result<RowCheck> KeyStore::CheckRows(std::size_t sample) {
  return CheckRowsOf(*state_->database, state_->module, sample);
}

}  // namespace skms::keystore
