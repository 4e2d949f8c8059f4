#include "api/http/late_answers.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "base/outside_call.h"

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

/// A promise that is kept once, whoever comes first.
struct Event {
  void Happen() {
    if (!happened.exchange(true)) promise.set_value();
  }
  void Wait() { promise.get_future().wait(); }
  std::atomic<bool> happened = false;
  std::promise<void> promise;
};

TEST_CASE("a request whose thread is inside the module for too long is run again, and answered by that") {
  LateAnswers late(seconds(600), milliseconds(1));
  Event answered;
  std::thread::id ran_in;
  const void* kept_out_of = nullptr;
  LateAnswers::Pending pending(
      late, [] { std::terminate(); },
      [&]() -> LateAnswers::Run {
        return [&]() -> LateAnswers::Answer {
          ran_in = std::this_thread::get_id();
          kept_out_of = PlaceToAvoid();
          return [&] { answered.Happen(); };
        };
      });
  {
    const OutsideCall inside(&late);
    answered.Wait();
  }
  CHECK_FALSE(pending.Begin());
  CHECK(ran_in != std::this_thread::get_id());
  CHECK(kept_out_of == &late);
  CHECK(PlaceToAvoid() == nullptr);
}

TEST_CASE("one that is late for another reason is not run again") {
  LateAnswers late(milliseconds(200), milliseconds(1));
  Event answered;
  std::atomic<bool> again = false;
  const LateAnswers::Pending pending(
      late, [&] { answered.Happen(); },
      [&]() -> LateAnswers::Run {
        again = true;
        return {};
      });
  answered.Wait();  // never inside a call
  CHECK_FALSE(again);
}

TEST_CASE("one that must not run twice, or whose second run does not help either, gets 503 in its time") {
  for (const bool helps : {false, true}) {
    LateAnswers late(milliseconds(400), milliseconds(1));
    Event answered;
    std::atomic<int> runs = 0;
    const OutsideCall inside(&late);
    const LateAnswers::Pending pending(
        late, [&] { answered.Happen(); },
        [&]() -> LateAnswers::Run {
          if (!helps) return {};
          return [&]() -> LateAnswers::Answer {
            ++runs;
            return {};
          };
        });
    answered.Wait();
    CHECK(runs == (helps ? 1 : 0));
  }
}

TEST_CASE("a second run that comes too late writes nothing, and the end waits for it") {
  Event begun;
  std::promise<void> go_on;
  std::atomic<bool> wrote = false;
  auto late = std::make_unique<LateAnswers>(seconds(600), milliseconds(1));
  {
    LateAnswers::Pending pending(
        *late, [] { std::terminate(); },
        [&]() -> LateAnswers::Run {
          return [&]() -> LateAnswers::Answer {
            begun.Happen();
            go_on.get_future().wait();
            return [&] { wrote = true; };
          };
        });
    {
      const OutsideCall inside(&late);
      begun.Wait();
    }
    CHECK(pending.Begin());  // it came back
  }
  auto ended = std::async(std::launch::async, [&] { late.reset(); });
  CHECK(ended.wait_for(milliseconds(20)) == std::future_status::timeout);
  go_on.set_value();
  ended.wait();
  CHECK_FALSE(wrote);
}

TEST_CASE("no more requests are run again at once than may hang as well") {
  LateAnswers late(seconds(600), milliseconds(1));
  std::promise<void> go_on;
  const std::shared_future<void> end = go_on.get_future().share();
  std::atomic<std::size_t> runs = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < LateAnswers::kMostRuns + 4; ++i) {
    threads.emplace_back([&] {
      LateAnswers::Pending pending(
          late, [] { std::terminate(); },
          [&]() -> LateAnswers::Run {
            return [&, end]() -> LateAnswers::Answer {
              ++runs;
              end.wait();
              return {};
            };
          });
      const OutsideCall inside(&late);
      end.wait();
    });
  }
  while (runs < LateAnswers::kMostRuns) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(30));  // some more looks
  CHECK(runs == LateAnswers::kMostRuns);
  go_on.set_value();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace skms::http
