#include "api/admin/status_page.h"

#include <algorithm>
#include <utility>

#include "api/admin/svg_chart.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/encoding.h"

namespace skms::admin {
namespace {

constexpr std::int64_t kDay = 86400;
constexpr std::int64_t kSoon = 14 * kDay;
constexpr std::int64_t kLongDue = 600;
constexpr std::size_t kRowsOfTable = 60;
constexpr const char* kUntold = "the database does not tell; see the log";

// Lines differ by their dashes, too. Colours keep a contrast of 3 to 1 on either ground.
constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#57606a;--edge:#d0d7de;--good:#116329;--bad:#a40e26;--warn:#7d4e00}
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--ink:#e6edf3;--soft:#9ea7b3;--edge:#373e47;--good:#56d364;--bad:#ff7b72;--warn:#e3b341}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1rem;overflow-wrap:anywhere;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:0 0 .5rem}
header{border-bottom:1px solid var(--edge);padding-bottom:1rem;margin-bottom:1rem}
.state{display:inline-block;border:2px solid;border-radius:.4rem;padding:.1rem .6rem;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.parts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(19rem,100%),1fr));gap:1rem}
section{border:1px solid var(--edge);border-radius:.5rem;padding:1rem;min-width:0}
section.wide{grid-column:1/-1}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.15rem .75rem .15rem 0;vertical-align:top;font-weight:400}
th[scope=row]{overflow-wrap:break-word;max-width:12rem}
thead th{color:var(--soft);border-bottom:1px solid var(--edge)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;padding-right:0;white-space:nowrap}
.scroll{overflow-x:auto;max-height:24rem}.scroll th,.scroll td{white-space:nowrap;overflow-wrap:normal}.scroll th.n,.scroll td.n{padding-left:1rem}
p{margin:.25rem 0}small,.soft{color:var(--soft)}
figure{margin:0 0 .5rem}figcaption{color:var(--soft);font-size:.85rem}
svg{display:block;width:100%;height:9rem}
svg path{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round;vector-effect:non-scaling-stroke}
svg .grid{stroke:var(--edge);vector-effect:non-scaling-stroke}
.axis{display:flex;justify-content:space-between;gap:.5rem;color:var(--soft);font-size:.85rem}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.25rem 0;padding:0}
.legend svg{display:inline-block;width:2rem;height:.8rem;vertical-align:middle;margin-right:.4rem}
.s0{stroke:#2f81f7}.s1{stroke:#bf6a02;stroke-dasharray:7 4}.s2{stroke:#cf3b49;stroke-dasharray:2 5}
.s3{stroke:#8250df;stroke-dasharray:10 4 2 4}.s4{stroke:#1a8f5a;stroke-dasharray:4 2}.s5{stroke:#7a828c;stroke-dasharray:1 3}
summary{cursor:pointer}a,summary{color:inherit}
:focus-visible{outline:3px solid #2f81f7;outline-offset:2px}
)";

std::string Whole(std::int64_t number) { return ShortNumber(static_cast<double>(number)); }

/// "3 d 4 h", "12 min".
std::string Span(std::int64_t seconds) {
  if (seconds < 60) return std::to_string(std::max<std::int64_t>(0, seconds)) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < kDay)
    return std::to_string(seconds / 3600) + " h " + std::to_string(seconds % 3600 / 60) + " min";
  return std::to_string(seconds / kDay) + " d " + std::to_string(seconds % kDay / 3600) + " h";
}

/// "14:05" of "2026-11-28T14:05:00Z".
std::string ClockTime(std::int64_t time) { return FormatUtc(time).substr(11, 5); }

std::string Marked(const char* kind, const std::string& text) {
  return std::string("<span class=\"") + kind + "\">" + EscapeHtml(text) + "</span>";
}

std::string Section(const std::string& title, const std::string& body, bool wide = false) {
  return std::string(wide ? "<section class=\"wide\"" : "<section") + "><h2>" + EscapeHtml(title) + "</h2>" +
         body + "</section>\n";
}

/// `second` is HTML.
std::string TableRow(const std::string& first, const std::string& second, bool number = false) {
  return "<tr><th scope=\"row\">" + EscapeHtml(first) + "</th><td" + (number ? " class=\"n\"" : "") + ">" +
         second + "</td></tr>";
}

std::string Header(const StatusPage& page) {
  const bool good = page.state == "operational";
  std::string out = "<header><h1>Key management server " + EscapeHtml(page.skms_id) +
                    "</h1><p><span class=\"state " + (good ? "good" : "bad") + "\">" +
                    EscapeHtml(page.state) + "</span></p>";
  if (!page.reasons.empty()) {
    out += "<ul>";
    for (const std::string& reason : page.reasons) out += "<li>" + EscapeHtml(reason) + "</li>";
    out += "</ul>";
  }
  return out + "<p class=\"soft\">As of <time datetime=\"" + FormatUtc(page.now) + "\">" +
         FormatUtc(page.now) + "</time>; running for " + Span(page.now - page.started) + ", version " +
         EscapeHtml(page.version) + ".</p></header>\n";
}

std::string Tokens(const StatusPage& page) {
  std::string rows;
  for (const PageToken& token : page.tokens)
    rows += TableRow(token.label, Marked(token.serves ? "good" : "bad", token.state));
  return Section("Tokens", "<table>" + rows + "</table>");
}

std::string Keys(const StatusPage& page) {
  if (page.keys.size() != page.key_states.size()) return Section("Key versions", Marked("bad", kUntold));
  std::string rows;
  for (std::size_t i = 0; i < page.keys.size(); ++i)
    rows += TableRow(page.key_states[i], Whole(page.keys[i]), true);
  return Section("Key versions", "<table>" + rows + "</table>");
}

std::string Rotation(const StatusPage& page) {
  std::string body;
  if (!page.rotation_held.empty()) {
    body += "<p>" + Marked("bad", "held: " + page.rotation_held) + "</p>";
  } else {
    body += "<p>" + Marked("good", "runs") + "</p>";
  }
  if (!page.due) return Section("Rotation", body + "<p>" + Marked("bad", kUntold) + "</p>");
  const std::string due = Whole(*page.due) + (page.more_due ? " or more" : "");
  const bool late = page.late > kLongDue;
  body += "<table>" + TableRow("due now", due, true) +
          TableRow("the first since", *page.due > 0 ? Marked(late ? "bad" : "good", Span(page.late)) : "–",
                   true) +
          "</table>";
  return Section("Rotation", body);
}

std::string Audit(const StatusPage& page) {
  std::string body;
  if (!page.audit_trouble.empty()) {
    body = "<p>" + Marked("bad", page.audit_trouble) + "</p>";
  } else if (!page.audit_checked) {
    body = "<p>" + Marked("warn", "not looked at since the start") + "</p>";
  } else {
    body = "<p>" + Marked("good", "what is new was whole when it was signed") +
           "</p><p class=\"soft\">All of it is looked at by: skmsctl audit verify</p>";
  }
  body += "<table>" + TableRow("entries", Whole(page.audit_entries), true) +
          TableRow("signed up to", Whole(page.audit_signed), true) +
          TableRow(
              "signed last",
              page.audit_signed_at > 0 ? EscapeHtml(Span(page.now - page.audit_signed_at)) + " ago" : "never",
              true);
  if (!page.audit_export.empty()) body += TableRow("export", EscapeHtml(page.audit_export));
  return Section("Audit chain", body + "</table>");
}

std::string Expiries(const StatusPage& page) {
  std::string rows;
  for (const PageExpiry& one : page.expiries) {
    std::string text = Marked("bad", "cannot be read");
    if (one.until > 0 && one.until <= page.now) {
      text = Marked("bad", "ended " + Span(page.now - one.until) + " ago");
    } else if (one.until > 0) {
      text = Marked(one.until - page.now < kSoon ? "warn" : "good", "ends in " + Span(one.until - page.now));
    }
    rows += TableRow(one.setting, text);
  }
  return Section("Certificates and CRLs", "<table>" + rows + "</table>");
}

/// The newest minutes as numbers, the newest first.
std::string Table(const StatusPage& page, const Chart& chart) {
  std::string out =
      "<details><summary>As numbers</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"" +
      EscapeHtml(chart.title) + " as numbers\"><table><thead><tr><th scope=\"col\">minute</th>";
  for (const ChartLine& line : chart.lines)
    out += "<th scope=\"col\" class=\"n\">" + EscapeHtml(line.name) + "</th>";
  out += "</tr></thead><tbody>";
  const std::size_t count = chart.lines.empty() ? 0 : chart.lines.front().values.size();
  for (std::size_t back = 1; back <= std::min(count, kRowsOfTable); ++back) {
    out += "<tr><th scope=\"row\">" + ClockTime(page.minutes[count - back].begun) + "</th>";
    for (const ChartLine& line : chart.lines) {
      const std::optional<double>& value = line.values[count - back];
      out += "<td class=\"n\">" + (value ? ShortNumber(*value) : std::string("–")) + "</td>";
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div></details>";
}

template <class Read>
ChartLine Line(const StatusPage& page, std::string name, const Read& read) {
  ChartLine line{std::move(name), {}};
  line.values.reserve(page.minutes.size());
  for (const PageMinute& minute : page.minutes) line.values.push_back(read(minute));
  // The minute that is not over would look like a fall; alone it is better than nothing.
  if (line.values.size() > 1) line.values.pop_back();
  return line;
}

std::string ChartSection(const StatusPage& page, Chart chart) {
  chart.from = Span(page.now - page.minutes.front().begun) + " ago";
  chart.to = "now";
  return Section(chart.title, RenderChart(chart) + Table(page, chart), true);
}

std::string Charts(const StatusPage& page) {
  using Value = std::optional<double>;
  const auto count = [](std::uint64_t number) { return Value(static_cast<double>(number)); };
  std::string out = ChartSection(
      page, {"Requests for keys",
             "a minute",
             "",
             "",
             {Line(page, "answered", [&](const PageMinute& one) { return count(one.delivered); }),
              Line(page, "refused", [&](const PageMinute& one) { return count(one.refused); }),
              Line(page, "failed", [&](const PageMinute& one) { return count(one.failed); })}});
  out +=
      ChartSection(page, {"Calls into the tokens",
                          "ms, mean of a minute",
                          "",
                          "",
                          {Line(page, "a call", [](const PageMinute& one) {
                            return one.token_call_seconds ? Value(*one.token_call_seconds * 1000) : Value();
                          })}});
  Chart keys{"Key versions by state", "", "", "", {}};
  for (std::size_t state = 0; state < page.key_states.size(); ++state) {
    keys.lines.push_back(Line(page, page.key_states[state], [&](const PageMinute& one) {
      return state < one.keys.size() ? Value(static_cast<double>(one.keys[state])) : Value();
    }));
  }
  return out + ChartSection(page, keys);
}

/// In the document too, which may be a file; frame-ancestors counts in a header field alone.
std::string Policy() {
  static const std::string kHash = ToBase64(Sha256(AsBytes(std::string(kStyle))));
  return "default-src 'none'; style-src 'sha256-" + kHash + "'; base-uri 'none'; form-action 'none'";
}

std::string Parts(const StatusPage& page) {
  return "<main class=\"parts\">\n" + Tokens(page) + Keys(page) + Rotation(page) + Audit(page) +
         Expiries(page) + Charts(page) + "</main>";
}

}  // namespace

std::string RenderStatusPage(const StatusPage& page) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" "
         "content=\"" +
         Policy() + "\"><title>" + EscapeHtml(page.skms_id + ": " + page.state) + "</title><style>" + kStyle +
         "</style></head><body>\n" + Header(page) + (page.minutes.empty() ? "" : Parts(page)) +
         "</body></html>\n";
}

http::Response StatusPageResponse(const StatusPage& page) {
  http::Response response;
  response.headers.Set("Content-Type", "text/html; charset=utf-8");
  response.headers.Set("Content-Security-Policy", Policy() + "; frame-ancestors 'none'");
  response.headers.Set("X-Content-Type-Options", "nosniff");
  response.headers.Set("Referrer-Policy", "no-referrer");
  response.headers.Set("Cache-Control", "no-store");
  response.body = RenderStatusPage(page);
  return response;
}

}  // namespace skms::admin
