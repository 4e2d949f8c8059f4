#include "base/log.h"

#include <doctest/doctest.h>

#include <string>

namespace skms {

TEST_CASE("nothing that was sent can begin a line of the log of its own") {
  CHECK(OnOneLine("refused\n2026-11-26T00:00:00.000Z info granted") ==
        "refused\\x0a2026-11-26T00:00:00.000Z info granted");
  CHECK(OnOneLine(std::string("\r\0\x1b[2J\x7f", 7)) == "\\x0d\\x00\\x1b[2J\\x7f");
}

TEST_CASE("a written escape is told from one that was made") { CHECK(OnOneLine("\\x0a") == "\\\\x0a"); }

TEST_CASE("other text, UTF-8 with it, stays as it is") {
  CHECK(OnOneLine("Zürich 'gruppe' 1 ms") == "Zürich 'gruppe' 1 ms");
}

}  // namespace skms
