// How long the notifier tries, by a clock that the test moves. What a target does to it is in tests/e2e.
#include "appliance/notifier.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/token/keystore/store_fixture.h"

namespace skms::appliance {
namespace {

using namespace keystore::test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Takes every connection and closes it: no notification is ever taken here.
class DeadTarget {
 public:
  DeadTarget() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_, generic, size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    REQUIRE(::getsockname(listener_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (int one = ::accept(listener_, nullptr, nullptr); one >= 0;
           one = ::accept(listener_, nullptr, nullptr)) {
        ::close(one);
        ++tries_;
      }
    });
  }
  DeadTarget(const DeadTarget&) = delete;
  DeadTarget& operator=(const DeadTarget&) = delete;
  ~DeadTarget() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string uri() const { return "https://127.0.0.1:" + std::to_string(port_) + "/events"; }
  int tries() const { return tries_; }

 private:
  int listener_;
  int port_ = 0;
  std::atomic<int> tries_{0};
  std::thread thread_;
};

template <class Condition>
bool Comes(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class Fixture : public StoreFixture {
 public:
  Fixture() {
    Must(store->AddSubscription(admin, {keystore::SubscriptionId("one"), keystore::PrincipalId("val-1"),
                                        target.uri(), "none", clock.NowSeconds()}));
    Must(store->Rotate(admin, ForService()));
    Must(store->Rotate(admin, ForService()));
    NotifierOptions options;
    options.look_every = milliseconds(1);
    options.first_retry = options.last_retry = milliseconds(1);
    notifier = std::make_unique<Notifier>(
        *store, clock, [this] { return suspect.load(); }, options);
  }
  /// Tried again and again from now on.
  bool IsTriedOn() const {
    const int before = target.tries();
    return Comes([&] { return target.tries() > before + 3; });
  }
  long long Dropped() const {
    return Number("SELECT count(*) FROM audit WHERE action = 'notification.drop'");
  }

  DeadTarget target;
  std::atomic<bool> suspect{false};
  std::unique_ptr<Notifier> notifier;
};

}  // namespace

TEST_CASE("what nobody takes is tried for a day, then given up once, with an audit entry") {
  Fixture f;
  Must(f.notifier->Start());
  CHECK(f.IsTriedOn());
  f.clock.Advance(hours(24));
  CHECK(f.IsTriedOn());
  CHECK(f.Dropped() == 0);
  f.clock.Advance(seconds(1));
  CHECK(Comes([&] { return f.Dropped() > 0; }));
  f.notifier->Stop();
  CHECK(f.Dropped() == 1);
  CHECK(f.Text("SELECT reason FROM audit WHERE action = 'notification.drop'").rfind("2 events for", 0) == 0);
}

TEST_CASE("a clock that is not believed lets nothing grow too old") {
  Fixture f;
  f.suspect = true;
  f.clock.SetForward(hours(24 * 365));
  Must(f.notifier->Start());
  CHECK(f.IsTriedOn());
  CHECK(f.Dropped() == 0);
  f.suspect = false;
  CHECK(Comes([&] { return f.Dropped() > 0; }));
}

}  // namespace skms::appliance
