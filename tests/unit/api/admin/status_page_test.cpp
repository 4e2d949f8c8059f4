#include "api/admin/status_page.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "api/admin/svg_chart.h"

using skms::admin::Chart;
using skms::admin::RenderChart;
using skms::admin::RenderStatusPage;
using skms::admin::ShortNumber;
using skms::admin::StatusPage;
using skms::admin::StatusPageResponse;

namespace {

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

StatusPage Page() {
  StatusPage page;
  page.skms_id = "skms-1";
  page.version = "0.1.0";
  page.now = 1767225600;
  page.started = page.now - 90061;
  page.state = "operational";
  page.tokens = {{"skms", "serving", true}};
  page.key_states = {"pre-active", "active"};
  page.keys = {1, 1234567};
  page.minutes = {{page.now - 60, 3, 1, 0, 0.002, {1, 1234560}}, {page.now, 5, 0, 2, {}, {}}};
  return page;
}

}  // namespace

TEST_CASE("what came from outside is text, wherever it stands") {
  StatusPage page = Page();
  const std::string hostile = "<script>&\"'";
  page.skms_id = page.version = page.state = page.rotation_held = page.audit_trouble = page.audit_export =
      hostile;
  page.reasons = {hostile};
  page.tokens = {{hostile, hostile, false}};
  page.key_states = {hostile, hostile};
  page.expiries = {{hostile, 0}};
  const std::string html = RenderStatusPage(page);
  CHECK_FALSE(Has(html, "<script"));
  CHECK_FALSE(Has(html, "&\""));
  CHECK(Has(html, "&lt;script&gt;&amp;&quot;&#39;"));
}

TEST_CASE("it says how it is in words and numbers") {
  StatusPage page = Page();
  page.expiries = {{"listen.certificate", page.now - 7200}, {"listen.crl", 0}, {"a", page.now + 86400}};
  const std::string html = RenderStatusPage(page);
  CHECK(Has(html, "running for 1 d 1 h"));
  CHECK(Has(html, "1,234,567"));
  CHECK(Has(html, "ended 2 h 0 min ago"));
  CHECK(Has(html, "cannot be read"));
  CHECK(Has(html, "<span class=\"warn\">ends in 1 d 0 h</span>"));
  CHECK(Has(html, "not looked at since the start"));
  page.audit_checked = true;
  CHECK(Has(RenderStatusPage(page), "what is new was whole when it was signed"));
  CHECK(Has(html, "<p><span class=\"bad\">the database does not tell; see the log</span></p>"));
  page.due = 10000;
  page.more_due = true;
  page.late = 7200;
  CHECK(Has(RenderStatusPage(page), "10,000 or more"));
  CHECK(Has(RenderStatusPage(page), "<span class=\"bad\">2 h 0 min</span>"));
  CHECK_FALSE(Has(RenderStatusPage(page), "the database does not tell"));
  page.keys.clear();
  CHECK(Has(RenderStatusPage(page), "the database does not tell"));
  page.minutes.clear();
  CHECK_FALSE(Has(RenderStatusPage(page), "<main"));
}

TEST_CASE("a chart is drawn to a round scale, with gaps where nothing was measured") {
  Chart chart{"T", "ms", "00:00", "01:00", {{"a", {0.0, 3.0, {}, 4.0}}}};
  const std::string svg = RenderChart(chart);
  // 5 is the top line: 0 at the bottom, 3 at two fifths below the top, a gap, 4.
  CHECK(Has(svg, "d=\"M0.0 160.0h0.1L200.0 70.0M600.0 40.0h0.1\""));
  CHECK(Has(svg, "top line: 5"));
  CHECK(Has(svg, "<desc>00:00 to 01:00. a: 4 at most, 4 now.</desc>"));
  chart.lines[0].values = {2.0};
  CHECK(Has(RenderChart(chart), "d=\"M0 10.0H600.0\""));
  chart.lines[0].values = {};
  CHECK(Has(RenderChart(chart), "d=\"\""));
  CHECK(ShortNumber(0) == "0");
  CHECK(ShortNumber(0.05) == "0.05");
  CHECK(ShortNumber(999) == "999");
  CHECK(ShortNumber(1000) == "1,000");
  CHECK(ShortNumber(1234567) == "1,234,567");
  CHECK(ShortNumber(123.4) == "123");
}

TEST_CASE("a whole day fits") {
  StatusPage page = Page();
  page.minutes.clear();
  for (int i = 0; i < 1440; ++i)
    page.minutes.push_back({page.now - std::int64_t{60} * (1440 - i),
                            static_cast<std::uint64_t>(200 + 150 * (i % 97) / 97),
                            static_cast<std::uint64_t>(i % 31),
                            static_cast<std::uint64_t>(i > 700 && i < 720 ? 90 : 0),
                            i > 700 && i < 720 ? std::optional<double>() : 0.0012 + 0.0001 * (i % 13),
                            {i % 50, 100000 + 20 * i}});
  const std::string html = RenderStatusPage(page);
  CHECK(html.size() < 400000);
  const char* to = std::getenv("SKMS_PAGE_TO");  // for people to look at
  if (to != nullptr) std::ofstream(to) << html;
}

TEST_CASE("the minute that is not over is drawn where it is the only one") {
  StatusPage page = Page();
  CHECK(Has(RenderStatusPage(page), "answered <b>3</b>"));
  page.minutes.erase(page.minutes.begin());
  CHECK(Has(RenderStatusPage(page), "answered <b>5</b>"));
}

TEST_CASE("a browser may load and run nothing") {
  const auto answer = StatusPageResponse(Page());
  CHECK(answer.status == 200);
  CHECK(Has(*answer.headers.Find("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-"));
  CHECK(*answer.headers.Find("X-Content-Type-Options") == "nosniff");
}
