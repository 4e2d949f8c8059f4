#include "tests/fault/commands.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <utility>
#include <vector>

#include "tests/fault/cryptoki_names.h"

namespace skms::fault {
namespace {

using Words = std::vector<std::string>;

/// Of a command that went wrong: what to do about it.
struct CommandError {
  std::string advice;
};

struct CommandRow {
  std::string_view name;
  std::string_view syntax;
  std::string_view meaning;
  /// Takes the words after the name, and the line; returns lines for the answer.
  std::string (*run)(const Commanded&, const Words&, const std::string&);
};

std::uint64_t Number(const std::string& text, std::uint64_t most) {
  const bool digits =
      !text.empty() && text.size() <= 10 && text.find_first_not_of("0123456789") == std::string::npos;
  const std::uint64_t number = digits ? std::stoull(text) : 0;
  if (!digits || number > most)
    throw CommandError{"write a whole number up to " + std::to_string(most) + " instead of '" + text + "'"};
  return number;
}

constexpr std::uint64_t kMostMilliseconds = 3'600'000;
constexpr std::uint64_t kMostCount = 1'000'000'000;

std::optional<Function> FunctionOf(const std::string& name) {
  if (name == "*") return std::nullopt;
  if (const auto function = FunctionNamed(name)) return function;
  throw CommandError{
      "write a function of PKCS#11 v2.40, as C_Sign, or * for all that take a session, instead of '" + name +
      "'"};
}

void NeedWords(const Words& words, std::size_t least, std::size_t most) {
  if (words.size() < least || words.size() > most) throw CommandError{"see help for how it is written"};
}

/// "after N" and "times M", in any order, from words[first] on.
void ReadLimits(const Words& words, std::size_t first, Rule& rule) {
  for (std::size_t i = first; i < words.size(); i += 2) {
    if (i + 1 == words.size()) throw CommandError{"write a number after '" + words[i] + "'"};
    const std::uint64_t number = Number(words[i + 1], kMostCount);
    if (words[i] == "after" && rule.kind == Rule::Kind::kFail) {
      rule.after = number;
    } else if (words[i] == "times" && number > 0) {
      rule.times = number;
    } else {
      throw CommandError{"see help for what may follow; not '" + words[i] + " " + words[i + 1] + "'"};
    }
  }
}

std::string Fail(const Commanded& commanded, const Words& words, const std::string& line) {
  NeedWords(words, 2, 6);
  Rule rule{.text = line, .kind = Rule::Kind::kFail, .function = FunctionOf(words[0])};
  const auto rv = ReturnValueNamed(words[1]);
  if (!rv) {
    throw CommandError{"write a CKR_ name of PKCS#11 v2.40 or a number as 0x30 instead of '" + words[1] +
                       "'"};
  }
  rule.rv = *rv;
  ReadLimits(words, 2, rule);
  commanded.rules.Add(std::move(rule));
  return "";
}

std::string Wait(const Commanded& commanded, const Words& words, const std::string& line, Rule::Kind kind,
                 std::uint64_t unit) {
  NeedWords(words, 2, 4);
  Rule rule{.text = line, .kind = kind, .function = FunctionOf(words[0])};
  rule.wait = std::chrono::milliseconds(Number(words[1], kMostMilliseconds / unit) * unit);
  ReadLimits(words, 2, rule);
  commanded.rules.Add(std::move(rule));
  return "";
}

std::string Delay(const Commanded& commanded, const Words& words, const std::string& line) {
  return Wait(commanded, words, line, Rule::Kind::kDelay, 1);
}

std::string Pace(const Commanded& commanded, const Words& words, const std::string& line) {
  return Wait(commanded, words, line, Rule::Kind::kPace, 1);
}

std::string Hang(const Commanded& commanded, const Words& words, const std::string& line) {
  return Wait(commanded, words, line, Rule::Kind::kHang, 1000);
}

std::string Hide(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 1, 1);
  const auto mechanism = MechanismNamed(words[0]);
  if (!mechanism) {
    throw CommandError{"write a CKM_ name of PKCS#11 v2.40 or a number as 0x1087 instead of '" + words[0] +
                       "'"};
  }
  commanded.rules.Hide(*mechanism);
  return "";
}

std::string Careless(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 1, 1);
  if (words[0] != "unwrap" && words[0] != "always") throw CommandError{"write: careless unwrap|always"};
  commanded.rules.SetCare(words[0] == "always" ? Care::kNever : Care::kNotAtUnwrap);
  return "";
}

