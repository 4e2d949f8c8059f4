#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

void PrintKey(const json& key) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const char* name : {"kid", "service", "scope", "target", "version", "profile", "state", "created",
                           "notBefore", "notAfter", "deactivated", "kekGeneration"}) {
    if (key.contains(name)) pairs.emplace_back(name, Cell(key[name]));
  }
  std::cout << RenderPairs(pairs);
}

}  // namespace

void DescribeKeyList(OptionsDescription& options) {
  options.add_options()("service", po::value<std::string>(), "only keys of this service")(
      "limit", po::value<unsigned>()->default_value(100), "at most so many, 1 to 1000")(
      "after", po::value<std::string>(), "go on after this kid");
}

void DescribeKeyRotate(OptionsDescription& options) {
  options.add_options()("service", po::value<std::string>()->required(), "the key's service")(
      "user", po::value<std::string>(), "the key of this VAL user")("ue", po::value<std::string>(),
                                                                    "the key of this VAL UE");
}

Status RunKeyList(const Session& session, const Options& options) {
  std::string path = "/admin/v1/keys?limit=" + std::to_string(options["limit"].as<unsigned>());
  if (options.count("service") > 0) path += "&service=" + EncodeSegment(options["service"].as<std::string>());
  if (options.count("after") > 0) path += "&after=" + EncodeSegment(options["after"].as<std::string>());
  SKMS_TRY(const json answer, AdminGet(session, path));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& key : answer["keys"]) {
    rows.push_back({Cell(key["kid"]), Cell(key["service"]), Cell(key["scope"]), Cell(key["target"]),
                    Cell(key["version"]), Cell(key["profile"]), Cell(key["state"]), Cell(key["notBefore"])});
  }
  if (rows.empty()) {
    std::cout << "no keys; the first request makes one, or: skmsctl key rotate --service SERVICE\n";
    return Ok();
  }
  std::cout << RenderTable({"KID", "SERVICE", "SCOPE", "TARGET", "VERSION", "PROFILE", "STATE", "SINCE"},
                           rows);
  if (rows.size() == options["limit"].as<unsigned>()) {
    std::cout << "there may be more: --after " << answer["keys"].back()["kid"].get<std::string>() << '\n';
  }
  return Ok();
}

Status RunKeyShow(const Session& session, const Options& options) {
  SKMS_TRY(const json key,
           AdminGet(session, "/admin/v1/keys/" + EncodeSegment(options["argument"].as<std::string>())));
  if (session.json) {
    PrintJson(key);
  } else {
    PrintKey(key);
  }
  return Ok();
}

Status RunKeyRotate(const Session& session, const Options& options) {
  if (options.count("user") > 0 && options.count("ue") > 0)
    throw po::error("give at most one of --user and --ue");
  json body{{"service", options["service"].as<std::string>()}};
  if (options.count("user") > 0) body["userId"] = options["user"].as<std::string>();
  if (options.count("ue") > 0) body["ueId"] = options["ue"].as<std::string>();
  SKMS_TRY(const json key, AdminSend(session, "POST", "/admin/v1/keys/rotate", body));
  if (session.json) {
    PrintJson(key);
  } else {
    std::cout << "version " << key["version"] << " is active now; the former one, if any, is deactivated\n";
    PrintKey(key);
  }
  return Ok();
}

}  // namespace skms::provisioning
