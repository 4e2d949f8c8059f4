// What doctor makes of the host's facts: those that a test cannot make on the host it runs on.
#include "provisioning/doctor.h"

#include <doctest/doctest.h>
#include <sys/timex.h>

namespace skms::provisioning {
namespace {

constexpr const char* kTitles = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

bool IsDeviceMapper(const std::string& device) { return device.rfind("/dev/dm-", 0) == 0; }

Finding Only(const Findings& found) {
  REQUIRE(found.all().size() == 1);
  return found.all().front();
}

}  // namespace

TEST_CASE("a clock that nobody synchronizes is told, with the command that does") {
  Findings good;
  JudgeClock(TIME_OK, 0, good);
  CHECK(Only(good).verdict == Verdict::kOk);
  for (const auto& [state, status] :
       {std::pair(TIME_ERROR, 0), std::pair(TIME_OK, STA_UNSYNC), std::pair(-1, 0)}) {
    Findings bad;
    JudgeClock(state, status, bad);
    CHECK(Only(bad).verdict == Verdict::kWarn);
    CHECK(Only(bad).cure.find("timedatectl set-ntp true") == 0);
  }
}

TEST_CASE("swap space is fine where there is none, where it is memory, and where it is encrypted") {
  Findings none;
  JudgeSwap(kTitles, &IsDeviceMapper, none);
  CHECK(Only(none).seen == "none");
  Findings three;
  JudgeSwap(std::string(kTitles) +
                "/dev/zram0 partition 1 0 100\n/dev/dm-1 partition 1 0 -2\n/dev/sda2 partition 1 0 -3\n",
            &IsDeviceMapper, three);
  REQUIRE(three.all().size() == 3);
  CHECK(three.all()[0].verdict == Verdict::kOk);
  CHECK(three.all()[1].verdict == Verdict::kOk);
  CHECK(three.all()[2].verdict == Verdict::kWarn);
  CHECK(three.all()[2].cure.find("swapoff /dev/sda2") == 0);
}

TEST_CASE("what ended is a failure, and what ends soon a warning") {
  const auto judged = [](std::int64_t until) {
    Findings found;
    JudgeExpiry("listen.crl", "crl.pem", until, 1000, 100, "fetch it", found);
    return Only(found);
  };
  CHECK(judged(999).verdict == Verdict::kFail);
  CHECK(judged(999).cure == "fetch it");
  CHECK(judged(1099).verdict == Verdict::kWarn);
  CHECK(judged(1100).verdict == Verdict::kOk);
}

TEST_CASE(
    "a unit that failed is told with how to look at it and begin it anew; one that is not installed is "
    "nothing") {
  Findings found;
  JudgeUnit("skmsd.service", true, "LoadState=loaded\nActiveState=failed\nResult=exit-code\n", found);
  JudgeUnit("skms-edge.service", true, "LoadState=not-found\nActiveState=inactive\nResult=success\n", found);
  CHECK(Only(found).verdict == Verdict::kFail);
  CHECK(Only(found).seen == "failed (exit-code)");
  CHECK(Only(found).cure.find("systemctl reset-failed skmsd.service") != std::string::npos);
}

TEST_CASE("a unit that does not run is told where nobody is served without it") {
  for (const auto& [needed, verdict] : {std::pair(true, Verdict::kFail), std::pair(false, Verdict::kOk)}) {
    Findings found;
    JudgeUnit("skms-edge.service", needed, "LoadState=loaded\nActiveState=inactive\nResult=success\n", found);
    CHECK(Only(found).verdict == verdict);
  }
}

}  // namespace skms::provisioning
