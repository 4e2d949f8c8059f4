#include "base/manual/option_parts.h"

#include <boost/any.hpp>
#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <typeinfo>

namespace skms::manual {
namespace {

namespace po = boost::program_options;

/// Boost writes "FILE (=default)", and "[=ID(=implied)]" where the value may be left away and implies
/// something.
void SetValue(std::string name, OptionParts& parts) {
  if (name.rfind("[=", 0) == 0) name = name.substr(2, name.find_first_of("(]", 2) - 2);
  const std::size_t standard = name.find(" (=");
  if (standard != std::string::npos) {
    parts.standard = name.substr(standard + 3, name.size() - standard - 4);
    name.resize(standard);
  }
  parts.value = name;
}

bool MayBeRepeated(const po::value_semantic& semantic) {
  const auto* typed = dynamic_cast<const po::typed_value_base*>(&semantic);
  return typed != nullptr && typed->value_type() == typeid(std::vector<std::string>);
}

}  // namespace

std::vector<std::string> SplitChoices(const std::string& value) {
  std::vector<std::string> choices;
  if (value.find('|') == std::string::npos) return choices;
  std::size_t begin = 0;
  for (std::size_t end = value.find('|'); end != std::string::npos; end = value.find('|', begin)) {
    choices.push_back(value.substr(begin, end - begin));
    begin = end + 1;
  }
  choices.push_back(value.substr(begin));
  return choices;
}

std::vector<std::string> OptionParts::Choices() const { return SplitChoices(value); }

std::vector<OptionParts> PartsOf(const po::options_description& options) {
  std::vector<OptionParts> all;
  all.reserve(options.options().size());
  for (const auto& option : options.options()) {
    OptionParts parts;
    parts.long_name = option->long_name();
    parts.short_name = option->canonical_display_name(po::command_line_style::allow_dash_for_short);
    parts.short_name =
        parts.short_name.size() == 2 && parts.short_name[0] == '-' ? parts.short_name.substr(1) : "";
    parts.description = option->description();
    const po::value_semantic& semantic = *option->semantic();
    if (semantic.max_tokens() > 0) SetValue(semantic.name(), parts);
    parts.optional_value = semantic.max_tokens() > 0 && semantic.min_tokens() == 0;
    parts.required = semantic.is_required();
    parts.repeated = MayBeRepeated(semantic);
    all.push_back(std::move(parts));
  }
  return all;
}

}  // namespace skms::manual
