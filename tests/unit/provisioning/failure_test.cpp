#include "provisioning/failure.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace skms::provisioning {

TEST_CASE("Each kind of error has the exit code that docs/cli.md promises") {
  CHECK(ExitCodeFor(ErrorCode::kInvalidArgument) == 1);
  CHECK(ExitCodeFor(ErrorCode::kPermissionDenied) == 1);
  CHECK(ExitCodeFor(ErrorCode::kUnauthenticated) == 1);
  CHECK(ExitCodeFor(ErrorCode::kInternal) == 1);
  CHECK(ExitCodeFor(ErrorCode::kConfiguration) == 3);
  CHECK(ExitCodeFor(ErrorCode::kIo) == 3);
  CHECK(ExitCodeFor(ErrorCode::kStorage) == 3);
  CHECK(ExitCodeFor(ErrorCode::kNewerSchema) == 3);
  CHECK(ExitCodeFor(ErrorCode::kIntegrity) == 3);
  CHECK(ExitCodeFor(ErrorCode::kResourceExhausted) == 4);
  CHECK(ExitCodeFor(ErrorCode::kPinIncorrect) == 5);
  CHECK(ExitCodeFor(ErrorCode::kTokenBlank) == 5);
  CHECK(ExitCodeFor(ErrorCode::kTokenNotFound) == 5);
  CHECK(ExitCodeFor(ErrorCode::kUnsupported) == 5);
  CHECK(ExitCodeFor(ErrorCode::kNotFound) == 6);
  CHECK(ExitCodeFor(ErrorCode::kAlreadyExists) == 7);
  CHECK(ExitCodeFor(ErrorCode::kConflict) == 7);
}

TEST_CASE("Every kind of error is told in two lines, the second saying what to do") {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const std::string text = DescribeFailure(Error{static_cast<ErrorCode>(i), "what happened"}, "service");
    CAPTURE(text);
    CHECK(text.rfind("skmsctl: what happened\n  what to do: ", 0) == 0);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    CHECK(text.find('%') == std::string::npos);
    CHECK(ExitCodeFor(static_cast<ErrorCode>(i)) != kExitOk);
  }
}

TEST_CASE("The advice names the list of what is missing, not of what was asked for") {
  CHECK(DescribeFailure(NotFound("there is no service 'x'"), "key").find("skmsctl service list") !=
        std::string::npos);
  CHECK(DescribeFailure(NotFound("there is no key 'x'"), "key").find("skmsctl key list") !=
        std::string::npos);
}

TEST_CASE("A group without a list is not told to list") {
  CHECK(DescribeFailure(NotFound("gone"), "token").find("token list") == std::string::npos);
}

TEST_CASE("An error's text cannot drive the terminal or add a line") {
  const std::string text = DescribeFailure(NotFound("evil\x1b[2J\nskmsctl: all is well"), "key");
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}

}  // namespace skms::provisioning
