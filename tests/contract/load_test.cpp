// Many threads on few sessions: all are served, the pool's bound holds, and nothing is left behind.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "hsm/capability_probe.h"
#include "hsm/token.h"
#include "tests/contract/contract_token.h"
#include "tests/contract/recipient.h"

namespace skms::hsm {
namespace {

TEST_CASE("eight threads on two sessions are all served, and the pool never grows") {
  if (test::OpenOrSkip() == nullptr) return;
  TokenOptions options = test::ContractOptions();
  options.max_sessions = 2;
  options.session_wait = std::chrono::minutes(1);
  const auto opened = CryptoModule::Open(options, test::ContractPinSource());
  REQUIRE(opened.has_value());
  CryptoModule& module = *opened.value();
  const test::RsaHolder rsa(*module.capabilities().oaep_hash);
  const Recipient recipient = rsa.recipient();
  const KeySpec spec{KeyKind::kAes, 32};
  std::atomic<int> delivered{0};
  std::atomic<std::size_t> most{0};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        const auto generated = module.GenerateWrapped(spec);
        most = std::max(most.load(), module.session_use().leased);
        if (generated.has_value() && module.RewrapFor(recipient, generated.value().wrapped, spec).has_value())
          ++delivered;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(delivered == 8 * 20);
  CHECK(most <= 2);
  CHECK(module.session_use().leased == 0);
  CHECK(module.session_use().limit == 2);
}

/// Objects of the token and of this process's sessions.
std::size_t ObjectsSeen(Token& token) {
  SessionLease lease = token.Lease().value();
  REQUIRE(lease.p11()->C_FindObjectsInit(lease.handle(), nullptr, 0) == CKR_OK);
  std::vector<CK_OBJECT_HANDLE> handles(4096);
  CK_ULONG count = 0;
  REQUIRE(lease.p11()->C_FindObjects(lease.handle(), handles.data(), handles.size(), &count) == CKR_OK);
  REQUIRE(lease.p11()->C_FindObjectsFinal(lease.handle()) == CKR_OK);
  return count;
}

TEST_CASE("the probe leaves no object behind, on the token or in a session") {
  const auto token = Token::Open(test::ContractOptions(), test::ContractPin());
  REQUIRE(token.has_value());
  const std::size_t before = ObjectsSeen(*token.value());
  REQUIRE(ProbeCapabilities(*token.value()).has_value());
  CHECK(ObjectsSeen(*token.value()) == before);
}

}  // namespace
}  // namespace skms::hsm
