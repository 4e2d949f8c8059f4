// Quirks: where a token departs from what PKCS#11 leads one to expect, each with the row of the probe that
// finds it and what is done about it. The one table of its kind; docs/token-attributes.md shows it.
//
// Constant data and a pure function; thread-safe.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "hsm/capabilities.h"

namespace skms::hsm {

struct Quirk {
  std::string_view name;      ///< what the token does, e.g. "wraps a non-extractable key"
  std::string_view found_by;  ///< the probe's row, as in CapabilityRow::name
  std::string_view measure;   ///< what is done about it
  bool (*present)(const Capabilities&);
};

/// Every quirk that is known, whichever token has it.
std::span<const Quirk> KnownQuirks();
/// Those of this token.
std::vector<Quirk> QuirksOf(const Capabilities& capabilities);

}  // namespace skms::hsm