std::string Accident(const Complaint& complaint) {
  if (complaint) throw CommandError{*complaint};
  return "";
}

std::string DropSessions(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  return Accident(commanded.accidents.DropSessions());
}

std::string Logout(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  return Accident(commanded.accidents.Logout());
}

std::string Away(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 1, 3);
  const std::chrono::milliseconds time(Number(words[0], kMostMilliseconds / 1000) * 1000);
  std::optional<CK_ULONG> shift;
  if (words.size() > 1) {
    const bool written = words.size() == 3 && words[1] == "slot" && words[2].size() > 1 && words[2][0] == '+';
    if (!written) throw CommandError{"write slot +N, as: away 5 slot +1"};
    shift = Number(words[2].substr(1), kMostCount);
  }
  return Accident(commanded.accidents.SendAway(time, shift));
}

std::string Slots(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 1, 1);
  commanded.gate.LimitSessions(Number(words[0], kMostCount));
  return "";
}

std::string Forget(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  return Accident(commanded.accidents.Forget());
}

std::string ShowCounters(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  return commanded.counters.Describe();
}

std::string ShowRules(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  return commanded.rules.Describe();
}

std::string Clear(const Commanded& commanded, const Words& words, const std::string& /*line*/) {
  NeedWords(words, 0, 0);
  commanded.gate.Clear();
  commanded.rules.Clear();
  return "";
}

std::string Help(const Commanded& commanded, const Words& words, const std::string& line);

constexpr CommandRow kCommands[] = {
    {"fail", "FUNCTION CKR_NAME|0xHEX [after N] [times M]", "answers with this CK_RV instead of calling",
     Fail},
    {"delay", "FUNCTION MILLISECONDS [times M]", "waits before calling", Delay},
    {"pace", "FUNCTION MILLISECONDS [times M]", "a call takes this long in all, or longer", Pace},
    {"hang", "FUNCTION SECONDS [times M]", "waits before calling, or until clear", Hang},
    {"hide", "CKM_NAME|0xHEX", "the token has no such mechanism", Hide},
    {"careless", "unwrap|always", "ignores SENSITIVE at C_UnwrapKey; always: C_SetAttributeValue, too",
     Careless},
    {"drop-sessions", "", "closes every session behind the application's back", DropSessions},
    {"logout", "", "logs out behind the application's back", Logout},
    {"away", "SECONDS [slot +N]", "the token is gone, and comes back without its sessions", Away},
    {"slots", "N", "at most N sessions at once", Slots},
    {"forget", "", "the library has lost its state until C_Initialize", Forget},
    {"counters", "", "FUNCTION CALLS REFUSED NANOSECONDS, one a line", ShowCounters},
    {"rules", "", "the rules that are not used up", ShowRules},
    {"clear", "", "ends all rules, also hide, careless, slots and away; what hangs goes on", Clear},
    {"help", "", "this list; FUNCTION may be * for all that take a session", Help},
};

std::string Help(const Commanded& /*commanded*/, const Words& /*words*/, const std::string& /*line*/) {
  std::string lines;
  for (const CommandRow& row : kCommands) {
    std::string left = std::string(row.name) + (row.syntax.empty() ? "" : " ") + std::string(row.syntax);
    left.resize(std::max<std::size_t>(left.size(), 50), ' ');
    lines += left + "  " + std::string(row.meaning) + '\n';
  }
  return lines;
}

}  // namespace

std::string RunCommand(const Commanded& commanded, const std::string& line) {
  std::istringstream stream(line);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words.empty() || words[0][0] == '#') return "ok\n";
  const std::string name = words[0];
  words.erase(words.begin());
  for (const CommandRow& row : kCommands) {
    if (row.name != name) continue;
    try {
      return row.run(commanded, words, line) + "ok\n";
    } catch (const CommandError& error) {
      return "error " + name + ": " + error.advice + '\n';
    }
  }
  return "error there is no '" + name + "'; see help\n";
}

std::string RunScript(const Commanded& commanded, const std::string& path) {
  std::ifstream script(path);
  if (!script) return "it cannot be read; check the path and who may read it";
  std::size_t number = 0;
  for (std::string line; std::getline(script, line);) {
    ++number;
    const std::string answer = RunCommand(commanded, line);
    if (answer.compare(0, 6, "error ") != 0) continue;
    RunCommand(commanded, "clear");
    return "line " + std::to_string(number) + ": " + answer.substr(6, answer.size() - 7);
  }
  return "";
}

}  // namespace skms::fault
