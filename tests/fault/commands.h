// Commands: the words by which a test or an operator orders faults, one command a line.
//
// Thread-safe, as what it commands is.
#pragma once

#include <string>

#include "tests/fault/accidents.h"
#include "tests/fault/counters.h"
#include "tests/fault/gate.h"
#include "tests/fault/rules.h"

namespace skms::fault {

struct Commanded {
  Rules& rules;
  Gate& gate;
  Accidents& accidents;
  const Counters& counters;
};

/// Does what one line says. The answer is zero or more lines, then "ok" or "error <what to do>", each with a
/// line feed. A blank line and one that begins with # are "ok".
std::string RunCommand(const Commanded& commanded, const std::string& line);

/// Runs a file of commands. Stops at the first error and clears what came before it; returns "line N: <what
/// to do>", or nothing when all went well.
std::string RunScript(const Commanded& commanded, const std::string& path);

}  // namespace skms::fault
