// Result, Error, SecretBytes, ids and time.
#include <doctest/doctest.h>

#include <set>
#include <type_traits>

#include "base/clock.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "base/strong_id.h"

namespace skms {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return InvalidArgument("odd");
  return number / 2;
}

Result<int> Quarter(int number) {
  SKMS_TRY(const int half, Half(number));
  SKMS_TRYV(Half(half));
  return Half(half);
}

TEST_CASE("TRY passes values on and errors through") {
  CHECK(Quarter(8).value() == 2);
  CHECK(Quarter(6).error().detail == "odd");
  CHECK(Quarter(5).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("every error code has a name of its own") {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code)
    names.insert(Name(static_cast<ErrorCode>(code)));
  CHECK(names.size() == static_cast<std::size_t>(ErrorCode::kInternal) + 1);
  CHECK(Error{ErrorCode::kToken, "C_Login: CKR_X"}.Describe() == "token: C_Login: CKR_X");
}

TEST_CASE("a secret moves, never copies by accident, and is wiped where it was taken from") {
  static_assert(!std::is_copy_constructible_v<SecretBytes>);
  static_assert(!std::is_copy_assignable_v<SecretBytes>);
  std::string text = "secret";
  SecretBytes secret = SecretBytes::TakeFrom(text);
  CHECK(text.empty());
  Bytes octets{1, 2, 3};
  CHECK(SecretBytes::TakeFrom(octets).size() == 3);
  CHECK(octets.empty());
  SecretBytes moved = std::move(secret);
  CHECK(secret.empty());  // NOLINT(bugprone-use-after-move): emptiness after a move is promised
  CHECK(AsText(moved.ExposeSecret()) == "secret");
  const SecretBytes clone = moved.Clone();
  moved.Truncate(3);
  CHECK(AsText(moved.ExposeSecret()) == "sec");
  moved.Truncate(100);
  CHECK(moved.size() == 3);
  moved.Clear();
  CHECK(moved.empty());
  CHECK(clone.size() == 6);
}

TEST_CASE("comparison looks at every octet and the length") {
  CHECK(ConstantTimeEqual(AsBytes("abc"), AsBytes("abc")));
  CHECK_FALSE(ConstantTimeEqual(AsBytes("abc"), AsBytes("abd")));
  CHECK_FALSE(ConstantTimeEqual(AsBytes("abc"), AsBytes("ab")));
  CHECK(ConstantTimeEqual({}, {}));
}

TEST_CASE("ids of two kinds are two types") {
  using UserId = StrongId<struct UserTag>;
  using ServiceId = StrongId<struct ServiceTag>;
  static_assert(!std::is_convertible_v<UserId, ServiceId>);
  CHECK(UserId("a") < UserId("b"));
  CHECK(UserId("a") == UserId("a"));
  CHECK(UserId().empty());
}

TEST_CASE("time is shown in UTC") {
  CHECK(FormatUtc(0) == "1970-01-01T00:00:00Z");
  CHECK(FormatUtc(1'800'000'000) == "2027-01-15T08:00:00Z");
  const SystemClock clock;
  CHECK(clock.NowSeconds() > 1'700'000'000);
  const auto before = clock.Monotonic();
  CHECK(before <= clock.Monotonic());
}

}  // namespace
}  // namespace skms
