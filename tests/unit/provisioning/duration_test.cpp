#include "provisioning/duration.h"

#include <doctest/doctest.h>

#include <boost/program_options/errors.hpp>

namespace skms::provisioning {

TEST_CASE("Times are read as people write them, and shown so") {
  CHECK(ParseDuration("x", "90d") == std::int64_t{90} * 86400);
  CHECK(ParseDuration("x", "12h") == std::int64_t{12} * 3600);
  CHECK(ParseDuration("x", "30m") == 1800);
  CHECK(ParseDuration("x", "45s") == 45);
  CHECK(ParseDuration("x", "45") == 45);
  CHECK(ParseDuration("x", "0") == 0);
  CHECK(FormatDuration(std::int64_t{90} * 86400) == "90d");
  CHECK(FormatDuration(std::int64_t{36} * 3600) == "36h");
  CHECK(FormatDuration(61) == "61s");
  CHECK(FormatDuration(0) == "-");
}

TEST_CASE("What is no time or number is refused with the option's name") {
  for (const char* wrong :
       {"", "d", "-1d", "1.5h", "1w", "90 d", "9223372036854775807d", "99999999999999999999"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH_AS(ParseDuration("overlap", wrong), "--overlap is a time like 90d, 12h, 30m or 45s",
                         boost::program_options::error);
  }
  for (const char* wrong : {"", "-1", "1d", "1e3"}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(ParseCount("max-records", wrong), boost::program_options::error);
  }
  CHECK(ParseCount("max-records", "1000000") == 1000000);
}

}  // namespace skms::provisioning
