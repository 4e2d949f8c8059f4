#include <boost/program_options/errors.hpp>
#include <iostream>

#include "provisioning/commands.h"
#include "provisioning/manual.h"

namespace skms::provisioning {

Status RunCompletion(const Session& /*session*/, const Options& options) {
  const std::string script = manual::CompletionFor(Manual(), options["argument"].as<std::string>());
  if (script.empty()) throw boost::program_options::error("there is completion for bash and zsh");
  std::cout << script;
  return Ok();
}

Status RunManual(const Session& /*session*/, const Options& /*options*/) {
  std::cout << manual::ManPage(Manual());
  return Ok();
}

}  // namespace skms::provisioning
