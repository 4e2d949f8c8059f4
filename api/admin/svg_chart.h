// Charts over time as SVG, for the status page: lines on one scale, with their last values in the legend,
// told in words too. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skms::admin {

/// The five characters that mean something in HTML and SVG.
std::string EscapeHtml(std::string_view text);

struct ChartLine {
  std::string name;
  std::vector<std::optional<double>> values;  ///< nullopt: nothing was measured then
};

struct Chart {
  std::string title;
  std::string unit;              ///< "a minute", "ms"; may be empty
  std::string from, to;          ///< what the ends of the time axis are
  std::vector<ChartLine> lines;  ///< six at most, all of one length
};

/// A <figure> with the picture and its legend; the title is told in words, for the heading above shows it.
std::string RenderChart(const Chart& chart);
/// "1,234", "0.52": at most two digits behind the point where it is less than ten.
std::string ShortNumber(double value);

}  // namespace skms::admin
