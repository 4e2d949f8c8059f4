// A CryptoModule whose token breaks under it: it comes back by itself, and tells the truth meanwhile.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "hsm/crypto_module.h"
#include "hsm/openssl_keys.h"
#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

using hsm::CryptoModule;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// The PIN file of a daemon: what an administrator may change.
class PinFile {
 public:
  void Write(std::string pin) {
    const std::lock_guard lock(mutex_);
    pin_ = std::move(pin);
  }
  hsm::PinSource source() {
    return [this]() -> Result<SecretBytes> {
      const std::lock_guard lock(mutex_);
      return SecretBytes::CopyOf(AsBytes(pin_));
    };
  }

 private:
  std::mutex mutex_;
  std::string pin_{SoftToken::kPin};
};

struct Appliance {
  Appliance() {
    hsm::TokenOptions options;
    options.module_path = SKMS_FAULT_LIBRARY;
    options.label = std::string(SoftToken::kLabel);
    auto opened = CryptoModule::Provision(options, pin.source());
    REQUIRE_MESSAGE(opened.has_value(), (opened.has_error() ? opened.error().Describe() : ""));
    module = std::move(opened).value();
    finalized_before = Finalized();
  }

  std::uint64_t Finalized() const { return token.Counters()["finalize-under-call:"].calls; }
  std::uint64_t FinalizedUnderCalls() const { return Finalized() - finalized_before; }
  Status Use() const {
    SKMS_TRYV(module->GenerateWrapped({hsm::KeyKind::kAes, 32}));
    SKMS_TRYV(module->ComputeMac(1, AsBytes("m")));
    return Ok();
  }
  /// Waits until it works again; false after 20 s.
  bool ComesBack() const {
    const auto end = steady_clock::now() + seconds(20);
    while (Use().has_error()) {
      if (steady_clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return true;
  }
  bool IsLostFor(const std::string& reason) const {
    const auto end = steady_clock::now() + seconds(20);
    while (module->health().trouble.find(reason) == std::string::npos) {
      if (steady_clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return !module->health().available;
  }

  FaultedToken token{FaultedToken::Start::kLoaded};
  PinFile pin;
  std::unique_ptr<CryptoModule> module;
  std::uint64_t finalized_before = 0;
};

TEST_CASE("sessions, login or library lost: the verb that meets it does not notice, and keys are as before") {
  const Appliance appliance;
  const auto mac = appliance.module->ComputeMac(1, AsBytes("m"));
  REQUIRE(mac.has_value());
  std::uint64_t losses = 0;
  for (const char* accident : {"drop-sessions", "logout", "forget"}) {
    CAPTURE(accident);
    REQUIRE(appliance.token.Order(accident) == "ok");
    const auto again = appliance.module->ComputeMac(1, AsBytes("m"));
    REQUIRE_MESSAGE(again.has_value(), (again.has_error() ? again.error().Describe() : ""));
    CHECK(again.value() == mac.value());
    CHECK(appliance.module->health().available);
    CHECK(appliance.module->health().recoveries == ++losses);
    CHECK(appliance.Use().has_value());
  }
  CHECK(appliance.FinalizedUnderCalls() == 0);
}

TEST_CASE("after a loss a key goes to the recipient it is for, whose public key the token had kept before") {
  const Appliance appliance;
  const hsm::KeySpec spec{hsm::KeyKind::kAes, 32};
  const hsm::GeneratedKey generated = appliance.module->GenerateWrapped(spec).value();
  const SecretBytes plain = appliance.module->Reveal(generated.wrapped, spec).value();
  std::vector<hsm::PkeyPtr> recipients;
  recipients.reserve(3);
  for (int i = 0; i < 3; ++i) recipients.push_back(hsm::GenerateRsa().value());
  for (const char* accident : {"clear", "drop-sessions", "logout", "forget"}) {
    CAPTURE(accident);
    REQUIRE(appliance.token.Order(accident) == "ok");
    for (const hsm::PkeyPtr& recipient : recipients) {
      const hsm::RsaRecipient to{hsm::PublicSpki(recipient.get()).value()};
      const auto delivered = appliance.module->RewrapFor(to, generated.wrapped, spec);
      REQUIRE_MESSAGE(delivered.has_value(), (delivered.has_error() ? delivered.error().Describe() : ""));
      const auto opened =
          hsm::OaepDecrypt(recipient.get(), hsm::OaepHash::kSha1, delivered.value().encrypted_key);
      REQUIRE(opened.has_value());
      CHECK(ConstantTimeEqual(opened.value().ExposeSecret(), plain.ExposeSecret()));
    }
    // The next accident meets other handles than this one.
    std::rotate(recipients.begin(), recipients.begin() + 1, recipients.end());
  }
}

TEST_CASE("a token that is away is said to be lost, and taken up again under another slot") {
  const Appliance appliance;
  REQUIRE(appliance.token.Order("away 600 slot +7") == "ok");
  const Status lost = appliance.Use();
  REQUIRE(lost.has_error());
  CHECK(lost.error().code == ErrorCode::kTokenUnavailable);
  CHECK(appliance.IsLostFor("no token 'skms'"));
  // While it is away nothing waits for it.
  const auto begun = steady_clock::now();
  CHECK(appliance.Use().has_error());
  CHECK(steady_clock::now() - begun < seconds(1));
  REQUIRE(appliance.token.Order("clear") == "ok");
  CHECK(appliance.ComesBack());
  CHECK(appliance.module->health().trouble.empty());
}

TEST_CASE(
    "a device that fails once is tried and kept; one that goes on failing is opened again when it is well") {
  const Appliance appliance;
  REQUIRE(appliance.token.Order("fail C_WrapKey CKR_DEVICE_ERROR times 1") == "ok");
  CHECK(appliance.Use().has_value());
  CHECK(appliance.module->health().recoveries == 0);
  REQUIRE(appliance.token.Order("fail C_WrapKey CKR_DEVICE_ERROR") == "ok");
  CHECK(appliance.Use().error().code == ErrorCode::kTokenUnavailable);
  CHECK(appliance.IsLostFor("CKR_DEVICE_ERROR"));
  REQUIRE(appliance.token.Order("clear") == "ok");
  CHECK(appliance.ComesBack());
  CHECK(appliance.module->health().recoveries == 1);
}

TEST_CASE("a key that is made is there though the token fails while it is wrapped to who waits for it") {
  const Appliance appliance;
  const hsm::KeySpec spec{hsm::KeyKind::kAes, 32};
  const hsm::PkeyPtr own = hsm::GenerateRsa().value();
  const hsm::Recipient to = hsm::RsaRecipient{hsm::PublicSpki(own.get()).value()};
  // The last one has the keeper try the token, which may wrap as well, while others go on.
  for (const char* code : {"CKR_KEY_UNEXTRACTABLE", "CKR_SESSION_HANDLE_INVALID", "CKR_DEVICE_ERROR"}) {
    CAPTURE(code);
    // Of its two wraps the one that is for the recipient.
    REQUIRE(appliance.token.Order(std::string("fail C_WrapKey ") + code + " after 1 times 1") == "ok");
    const auto generated = appliance.module->GenerateWrapped(spec, hsm::Recipients::kAny, &to);
    REQUIRE(generated.has_value());
    CHECK_FALSE(generated.value().delivered.has_value());
    CHECK(appliance.module->RewrapFor(to, generated.value().wrapped, spec).has_value());
  }
}

TEST_CASE("a PIN that was refused is sent once, and another one when there is one") {
  Appliance appliance;
  appliance.pin.Write("000000");
  const std::uint64_t before = appliance.token.Counters()["C_Login"].calls;
  REQUIRE(appliance.token.Order("forget") == "ok");
  CHECK(appliance.Use().has_error());
  CHECK(appliance.IsLostFor("not tried again"));
  std::this_thread::sleep_for(milliseconds(800));  // several attempts to open it
  CHECK(appliance.token.Counters()["C_Login"].calls == before + 1);
  appliance.pin.Write(std::string(SoftToken::kPin));
  CHECK(appliance.ComesBack());
  CHECK(appliance.token.Counters()["C_Login"].calls == before + 2);
}

TEST_CASE("sessions exhausted: the rest serve, and the pool grows again") {
  const Appliance appliance;
  REQUIRE(appliance.token.Order("slots 4") == "ok");
  REQUIRE(appliance.token.Order("drop-sessions") == "ok");
  CHECK(appliance.ComesBack());
  CHECK(appliance.module->session_use().limit == 3);  // and the login's own
  REQUIRE(appliance.token.Order("clear") == "ok");
  REQUIRE(appliance.token.Order("drop-sessions") == "ok");
  CHECK(appliance.ComesBack());
  CHECK(appliance.module->session_use().limit == 8);
}

TEST_CASE("one call that hangs delays no other, and the module is not finalised under it") {
  const Appliance appliance;
  REQUIRE(appliance.token.Order("hang C_WrapKey 600 times 1") == "ok");
  std::atomic<bool> ended = false;
  std::thread hanging([&] {
    CHECK(appliance.Use().has_value());
    ended = true;
  });
  while (appliance.module->session_use().leased == 0) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(50));
  CHECK(appliance.Use().has_value());
  CHECK_FALSE(ended);
  // Lost meanwhile: it waits for the call before it closes the module.
  const std::uint64_t finalised = appliance.token.Counters()["C_Finalize"].calls;
  REQUIRE(appliance.token.Order("drop-sessions") == "ok");
  CHECK(appliance.Use().error().code == ErrorCode::kTokenUnavailable);
  CHECK(appliance.token.Counters()["C_Finalize"].calls == finalised);
  REQUIRE(appliance.token.Order("clear") == "ok");
  hanging.join();
  CHECK(appliance.ComesBack());
  CHECK(appliance.token.Counters()["C_Finalize"].calls == finalised + 1);
  CHECK(appliance.FinalizedUnderCalls() == 0);
}

TEST_CASE("a child that is forked and runs another program leaves the token to its parent") {
  const Appliance appliance;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    ::_exit(1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(appliance.Use().has_value());
  CHECK(appliance.module->health().recoveries == 0);
}

TEST_CASE("under 8 threads and one accident after another no verb gives a wrong answer") {
  const Appliance appliance;
  const auto expected = appliance.module->ComputeMac(1, AsBytes("m")).value();
  std::atomic<bool> stop = false;
  std::atomic<int> right = 0;
  std::atomic<int> wrong = 0;
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int n = 0; n < 8; ++n) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto mac = appliance.module->ComputeMac(1, AsBytes("m"));
        if (mac.has_error()) {
          ++(mac.error().code == ErrorCode::kTokenUnavailable ? refused : wrong);
        } else {
          ++(mac.value() == expected ? right : wrong);
        }
      }
    });
  }
  for (const char* accident :
       {"drop-sessions", "logout", "forget", "away 1", "fail * CKR_DEVICE_ERROR times 20",
        "fail * CKR_DEVICE_REMOVED times 20", "drop-sessions"}) {
    CAPTURE(accident);
    // Between C_Finalize and C_Initialize it can have no accident.
    const auto end = steady_clock::now() + seconds(10);
    while (appliance.token.Order(accident) != "ok") REQUIRE(steady_clock::now() < end);
    CHECK(appliance.ComesBack());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(right > 100);
  MESSAGE(right.load() << " right, " << refused.load() << " refused as unavailable");
  CHECK(appliance.FinalizedUnderCalls() == 0);
}

}  // namespace
}  // namespace skms::test
