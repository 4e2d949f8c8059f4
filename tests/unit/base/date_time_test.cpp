#include "base/date_time.h"

#include <doctest/doctest.h>

namespace skms {
namespace {

TEST_CASE("a date-time is read to the millisecond, with any offset") {
  CHECK(ParseDateTime("1970-01-01T00:00:00Z") == 0);
  CHECK(ParseDateTime("1970-01-01T00:00:01.5Z") == 1500);
  CHECK(ParseDateTime("2026-11-24T12:00:00.123+01:00") == ParseDateTime("2026-11-24T11:00:00.123Z"));
  CHECK(ParseDateTime("2026-11-24T10:30:00-00:30") == ParseDateTime("2026-11-24T11:00:00Z"));
}

TEST_CASE("what is no date-time is refused") {
  for (const char* text : {"", "now", "2026-11-24", "2026-11-24T11:00:00", "2026-13-24T11:00:00Z",
                           "2026-02-30T11:00:00Z", "2026-11-24T25:00:00Z", "2026-11-24T11:00:00.Z",
                           "2026-11-24T11:00:00Zjunk", "2026-11-24T11:00:00+1:00", "+026-11-24T11:00:00Z"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseDateTime(text).has_value());
  }
}

}  // namespace
}  // namespace skms
