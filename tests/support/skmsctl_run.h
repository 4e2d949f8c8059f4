// Runs a skmsctl command line in this process and keeps what it wrote.
#pragma once

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "provisioning/command.h"

namespace skms::test {

struct Run {
  int code = -1;
  std::string out;
  std::string err;
};

inline Run Skmsctl(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv;
  argv.reserve(arguments.size());
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream err;
  std::streambuf* const former_out = std::cout.rdbuf(out.rdbuf());
  std::streambuf* const former_err = std::cerr.rdbuf(err.rdbuf());
  Run run;
  run.code = provisioning::RunCommandLine(static_cast<int>(argv.size()), argv.data());
  std::cout.rdbuf(former_out);
  std::cerr.rdbuf(former_err);
  run.out = out.str();
  run.err = err.str();
  return run;
}

inline bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace skms::test
