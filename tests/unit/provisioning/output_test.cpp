#include "provisioning/output.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/skmsctl_run.h"

namespace skms::provisioning {

using nlohmann::json;

TEST_CASE("A table is aligned by characters, not by octets, and has no blanks at the ends of lines") {
  CHECK(RenderTable({"NAME", "STATE"}, {{"a", "x"}, {"Üü", "y"}, {"longer", "z"}}) ==
        "NAME    STATE\n"
        "a       x\n"
        "Üü      y\n"
        "longer  z\n");
}

TEST_CASE("A cell cannot drive the terminal, neither by escape nor by an eight-bit control") {
  CHECK(Printable("a\x1b[31mb\tc\x7f") == "a?[31mb?c?");
  CHECK(Printable("a\xC2\x9B"
                  "31m") == "a?31m");
  CHECK(Printable("Zürich") == "Zürich");
  CHECK(RenderTable({"A"}, {{"x\ny"}}) == "A\nx?y\n");
}

TEST_CASE("Cells show lists, flags, numbers and what is absent in words") {
  const json entry{{"list", {"a", "b"}}, {"none", json::array()}, {"yes", true},    {"no", false},
                   {"number", 7},        {"empty", ""},           {"null", nullptr}};
  CHECK(Cell(entry, "list") == "a,b");
  CHECK(Cell(entry, "none") == "-");
  CHECK(Cell(entry, "yes") == "yes");
  CHECK(Cell(entry, "no") == "no");
  CHECK(Cell(entry, "number") == "7");
  CHECK(Cell(entry, "empty") == "-");
  CHECK(Cell(entry, "null") == "-");
  CHECK(Cell(entry, "absent") == "-");
  CHECK(Cell(json(5), "member") == "-");
}

TEST_CASE("Pairs are aligned at the longest name") {
  CHECK(RenderPairs({{"a", "1"}, {"long name", "2"}}) == "a          1\nlong name  2\n");
}

TEST_CASE("A word to be copied into a shell is quoted where it must be") {
  CHECK(ShellWord("uav.c2") == "uav.c2");
  CHECK(ShellWord("a b") == "'a b'");
  CHECK(ShellWord("") == "''");
  CHECK(ShellWord("x'; rm -rf /; '") == "'x'\\''; rm -rf /; '\\'''");
  CHECK(ShellWord("$(reboot)") == "'$(reboot)'");
}

}  // namespace skms::provisioning
