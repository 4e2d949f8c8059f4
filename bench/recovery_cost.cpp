// What the readiness to recover costs a request: TokenKeeper::Run around a verb that does nothing, beside the
// same verb on the open token, and one LateAnswers::Pending; alone and from several threads.
//
// Needs a provisioned token. Prints one JSON object of nanoseconds. The PIN comes from a file.
#include <boost/program_options.hpp>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "api/http/late_answers.h"
#include "base/file.h"
#include "hsm/token_keeper.h"

namespace {

namespace po = boost::program_options;
using skms::hsm::OpenToken;
using skms::hsm::TokenKeeper;

/// Nanoseconds of CPU that a turn takes, of `threads` that do nothing else at the same time.
double Nanoseconds(std::size_t threads, const std::function<void()>& turn) {
  constexpr std::size_t kTurns = 500000;
  std::vector<std::thread> at_work;
  const std::clock_t begun = std::clock();
  for (std::size_t i = 0; i < threads; ++i) {
    at_work.emplace_back([&] {
      for (std::size_t n = 0; n < kTurns; ++n) turn();
    });
  }
  for (std::thread& thread : at_work) thread.join();
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  return seconds * 1e9 / static_cast<double>(kTurns * threads);
}

/// Not to be seen through by the optimiser: the address of what it worked on.
skms::Result<std::uintptr_t> Nothing(const OpenToken& open) {
  return reinterpret_cast<std::uintptr_t>(&open);
}

int Run(int argc, char** argv) {
  skms::hsm::TokenOptions token;
  std::string pin_file;
  po::options_description options("Options");
  options.add_options()("module", po::value(&token.module_path)->required())(
      "label", po::value(&token.label)->required())("pin-file", po::value(&pin_file)->required());
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);
  const auto keeper =
      TokenKeeper::Open({token, [&] { return skms::ReadSecretFile(pin_file); }},
                        std::make_shared<skms::hsm::KeyGroup>(), skms::hsm::MissingKeys::kRefuse);
  if (keeper.has_error()) {
    std::cerr << "skms_bench_recovery_cost: " << keeper.error().Describe() << '\n';
    return 1;
  }
  const auto open = keeper.value()->Current();
  skms::http::LateAnswers late(std::chrono::seconds(10));
  volatile std::uintptr_t sink = 0;
  std::string report;
  for (const std::size_t threads : {std::size_t{1}, std::size_t{8}}) {
    const auto add = [&](const char* name, double nanoseconds) {
      report += (report.empty() ? "{\"" : ",\"") + std::string(name) + "_" + std::to_string(threads) +
                "\":" + std::to_string(nanoseconds);
    };
    add("bare_ns", Nanoseconds(threads, [&] { sink = Nothing(*open.value()).value(); }));
    add("run_ns", Nanoseconds(threads, [&] { sink = keeper.value()->Run(Nothing).value(); }));
    add("pending_ns", Nanoseconds(threads, [&] {
          skms::http::LateAnswers::Pending pending(late, [] {});
          sink = pending.Begin() ? 1 : 0;
        }));
  }
  std::cout << report << "}\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skms_bench_recovery_cost: " << error.what() << '\n';
    return 2;
  }
}
