// What a program says of itself: its commands, options, exit codes, files. Its man page and its completion
// scripts are made from this, and its --help reads the same tables, so that none of them can tell of a
// command or option that another does not know.
//
// Plain values; one thread.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <string>
#include <vector>

namespace skms::manual {

using OptionsDescription = boost::program_options::options_description;

struct Entry {
  std::string term;  ///< a file, an exit code, a variable
  std::string text;
};

struct Command {
  std::string name;      ///< one or two words: "init", "service add"
  std::string argument;  ///< "ID"; choices are divided by "|"; "" for none
  std::string usage;     ///< what stands behind name and argument in the synopsis
  std::string summary;   ///< one sentence
  std::string text;      ///< more of it, or ""
  std::string example;   ///< a command line, or ""
  OptionsDescription options;
};

struct Program {
  std::string name;
  int section = 1;  ///< of the manual
  std::string version;
  std::string title;  ///< what it is, without a full stop
  std::vector<std::string> synopsis;
  std::vector<std::string> description;  ///< paragraphs
  std::vector<Command> commands;         ///< none: it has options alone
  OptionsDescription options;            ///< of every command, or of a program without commands
  std::vector<Entry> exit_codes;
  std::vector<Entry> files;
  std::vector<Entry> environment;
  std::vector<Entry> examples;  ///< command lines, and what they do
  std::vector<std::string> see_also;
};

/// troff, with the macros of man(7).
std::string ManPage(const Program& program);

/// Scripts for /usr/share/bash-completion/completions and /usr/share/zsh/vendor-completions.
std::string BashCompletion(const Program& program);
std::string ZshCompletion(const Program& program);

/// "bash" or "zsh"; "" for another shell.
std::string CompletionFor(const Program& program, const std::string& shell);

/// Broken into lines of `width` at its blanks; all but the first begin with `indent` blanks.
std::string Wrapped(const std::string& text, std::size_t width, std::size_t indent);

}  // namespace skms::manual
