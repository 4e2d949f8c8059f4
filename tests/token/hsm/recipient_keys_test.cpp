// Recipients' public keys that stay in the token: each handle names the key it was asked for.
#include "hsm/recipient_keys.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "hsm/key_operations.h"
#include "hsm/openssl_keys.h"
#include "tests/token/soft_token.h"

namespace skms::hsm {
namespace {

using test::SoftToken;

/// Nobody has its private half, which nothing here needs.
Bytes ModulusOf(std::size_t number) {
  Bytes modulus(256, 0xA5);
  modulus[1] = static_cast<std::uint8_t>(number);
  modulus[2] = static_cast<std::uint8_t>(number >> 8U);
  return modulus;
}

Bytes SpkiOf(std::size_t number) { return RsaSpkiFromNumbers(ModulusOf(number), Bytes{1, 0, 1}).value(); }

struct Fixture {
  SoftToken soft;
  std::unique_ptr<Token> token = Token::Open(soft.options(), soft.pin()).value();
  RecipientKeys keys{*token};

  /// Its handle, after a look at what it names.
  CK_OBJECT_HANDLE Checked(std::size_t number) {
    SessionLease lease = std::move(token->Lease()).value();
    const auto key = keys.Use(SpkiOf(number));
    REQUIRE(key.has_value());
    CHECK(ReadOctets(lease, key.value().handle(), CKA_MODULUS).value() == ModulusOf(number));
    return key.value().handle();
  }
};

TEST_CASE("a recipient's key is made once, and others never stand for it") {
  Fixture f;
  const CK_OBJECT_HANDLE first = f.Checked(1);
  const CK_OBJECT_HANDLE second = f.Checked(2);
  CHECK(first != second);
  CHECK(f.Checked(1) == first);
  CHECK(f.Checked(2) == second);
}

TEST_CASE("more recipients than are kept are served all the same, and the kept ones stay") {
  Fixture f;
  std::vector<CK_OBJECT_HANDLE> kept;
  for (std::size_t i = 0; i < RecipientKeys::kMost; ++i) kept.push_back(f.Checked(i));
  for (std::size_t i = 0; i < 5; ++i) f.Checked(1000 + i);
  for (std::size_t i = 0; i < RecipientKeys::kMost; ++i) CHECK(f.Checked(i) == kept[i]);
}

TEST_CASE("none is made but on the anchor: where that is gone, a stale handle finds no other key") {
  Fixture f;
  std::vector<CK_OBJECT_HANDLE> kept;
  for (std::size_t i = 0; i < RecipientKeys::kMost; ++i) kept.push_back(f.Checked(i));
  REQUIRE(f.token->Call()->C_CloseSession(f.token->anchor()) == CKR_OK);
  CHECK(f.keys.Use(SpkiOf(1000)).error().code == ErrorCode::kTokenUnavailable);
  SessionLease lease = std::move(f.token->Lease()).value();
  for (std::size_t i = 0; i < RecipientKeys::kMost; ++i)
    CHECK(ReadOctets(lease, kept[i], CKA_MODULUS).has_error());
}

TEST_CASE("what is no usable RSA key is refused, each time") {
  Fixture f;
  for (int time = 0; time < 2; ++time) {
    CHECK(f.keys.Use(Bytes(40, 0x30)).error().code == ErrorCode::kInvalidArgument);
    CHECK(f.keys.Use(RsaSpkiFromNumbers(Bytes(128, 0xA5), Bytes{1, 0, 1}).value()).error().code ==
          ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("eight threads that ask for twelve recipients get the right ones") {
  Fixture f;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t turn = 0; turn < 200; ++turn) {
        const std::size_t number = (thread + turn) % 12;
        auto lease = f.token->Lease();
        if (lease.has_error()) continue;
        SessionLease session = std::move(lease).value();
        const auto key = f.keys.Use(SpkiOf(number));
        const bool right =
            key.has_value() &&
            ReadOctets(session, key.value().handle(), CKA_MODULUS).value() == ModulusOf(number);
        if (!right) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace skms::hsm
