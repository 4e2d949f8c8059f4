#include "api/http/late_answers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>

namespace skms::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a handler that comes back in time answers for itself") {
  LateAnswers late(seconds(600));
  std::atomic<int> answered = 0;
  {
    LateAnswers::Pending pending(late, [&] { ++answered; });
    CHECK(pending.Begin());
    CHECK(pending.Begin());  // for each piece of the answer
  }
  CHECK(answered == 0);
}

TEST_CASE("a handler that begins in time may write for as long as it takes") {
  LateAnswers late(milliseconds(50));
  std::atomic<int> answered = 0;
  LateAnswers::Pending pending(late, [&] { ++answered; });
  REQUIRE(pending.Begin());
  std::promise<void> other;
  const LateAnswers::Pending hanging(late, [&] { other.set_value(); });
  other.get_future().wait();  // the time of both is over
  CHECK(pending.Begin());
  CHECK(answered == 0);
}

TEST_CASE("one that does not come back is answered for, once, and writes nothing afterwards") {
  LateAnswers late(milliseconds(1));
  std::promise<void> called;
  std::atomic<int> answered = 0;
  LateAnswers::Pending pending(late, [&] {
    ++answered;
    called.set_value();
  });
  called.get_future().wait();
  CHECK_FALSE(pending.Begin());
  CHECK_FALSE(pending.Begin());
  CHECK(answered == 1);
}

TEST_CASE("a handler that comes back while it is answered for waits for that") {
  LateAnswers late(milliseconds(1));
  std::promise<void> begun;
  std::promise<void> go_on;
  std::atomic<bool> done = false;
  auto pending = std::make_unique<LateAnswers::Pending>(late, [&] {
    begun.set_value();
    go_on.get_future().wait();
    done = true;
  });
  begun.get_future().wait();
  auto ended = std::async(std::launch::async, [&] {
    pending.reset();
    return done.load();
  });
  go_on.set_value();
  CHECK(ended.get());
}

TEST_CASE("without a limit nothing is late") {
  LateAnswers late(milliseconds(0));
  LateAnswers::Pending pending(late, [] { FAIL("answered for"); });
  CHECK(pending.Begin());
}

}  // namespace
}  // namespace skms::http
