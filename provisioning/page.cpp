// page: the status page of the daemon, into a file for a browser.
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/file.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {

void DescribePage(OptionsDescription& options) {
  namespace po = boost::program_options;
  options.add_options()("to", po::value<std::string>()->value_name("FILE")->required(),
                        "the file, whole under its name or not there; - is standard output");
}

Status RunPage(const Session& session, const Options& options) {
  const auto to = options["to"].as<std::string>();
  SKMS_TRY(const std::string page, AdminGetText(session, "/status"));
  if (to == "-") {
    std::cout << page;
    return Ok();
  }
  SKMS_TRYV(WriteFileAtomically(to, AsBytes(page), 0644));
  if (session.json) {
    PrintJson({{"file", to}});
  } else {
    std::cout << "the status page is in " << Printable(to) << "; open it with a browser\n";
  }
  return Ok();
}

}  // namespace skms::provisioning
