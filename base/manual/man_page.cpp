#include <algorithm>
#include <cctype>

#include "base/manual/option_parts.h"
#include "base/manual/program.h"

namespace skms::manual {
namespace {

/// Text in which every character stands for itself: options, file names, command lines.
std::string Literal(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      case '`':
        out += "\\(ga";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// A sentence: its hyphens stay hyphens, but for those of an option that it names.
std::string Prose(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool in_option =
        text[i] == '-' && ((i > 0 && text[i - 1] == '-') || (i + 1 < text.size() && text[i + 1] == '-'));
    out += text[i] == '-' && !in_option ? "-" : Literal(std::string(1, text[i]));
  }
  return out;
}

/// A line of input that begins with a dot or an apostrophe would be a request.
std::string Line(const std::string& text) {
  const bool request = !text.empty() && (text.front() == '.' || text.front() == '\'');
  return (request ? "\\&" : "") + text + '\n';
}

std::string Bold(const std::string& text) { return "\\fB" + Literal(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Literal(text) + "\\fR"; }

/// Names keep their spelling: userUri, apiRoot, skmsd.
std::string Sentence(std::string text) {
  if (text.empty()) return text;
  const std::string first = text.substr(0, text.find(' '));
  const bool word = std::all_of(first.begin(), first.end(),
                                [](unsigned char c) { return std::islower(c) != 0 || c == ','; });
  if (word) text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  if (text.back() != '.') text += '.';
  return text;
}

std::string OptionText(const OptionParts& option) {
  std::string term;
  if (!option.short_name.empty()) term += Bold("-" + option.short_name) + ", ";
  term += Bold("--" + option.long_name);
  if (option.optional_value) {
    term += " [" + Italic(option.value) + "]";
  } else if (!option.value.empty()) {
    term += " " + Italic(option.value);
  }
  std::string text = Prose(Sentence(option.description));
  if (option.required) text += " Required.";
  if (option.repeated) text += " May be given more than once.";
  if (!option.standard.empty()) text += " Default: " + Literal(option.standard) + ".";
  return ".TP\n" + Line(term) + Line(text);
}

std::string OptionTexts(const OptionsDescription& options) {
  std::string text;
  for (const OptionParts& option : PartsOf(options)) text += OptionText(option);
  return text;
}

std::string ExampleText(const std::string& example) {
  std::string text = ".PP\nExample:\n.PP\n.RS 4\n.EX\n";
  std::size_t begin = 0;
  while (begin <= example.size()) {
    const std::size_t end = std::min(example.find('\n', begin), example.size());
    text += Line(Literal(example.substr(begin, end - begin)));
    begin = end + 1;
  }
  return text + ".EE\n.RE\n";
}

std::string CommandText(const Program& program, const Command& command) {
  std::string heading = command.name + (command.argument.empty() ? "" : " " + command.argument);
  std::string text = ".SS " + Literal(heading) + '\n' + Line(Prose(command.summary));
  if (!command.text.empty()) text += ".PP\n" + Line(Prose(command.text));
  if (!command.usage.empty())
    text += ".PP\n" + Line(Bold(program.name + " " + heading) + " " + Literal(command.usage));
  text += OptionTexts(command.options);
  if (!command.example.empty()) text += ExampleText(command.example);
  return text;
}

std::string EntriesText(const char* heading, const std::vector<Entry>& entries) {
  if (entries.empty()) return "";
  std::string text = std::string(".SH ") + heading + '\n';
  for (const Entry& entry : entries)
    text += ".TP\n" + Line(Bold(entry.term)) + Line(Prose(Sentence(entry.text)));
  return text;
}

std::string ExamplesText(const std::vector<Entry>& examples) {
  if (examples.empty()) return "";
  std::string text = ".SH EXAMPLES\n";
  for (std::size_t i = 0; i < examples.size(); ++i)
    text += (i > 0 ? ".PP\n" : "") + Line(Prose(Sentence(examples[i].text))) + ".PP\n.RS 4\n.EX\n" +
            Line(Literal(examples[i].term)) + ".EE\n.RE\n";
  return text;
}

std::string SeeAlsoText(const std::vector<std::string>& pages) {
  if (pages.empty()) return "";
  std::string text = ".SH \"SEE ALSO\"\n";
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const std::size_t bracket = pages[i].find('(');
    const std::string comma = i + 1 < pages.size() ? "," : "";
    text += bracket == std::string::npos ? Line(Literal(pages[i]) + comma)
                                         : ".BR " + Literal(pages[i].substr(0, bracket)) + " " +
                                               pages[i].substr(bracket) + comma + '\n';
  }
  return text;
}

}  // namespace

std::string ManPage(const Program& program) {
  std::string upper = program.name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::string text = ".\\\" Made by the program itself, from the tables that its --help reads.\n.TH " +
                     upper + " " + std::to_string(program.section) + " \"\" \"skms " + program.version +
                     "\" \"SEAL key management server\"\n.nh\n.ad l\n";
  text += ".SH NAME\n" + Literal(program.name) + " \\- " + Prose(program.title) + '\n';
  text += ".SH SYNOPSIS\n.nf\n";
  for (const std::string& line : program.synopsis) text += Line(Bold(program.name) + " " + Literal(line));
  text += ".fi\n.SH DESCRIPTION\n";
  for (std::size_t i = 0; i < program.description.size(); ++i)
    text += (i > 0 ? ".PP\n" : "") + Line(Prose(program.description[i]));
  if (!program.commands.empty()) {
    text += ".SH COMMANDS\n";
    for (const Command& command : program.commands) text += CommandText(program, command);
  }
  if (!program.options.options().empty()) text += ".SH OPTIONS\n" + OptionTexts(program.options);
  text += EntriesText("\"EXIT STATUS\"", program.exit_codes);
  text += EntriesText("ENVIRONMENT", program.environment);
  text += EntriesText("FILES", program.files);
  text += ExamplesText(program.examples);
  return text + SeeAlsoText(program.see_also);
}

std::string Wrapped(const std::string& text, std::size_t width, std::size_t indent) {
  std::string out;
  std::size_t column = 0;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::size_t length = end - begin;
    if (column > indent && column + 1 + length > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (begin > 0) {
      out += ' ';
      ++column;
    }
    out.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return out;
}

}  // namespace skms::manual
