// One option as people read it, taken from what Boost.Program_options knows of it.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <string>
#include <vector>

namespace skms::manual {

struct OptionParts {
  std::string long_name;    ///< without dashes
  std::string short_name;   ///< "h", or ""
  std::string value;        ///< "FILE", "a|b", "" for an option without a value
  std::string standard;     ///< its default, or ""
  std::string description;  ///< one sentence, without a full stop
  bool optional_value = false;
  bool required = false;
  bool repeated = false;  ///< may be given more than once

  bool takes_file() const { return value == "FILE"; }
  /// What the value is one of; empty where it is free.
  std::vector<std::string> Choices() const;
};

std::vector<OptionParts> PartsOf(const boost::program_options::options_description& options);

/// "a|b" taken apart; empty without "|".
std::vector<std::string> SplitChoices(const std::string& value);

}  // namespace skms::manual
