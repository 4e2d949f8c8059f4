// Many threads in the module while rules and accidents come and go: every call gets one of the answers that
// the orders allow, none is lost, and the module is whole afterwards.
#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

constexpr int kThreads = 8;

/// Works until `stop`, in sessions of its own, opening another when one is lost; counts answers that nobody
/// ordered.
struct Worker {
  const FaultedToken& token;
  const std::set<CK_RV>& allowed;
  std::atomic<bool>& stop;
  std::atomic<int>& unexpected;
  std::atomic<std::uint64_t>& randoms;
  CK_SLOT_ID slot;

  void operator()() const {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    while (!stop.load()) {
      if (session == CK_INVALID_HANDLE && !Renew(session, key)) continue;
      randoms.fetch_add(1);
      const CK_RV drawn = Judged(token.Random(session));
      const CK_RV made = Judged(token.Sign(session, key));
      if (drawn == CKR_OK && made == CKR_OK) continue;
      token->C_CloseSession(session);
      session = CK_INVALID_HANDLE;
    }
  }

  bool Renew(CK_SESSION_HANDLE& session, CK_OBJECT_HANDLE& key) const {
    // The slot is asked for once and shared: a token that is away has none to show.
    if (Judged(token->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session)) !=
        CKR_OK) {
      session = CK_INVALID_HANDLE;
      return false;
    }
    const CK_RV login = token.Login(session);
    if (login != CKR_USER_ALREADY_LOGGED_IN) Judged(login);
    key = MakeKey(session);
    return true;
  }

  CK_OBJECT_HANDLE MakeKey(CK_SESSION_HANDLE session) const {
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE attributes[] = {
        {CKA_SIGN, &yes, sizeof yes}, {CKA_PRIVATE, &no, sizeof no}, {CKA_VALUE_LEN, &bytes, sizeof bytes}};
    CK_MECHANISM generate{CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    Judged(token->C_GenerateKey(session, &generate, attributes, 3, &key));
    return key;
  }

  CK_RV Judged(CK_RV rv) const {
    if (rv != CKR_OK && allowed.count(rv) == 0) {
      unexpected.fetch_add(1);
      MESSAGE("unexpected 0x" << std::hex << rv);
    }
    return rv;
  }
};

void WorkWhile(const FaultedToken& token, const std::set<CK_RV>& allowed,
               const std::vector<std::string>& orders) {
  std::atomic<bool> stop{false};
  std::atomic<int> unexpected{0};
  std::atomic<std::uint64_t> randoms{0};
  const auto before = token.Counters()["C_GenerateRandom"].calls;
  const CK_SLOT_ID slot = token.Slot();
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back(Worker{token, allowed, stop, unexpected, randoms, slot});
  for (int round = 0; round < 10; ++round) {
    for (const std::string& order : orders) {
      CAPTURE(order);
      const std::string answer = token.Order(order);
      // Between two logins nobody may be logged in.
      if (order != "logout") CHECK(answer == "ok");
      // Let some calls see the order.
      const auto seen = randoms.load();
      for (int i = 0; i < 100 && randoms.load() < seen + kThreads; ++i) std::this_thread::yield();
    }
  }
  CHECK(token.Order("clear") == "ok");
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(unexpected.load() == 0);
  CHECK(randoms.load() > 0);
  CHECK(token.Counters()["C_GenerateRandom"].calls == before + randoms.load());
  // Whole, afterwards.
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CHECK(token.Open(session) == CKR_OK);
  CHECK(token.Random(session) == CKR_OK);
}

TEST_CASE("eight threads get what rules say while rules change") {
  const FaultedToken token;
  WorkWhile(token, {CKR_DEVICE_ERROR, CKR_HOST_MEMORY, CKR_MECHANISM_INVALID},
            {"fail C_GenerateRandom CKR_DEVICE_ERROR times 5",
             "fail C_SignInit CKR_HOST_MEMORY after 3 times 2", "delay C_Sign 1 times 4",
             "hide CKM_SHA256_HMAC", "counters", "rules", "hang C_GenerateRandom 60 times 3", "clear"});
  CHECK(token.Counters()["most-inside:"].calls >= 2);
}

TEST_CASE("eight threads lose their sessions again and again, never under a call") {
  const FaultedToken token;
  WorkWhile(token,
            {CKR_SESSION_HANDLE_INVALID, CKR_OPERATION_NOT_INITIALIZED, CKR_KEY_HANDLE_INVALID,
             CKR_OBJECT_HANDLE_INVALID, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_COUNT,
             CKR_USER_NOT_LOGGED_IN},
            {"drop-sessions", "away 60", "clear", "slots 4", "logout", "away 0", "clear"});
}

}  // namespace
}  // namespace skms::test
