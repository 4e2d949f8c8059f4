// Every file of every corpus, once: what was found before stays mended, in each build.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

namespace fs = std::filesystem;

std::string Contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_CASE("every fuzz target has a corpus, and every corpus a target") {
  std::set<std::string> targets;
  for (const Target& target : Targets()) targets.insert(target.name);
  std::set<std::string> corpora;
  for (const auto& entry : fs::directory_iterator(SKMS_CORPORA))
    corpora.insert(entry.path().filename().string());
  CHECK(targets == corpora);
}

TEST_CASE("no file of a corpus breaks a property of its target") {
  BeSilent();
  for (const Target& target : Targets()) {
    int files = 0;
    for (const auto& entry : fs::directory_iterator(fs::path(SKMS_CORPORA) / target.name)) {
      // Said before, for a property that does not hold ends the program.
      std::fprintf(stderr, "%s\n", entry.path().c_str());
      target.check(Contents(entry.path()));
      ++files;
    }
    CHECK_MESSAGE(files >= 4, target.name);
  }
}

}  // namespace
}  // namespace skms::fuzz
