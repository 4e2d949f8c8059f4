#include "api/admin/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace skms::admin {
namespace {

constexpr double kWidth = 600;
constexpr double kHeight = 150;
constexpr double kTop = 10;

double Highest(const Chart& chart) {
  double highest = 0;
  for (const ChartLine& line : chart.lines)
    for (const std::optional<double>& value : line.values) highest = std::max(highest, value.value_or(0));
  return highest;
}

/// The next number of the form 1, 2 or 5 times a power of ten.
double RoundedUp(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0})
    if (value <= step * power) return step * power;
  return 10 * power;
}

std::string Fixed(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

/// One value is a line from end to end; one between gaps a dot.
std::string PathOf(const ChartLine& line, double scale) {
  const std::size_t count = line.values.size();
  const double step = kWidth / static_cast<double>(std::max<std::size_t>(2, count) - 1);
  std::string path;
  bool drawing = false;
  if (count == 1 && line.values[0]) {
    const std::string y = Fixed(kTop + kHeight * (1 - *line.values[0] / scale));
    return "M0 " + y + "H" + Fixed(kWidth);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::optional<double>& value = line.values[i];
    if (!value) {
      drawing = false;
      continue;
    }
    const double x = step * static_cast<double>(i);
    const double y = kTop + kHeight * (1 - *value / scale);
    path += (drawing ? "L" : "M") + Fixed(x) + " " + Fixed(y);
    if (!drawing) path += "h0.1";
    drawing = true;
  }
  return path;
}

std::optional<double> LastOf(const ChartLine& line) {
  return line.values.empty() ? std::nullopt : line.values.back();
}

std::string InWords(const Chart& chart) {
  std::string words = chart.from + " to " + chart.to + ".";
  for (const ChartLine& line : chart.lines) {
    double highest = 0;
    for (const std::optional<double>& value : line.values) highest = std::max(highest, value.value_or(0));
    words += " " + line.name + ": " + ShortNumber(highest) + " at most";
    if (const auto last = LastOf(line)) words += ", " + ShortNumber(*last) + " now";
    words += ".";
  }
  return words;
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string ShortNumber(double value) {
  std::array<char, 32> text{};
  const bool whole = value >= 100 || std::floor(value) == value;
  std::snprintf(text.data(), text.size(), whole ? "%.0f" : "%.2f", value);
  std::string digits = text.data();
  if (!whole) return digits;
  for (std::size_t i = digits.size(); i > 3 && digits[i - 4] != '-'; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string RenderChart(const Chart& chart) {
  const double scale = RoundedUp(Highest(chart));
  std::string out = "<figure>";
  if (!chart.unit.empty()) out += "<figcaption>" + EscapeHtml(chart.unit) + "</figcaption>";
  out += "<svg viewBox=\"0 0 " + Fixed(kWidth) + " " + Fixed(kHeight + 2 * kTop) +
         "\" preserveAspectRatio=\"none\" role=\"img\"><title>" + EscapeHtml(chart.title) + "</title><desc>" +
         EscapeHtml(InWords(chart)) + "</desc>";
  for (const double part : {0.0, 0.5, 1.0}) {
    const std::string y = Fixed(kTop + kHeight * part);
    out += "<line class=\"grid\" x1=\"0\" x2=\"" + Fixed(kWidth) + "\" y1=\"" + y + "\" y2=\"" + y + "\"/>";
  }
  for (std::size_t i = chart.lines.size(); i-- > 0;)
    out += "<path class=\"s" + std::to_string(i) + "\" d=\"" + PathOf(chart.lines[i], scale) + "\"/>";
  out += "</svg><div class=\"axis\"><span>" + EscapeHtml(chart.from) +
         "</span><span>top line: " + ShortNumber(scale) + "</span><span>" + EscapeHtml(chart.to) +
         "</span></div><ul class=\"legend\">";
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const auto last = LastOf(chart.lines[i]);
    out += "<li><svg viewBox=\"0 0 32 8\" aria-hidden=\"true\"><path class=\"s" + std::to_string(i) +
           "\" d=\"M1 4h30\"/></svg>" + EscapeHtml(chart.lines[i].name) + " <b>" +
           (last ? ShortNumber(*last) : "–") + "</b></li>";
  }
  return out + "</ul></figure>";
}

}  // namespace skms::admin
