#include "appliance/issuer_keys.h"

#include <curl/curl.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <typeinfo>
#include <utility>

#include "api/auth/authenticator.h"
#include "appliance/https.h"
#include "base/log.h"

namespace skms::appliance {
namespace {

using keystore::Issuer;
using keystore::IssuerId;
using TimePoint = std::chrono::steady_clock::time_point;

constexpr std::size_t kMaxJwksBytes = 65536;
constexpr int kMostWaiting = 4;  ///< more would let tokens with made-up key ids hold the daemon's workers

std::size_t Collect(char* data, std::size_t size, std::size_t count, void* into) {
  auto* text = static_cast<std::string*>(into);
  const std::size_t got = size * count;
  if (text->size() + got > kMaxJwksBytes) return 0;
  text->append(data, got);
  return got;
}

Error Unreachable(const Issuer& issuer, const std::string& why) {
  return Error{ErrorCode::kIo, issuer.jwks_uri + ": " + why};
}

Result<std::string> Download(const Issuer& issuer, std::chrono::milliseconds time_limit) {
  const EasyPtr easy = NewHttps(issuer.jwks_uri, issuer.jwks_ca, time_limit);
  if (!easy) return InternalError("libcurl cannot make a transfer");
  std::string text;
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Collect);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &text);
  const CURLcode code = curl_easy_perform(easy.get());
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_WRITE_ERROR) return Unreachable(issuer, "a JWK Set has at most 64 KiB");
  if (code != CURLE_OK) return Unreachable(issuer, curl_easy_strerror(code));
  if (status != 200) return Unreachable(issuer, "it answered " + std::to_string(status));
  return text;
}

/// Of one issuer, since the daemon started.
struct Progress {
  bool under_way = false;
  int waiting = 0;
  std::uint64_t fetches = 0;  ///< that went well
  std::optional<TimePoint> tried;
  std::optional<TimePoint> good;
  admin::KeyFetch report;
};

}  // namespace

class IssuerKeys::State {
 public:
  State(keystore::KeyStore& store, const Clock& clock, IssuerKeysOptions options)
      : store_(store), clock_(clock), options_(options) {}

  void Start() {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    thread_ = std::thread([this] { Loop(); });
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Status Fetch(const IssuerId& id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || !progress_[id.value()].under_way; });
    if (stopping_) return Error{ErrorCode::kResourceExhausted, "the daemon is about to stop"};
    return FetchLocked(id, lock);
  }

  bool Refresh(const IssuerId& id) {
    std::unique_lock lock(mutex_);
    Progress& progress = progress_[id.value()];
    if (progress.under_way) {
      if (progress.waiting >= kMostWaiting) return false;
      const std::uint64_t before = progress.fetches;
      ++progress.waiting;
      changed_.wait(lock, [&] { return stopping_ || !progress.under_way; });
      --progress.waiting;
      return progress.fetches != before;
    }
    const TimePoint now = clock_.Monotonic();
    if (progress.tried && now - *progress.tried < options_.look_at_most_every) return false;
    const auto issuer = Find(id);
    if (!issuer || issuer->jwks_uri.empty()) return false;
    return FetchLocked(id, lock).has_value();
  }

  admin::KeyFetch report(const IssuerId& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = progress_.find(id.value());
    return found == progress_.end() ? admin::KeyFetch{} : found->second.report;
  }

 private:
  std::optional<Issuer> Find(const IssuerId& id) const {
    for (Issuer& issuer : store_.Issuers()) {
      if (issuer.id == id) return std::move(issuer);
    }
    return std::nullopt;
  }

  /// Gives the lock up while it waits for the network. Entries of `progress_` are never erased.
  Status FetchLocked(const IssuerId& id, std::unique_lock<std::mutex>& lock) {
    Progress& progress = progress_[id.value()];
    progress.under_way = true;
    progress.tried = clock_.Monotonic();
    lock.unlock();
    Status done = RenewSafely(id);
    lock.lock();
    progress.under_way = false;
    if (done.has_value()) {
      if (!progress.report.error.empty())
        LogInfo("issuer '" + id.value() + "': its keys can be fetched again");
      ++progress.fetches;
      progress.good = clock_.Monotonic();
      progress.report = {clock_.NowSeconds(), ""};
    } else {
      if (progress.report.error.empty())
        LogWarning("issuer '" + id.value() + "': its keys cannot be fetched (" + done.error().detail +
                   "); the last good ones stay in use");
      progress.report.error = done.error().detail;
    }
    changed_.notify_all();
    return done;
  }

  /// An exception must not leave the issuer marked as under way.
  Status RenewSafely(const IssuerId& id) {
    try {
      return Renew(id);
    } catch (const std::exception& exception) {
      return InternalError(std::string("exception of type ") + typeid(exception).name());
    }
  }

  Status Renew(const IssuerId& id) {
    const auto issuer = Find(id);
    if (!issuer) return NotFound("there is no issuer '" + id.value() + "'");
    if (issuer->jwks_uri.empty())
      return InvalidArgument("issuer '" + id.value() + "' has no URI to fetch from");
    SKMS_TRY(const std::string jwks, Download(*issuer, options_.time_limit));
    SKMS_TRYV(auth::CheckJwks(jwks));
    return store_.SetIssuerKeys({keystore::PrincipalId("skmsd"), {}, ""}, *issuer, jwks);
  }

  void Loop() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      std::vector<IssuerId> due;
      try {
        due = Due();
      } catch (const std::exception& exception) {
        LogCritical(std::string("issuer keys: exception of type ") + typeid(exception).name() +
                    "; it goes on");
      }
      lock.lock();
      for (const IssuerId& id : due) {
        if (stopping_) return;
        if (!progress_[id.value()].under_way) static_cast<void>(FetchLocked(id, lock));  // it has logged
      }
      changed_.wait_for(lock, std::chrono::seconds(1), [&] { return stopping_; });
    }
  }

  std::vector<IssuerId> Due() {
    const std::vector<Issuer> issuers = store_.Issuers();
    const TimePoint now = clock_.Monotonic();
    const std::lock_guard lock(mutex_);
    std::vector<IssuerId> due;
    for (const Issuer& issuer : issuers) {
      if (issuer.jwks_uri.empty()) continue;
      const Progress& progress = progress_[issuer.id.value()];
      const auto pause = progress.report.error.empty() ? options_.refresh_every : options_.retry_after;
      if (!progress.tried || now - *progress.tried >= pause) due.push_back(issuer.id);
    }
    return due;
  }

  keystore::KeyStore& store_;
  const Clock& clock_;
  const IssuerKeysOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Progress> progress_;
  bool stopping_ = false;
  std::thread thread_;
};

IssuerKeys::IssuerKeys(keystore::KeyStore& store, const Clock& clock, IssuerKeysOptions options)
    : state_(std::make_unique<State>(store, clock, options)) {}
IssuerKeys::~IssuerKeys() { Stop(); }
void IssuerKeys::Start() { state_->Start(); }
void IssuerKeys::Stop() { state_->Stop(); }
Status IssuerKeys::Fetch(const IssuerId& id) { return state_->Fetch(id); }
bool IssuerKeys::Refresh(const IssuerId& id) { return state_->Refresh(id); }
admin::KeyFetch IssuerKeys::report(const IssuerId& id) const { return state_->report(id); }

}  // namespace skms::appliance
