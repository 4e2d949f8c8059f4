#include "base/log.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace skms {

TEST_CASE("nothing that was sent can begin a line of the log of its own") {
  CHECK(OnOneLine("refused\n2026-11-26T00:00:00.000Z info granted") ==
        "refused\\x0a2026-11-26T00:00:00.000Z info granted");
  CHECK(OnOneLine(std::string("\r\0\x1b[2J\x7f", 7)) == "\\x0d\\x00\\x1b[2J\\x7f");
}

TEST_CASE("what a terminal or a journal takes for a line's end or for no text is escaped too") {
  CHECK(OnOneLine("a\u0085b\u009b2Jc") == "a\\xc2\\x85b\\xc2\\x9b2Jc");
  CHECK(OnOneLine("a\u2028b\u2029c") == "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9c");
  CHECK(OnOneLine("a\xff"
                  "b\xc3") ==
        "a\\xff"
        "b\\xc3");
  CHECK(OnOneLine("\xed\xa0\x80") == "\\xed\\xa0\\x80");
}

TEST_CASE("every line that is logged is one line on standard error") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.File("log");
  const int kept = ::dup(STDERR_FILENO);
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(::dup2(file, STDERR_FILENO) >= 0);
  OpenLog("log_test", LogLevel::kInfo);
  LogInfo("one\nwith a break");
  LogError("two");
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  ::close(file);
  std::ifstream in(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find(" info one\\x0awith a break") != std::string::npos);
  CHECK(lines[1].find(" error two") != std::string::npos);
}

TEST_CASE("a line that is written within a request bears its id, once") {
  CHECK(FormatLogLine("the token is slow", "00f1", LogFormat::kText) == "the token is slow [request 00f1]");
  CHECK(FormatLogLine("request 00f1: failed", "00f1", LogFormat::kText) == "request 00f1: failed");
  CHECK(FormatLogLine("started", "", LogFormat::kText) == "started");
}

TEST_CASE("as JSON a line is one object's members, whatever was sent") {
  CHECK(FormatLogLine("say \"a\"\nb", "00f1", LogFormat::kJson) ==
        R"("message":"say \"a\"\\x0ab","requestId":"00f1")");
  CHECK(FormatLogLine("started", "", LogFormat::kJson) == R"("message":"started")");
}

TEST_CASE("a written escape is told from one that was made") { CHECK(OnOneLine("\\x0a") == "\\\\x0a"); }

TEST_CASE("other text, UTF-8 with it, stays as it is") {
  CHECK(OnOneLine("Zürich 'gruppe' 1 ms") == "Zürich 'gruppe' 1 ms");
}

}  // namespace skms
