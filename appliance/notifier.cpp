#include "appliance/notifier.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <set>
#include <thread>
#include <typeinfo>
#include <utility>

#include "api/seal/key_notification.h"
#include "appliance/https.h"
#include "base/log.h"
#include "base/thread_priority.h"

namespace skms::appliance {
namespace {

using keystore::EventBatch;
using keystore::Subscription;
using std::chrono::milliseconds;
using TimePoint = std::chrono::steady_clock::time_point;

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

/// The answer's status is all that counts.
std::size_t PassOver(char* /*data*/, std::size_t size, std::size_t count, void* left) {
  auto* bytes = static_cast<std::size_t*>(left);
  const std::size_t got = size * count;
  if (got > *bytes) return 0;
  *bytes -= got;
  return got;
}

/// Without path and query, which may be a secret between the subscriber and his callback.
std::string HostOf(const std::string& uri) {
  constexpr std::size_t kSchemeBytes = 8;  // "https://"
  return uri.substr(0, uri.find_first_of("/?", kSchemeBytes));
}

/// One POST under way. Not moved while libcurl holds pointers into it.
struct Transfer {
  Subscription subscription;
  EventBatch batch;
  std::string body;
  std::size_t answer_bytes_left = std::size_t{64} * 1024;
  std::unique_ptr<curl_slist, FreeList> headers;
  EasyPtr easy;
};

std::unique_ptr<Transfer> Prepare(Subscription subscription, EventBatch batch,
                                  const NotifierOptions& options) {
  auto transfer = std::make_unique<Transfer>();
  transfer->body = seal::EncodeKeyNotification(subscription, batch, options.skms_id);
  transfer->subscription = std::move(subscription);
  transfer->batch = std::move(batch);
  transfer->easy =
      NewHttps(transfer->subscription.destination, transfer->subscription.ca, options.time_limit);
  transfer->headers.reset(
      curl_slist_append(curl_slist_append(nullptr, "Content-Type: application/json"), "Expect:"));
  CURL* easy = transfer->easy.get();
  if (easy == nullptr || !transfer->headers) return nullptr;
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body.data());
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer->body.size()));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers.get());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &PassOver);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer->answer_bytes_left);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
  return transfer;
}

/// How it goes with one subscription; lost at a restart, which costs one early try.
struct Progress {
  int failures = 0;
  TimePoint next{};
  std::int64_t nothing_until = -1;  ///< all events up to this one are told or not for it
};

}  // namespace

class Notifier::State {
 public:
  State(keystore::KeyStore& store, const Clock& clock, std::function<bool()> clock_is_suspect,
        NotifierOptions options)
      : store_(store),
        clock_(clock),
        clock_is_suspect_(std::move(clock_is_suspect)),
        options_(std::move(options)) {}

