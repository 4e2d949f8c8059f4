// Prints the life of a key as a Graphviz graph, from the tables of key_life.cpp: life_cycle_picture | dot
// -Tsvg
#include <iostream>
#include <string>
#include <string_view>

#include "keystore/key_life.h"

namespace {

using namespace skms::keystore;  // NOLINT(google-build-using-namespace): a program about nothing else

std::string_view Delivered(const StateRule& rule) {
  switch (rule.delivered) {
    case KeyUse::kNone:
      return "not delivered";
    case KeyUse::kFuture:
      return "delivered, for later";
    case KeyUse::kFull:
      return "delivered, full use";
    case KeyUse::kProcess:
      return rule.needs_release ? "delivered when released, processing only" : "delivered, processing only";
  }
  return "";
}

}  // namespace

int main() {
  std::cout
      << "digraph key_life {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n"
         "  edge [fontname=\"sans-serif\", fontsize=11];\n";
  for (const StateRule& rule : StateRules()) {
    std::cout << "  \"" << Name(rule.state) << "\" [label=\"" << Name(rule.state) << "\\n"
              << rule.meaning << "\\n(" << Delivered(rule) << ")\"];\n";
  }
  for (const Transition& transition : Transitions()) {
    std::cout << "  \"" << Name(transition.from) << "\" -> \"" << Name(transition.to) << "\" [label=\""
              << transition.action << "\"" << (transition.automatic ? ", style=bold" : "") << "];\n";
  }
  std::cout << "}\n";
  return std::cout.good() ? 0 : 1;
}
