// KeyStore::CheckRows: every row by its MAC, and a sample of keys by opening them.
#include <soci/soci.h>

#include <map>
#include <random>
#include <utility>

#include "keystore/backup.h"
#include "keystore/groups.h"
#include "keystore/key_profile.h"
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

  Status Groups() {
    std::string after;
    for (;;) {
      std::vector<StoredGroup> page;
      SKMS_TRYV(database_.Read([&](soci::session& session) -> Status {
        SKMS_TRY(page, ReadGroupPage(session, after, kRowsAtOnce));
        return Ok();
      }));
      if (page.empty()) return Ok();
      for (const StoredGroup& group : page)
        SKMS_TRYV(Mac(FieldsOf(group.record), group.mac, "group '" + group.record.id.value() + "'"));
      after = page.back().record.id.value();
    }
  }

  Status Payloads() {
    std::string after;
    for (;;) {
      SKMS_TRY(std::vector<StoredPayload> page,
               ReadPayloadsNotUnder(database_, kNone, after, kPayloadsAtOnce));
      if (page.empty()) return Ok();
      after = page.back().payload.id;
      for (StoredPayload& stored : page) {
        const std::string name = RowName(stored.payload);
        SKMS_TRYV(Mac(FieldsOf(stored.payload), stored.mac, name));
        Offer("payload", {name, std::move(stored.payload.sealed.key), {hsm::KeyKind::kAes, 32}, {}});
      }
    }
  }

  Status Keys() {
    std::string after;
    for (;;) {
      SKMS_TRY(std::vector<StoredKeyVersion> page, ReadNotUnder(database_, kNone, after, kRowsAtOnce));
      if (page.empty()) return Ok();
      after = page.back().version.kid.value();
      for (StoredKeyVersion& stored : page) {
        KeyVersion& version = stored.version;
        const std::string name = RowName(version);
        SKMS_TRYV(Mac(FieldsOf(version), stored.mac, name));
        if (version.wrapped.bytes.empty()) continue;  // a tombstone
        SKMS_TRY(const KeyProfile profile, FindKeyProfile(version.profile));
        Offer(std::string(Name(version.state)),
              {name, std::move(version.wrapped), profile.spec, std::move(version.public_key)});
      }
    }
  }

  void Recipients(const std::map<std::string, RecipientEntry>& recipients) {
    for (const auto& [id, entry] : recipients) {
      if (const auto* transport = std::get_if<hsm::TransportKeyRecipient>(&entry.key))
        Offer("recipient", {"recipient '" + id + "'", transport->key, {hsm::KeyKind::kAes, 32}, {}});
    }
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

  /// Rows that were checked before.
  void AddRows(std::size_t count) { out_.rows += static_cast<std::int64_t>(count); }
  const RowCheck& out() const { return out_; }

 private:
  Status Mac(const RowFields& fields, const RowMac& mac, const std::string& name) {
    ++out_.rows;
    Status checked = CheckRowMac(module_, fields, mac, name);
    if (checked.has_value() || checked.error().code != ErrorCode::kIntegrity) return checked;
    ++out_.damaged;
    Tell(checked.error().detail);
    return Ok();
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

Result<RowCheck> KeyStore::CheckRows(std::size_t sample) {
  State& state = *state_;
  Check check(state.module, *state.database, sample);
  const auto directory = state.directory->snapshot();
  check.AddRows(directory->services.size() + directory->principals.size() + directory->recipients.size() +
                directory->issuers.size() + directory->subscriptions.size());
  SKMS_TRYV(check.Groups());
  SKMS_TRYV(check.Payloads());
  SKMS_TRYV(check.Keys());
  check.Recipients(directory->recipients);
  SKMS_TRYV(check.OpenSample());
  return check.out();
}

}  // namespace skms::keystore