  Status Start() {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) multi_.reset(curl_multi_init());
    if (!multi_) return InternalError("libcurl cannot start");
    thread_ = std::thread([this] { Loop(); });
    return Ok();
  }

  void Stop() {
    stopping_ = true;
    if (multi_) curl_multi_wakeup(multi_.get());
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Loop() {
    LowerPriority(ThreadPriority::kRequests);
    while (!stopping_) {
      try {
        Serve();
      } catch (const std::exception& exception) {
        // Its type only: a library's text may quote what was stored.
        LogCritical(std::string("notifier: exception of type ") + typeid(exception).name() + "; it goes on");
        std::this_thread::sleep_for(options_.first_retry);
      }
    }
    for (const auto& [id, transfer] : transfers_)
      curl_multi_remove_handle(multi_.get(), transfer->easy.get());
    transfers_.clear();
  }

  void Serve() {
    TimePoint look{};
    while (!stopping_) {
      const TimePoint now = std::chrono::steady_clock::now();
      // Who has just taken some may take more at once.
      if (now >= look || progressed_) {
        progressed_ = false;
        Look(now);
        look = now + options_.look_every;
      }
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      TakeFinished();
      if (progressed_) continue;
      const auto wait = std::max(
          milliseconds(1), std::chrono::duration_cast<milliseconds>(look - std::chrono::steady_clock::now()));
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(wait.count()), nullptr);
    }
  }

  void Look(TimePoint now) {
    // Another server tells them, and knows how far it is.
    if (!store_.leads()) return progress_.clear();
    const auto subscriptions = store_.Subscriptions();
    if (subscriptions.empty()) return;
    const auto newest = store_.NewestEventNumber();
    if (newest.has_error()) return Complain(newest.error());
    std::set<std::string> present;
    for (const Subscription& subscription : subscriptions) {
      const std::string& id = subscription.id.value();
      present.insert(id);
      Progress& progress = progress_[id];
      const bool idle = progress.nothing_until >= newest.value();
      if (idle || now < progress.next || transfers_.count(id) > 0 ||
          transfers_.size() >= options_.most_transfers)
        continue;
      const Status begun = Begin(subscription, progress, newest.value());
      if (begun.has_error()) Complain(begun.error());
    }
    std::erase_if(progress_, [&](const auto& entry) { return present.count(entry.first) == 0; });
  }

  Status Begin(const Subscription& subscription, Progress& progress, std::int64_t newest) {
    // The time first: a leap between the two must be seen.
    std::int64_t oldest = clock_.NowSeconds() - options_.drop_after.count();
    if (clock_is_suspect_()) oldest = std::numeric_limits<std::int64_t>::min();
    SKMS_TRY(EventBatch batch, store_.NextEvents(subscription, oldest, options_.most_in_one));
    if (batch.events.empty()) {
      if (batch.position >= newest) progress.nothing_until = newest;
      return batch.moved ? store_.ConfirmEvents(subscription, batch) : Ok();
    }
    auto transfer = Prepare(subscription, std::move(batch), options_);
    if (!transfer) return InternalError("libcurl cannot make a transfer");
    curl_multi_add_handle(multi_.get(), transfer->easy.get());
    transfers_[subscription.id.value()] = std::move(transfer);
    return Ok();
  }

  void TakeFinished() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      long status = 0;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
      curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
      curl_multi_remove_handle(multi_.get(), message->easy_handle);
      const bool taken = code == CURLE_OK && status >= 200 && status < 300;
      Finish(
          *transfer, taken,
          code == CURLE_OK ? "it answered " + std::to_string(status) : std::string(curl_easy_strerror(code)));
      transfers_.erase(transfer->subscription.id.value());
    }
  }

  void Finish(const Transfer& transfer, bool taken, const std::string& what) {
    Progress& progress = progress_[transfer.subscription.id.value()];
    if (taken) {
      if (progress.failures > 0)
        LogInfo("notifier: " + HostOf(transfer.subscription.destination) + " takes notifications again");
      progress.failures = 0;
      const Status confirmed = store_.ConfirmEvents(transfer.subscription, transfer.batch);
      if (confirmed.has_value()) {
        progressed_ = true;
        return;
      }
      Complain(confirmed.error());
      progress.next = std::chrono::steady_clock::now() + options_.first_retry;
      return;
    }
    const auto doubled = options_.first_retry * (std::int64_t{1} << std::min(progress.failures, 20));
    const milliseconds pause = std::min<milliseconds>(doubled, options_.last_retry);
    if (progress.failures++ == 0) {
      LogWarning("notifier: " + HostOf(transfer.subscription.destination) + " of " +
                 transfer.subscription.principal.value() + " takes no notification: " + what +
                 "; tried again after " + std::to_string(pause.count()) + " ms and then less often");
    }
    progress.next = std::chrono::steady_clock::now() + pause;
  }

  static void Complain(const Error& error) { LogError("notifier: " + error.Describe()); }

  keystore::KeyStore& store_;
  const Clock& clock_;
  const std::function<bool()> clock_is_suspect_;
  const NotifierOptions options_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::map<std::string, std::unique_ptr<Transfer>> transfers_;
  std::map<std::string, Progress> progress_;
  bool progressed_ = false;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

Notifier::Notifier(keystore::KeyStore& store, const Clock& clock, std::function<bool()> clock_is_suspect,
                   NotifierOptions options)
    : state_(std::make_unique<State>(store, clock, std::move(clock_is_suspect), std::move(options))) {}
Notifier::~Notifier() { Stop(); }
Status Notifier::Start() { return state_->Start(); }
void Notifier::Stop() { state_->Stop(); }

}  // namespace skms::appliance
