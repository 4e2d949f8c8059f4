// metrics: what the daemon measures, for people, and for node_exporter's textfile collector.
#include <boost/program_options.hpp>
#include <iostream>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"

namespace skms::provisioning {
namespace {

/// In place of what a daemon that does not answer would say.
std::string NotAnswering() {
  return "# HELP skms_up 1: skmsd answers. skmsctl metrics writes 0 where it does not.\n"
         "# TYPE skms_up gauge\n"
         "skms_up 0\n"
         "# HELP skms_scrape_time_seconds When this was told, since 1970.\n"
         "# TYPE skms_scrape_time_seconds gauge\n"
         "skms_scrape_time_seconds " +
         std::to_string(SystemClock().NowSeconds()) + "\n";
}

}  // namespace

void DescribeMetrics(OptionsDescription& options) {
  namespace po = boost::program_options;
  options.add_options()(
      "to", po::value<std::string>()->value_name("FILE"),
      "write them to this file, as a whole; where the daemon does not answer, that it does not");
}

Status RunMetrics(const Session& session, const Options& options) {
  Result<std::string> text = AdminGetText(session, "/metrics");
  if (options.count("to") == 0) {
    SKMS_TRY(const std::string measured, std::move(text));
    std::cout << measured;
    return Ok();
  }
  const std::string contents = text.has_value() ? text.value() : NotAnswering();
  SKMS_TRYV(WriteFileAtomically(options["to"].as<std::string>(), AsBytes(contents), 0644));
  if (text.has_error()) return text.error();
  return Ok();
}

}  // namespace skms::provisioning
