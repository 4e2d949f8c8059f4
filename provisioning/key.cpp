#include <boost/program_options.hpp>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr unsigned kMaxPage = 1000;

/// Read as text: a number's parser would take "-1" for a large one.
unsigned PageSize(const Options& options) {
  const std::string text = options["limit"].as<std::string>();
  unsigned limit = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (code != std::errc{} || end != text.data() + text.size() || limit < 1 || limit > kMaxPage)
    throw po::error("--limit is 1 to " + std::to_string(kMaxPage));
  return limit;
}

void PrintKey(const json& key) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [title, member] :
       {std::pair("kid", "kid"), std::pair("service", "service"), std::pair("scope", "scope"),
        std::pair("target", "target"), std::pair("version", "version"), std::pair("profile", "profile"),
        std::pair("state", "state"), std::pair("created", "created"), std::pair("active since", "notBefore"),
        std::pair("ends", "notAfter"), std::pair("suspended", "suspended"),
        std::pair("deactivated", "deactivated"), std::pair("compromised", "compromised"),
        std::pair("released", "released"), std::pair("destroyed", "destroyed"),
        std::pair("changed by", "changedBy"), std::pair("reason", "reason"),
        std::pair("wrapped by kek", "kekGeneration")}) {
    if (key.contains(member)) pairs.emplace_back(title, Cell(key, member));
  }
  std::cout << RenderPairs(pairs);
}

}  // namespace

void DescribeKeyList(OptionsDescription& options) {
  options.add_options()("service", po::value<std::string>()->value_name("ID"), "only keys of this service")(
      "limit", po::value<std::string>()->value_name("NUMBER")->default_value("100"),
      "at most so many, 1 to 1000")("after", po::value<std::string>()->value_name("KID"),
                                    "go on after this key")(
      "state", po::value<std::string>()->value_name("STATE"),
      "only pre-active, active, suspended, deactivated, compromised or destroyed ones")(
      "expiring-before", po::value<std::string>()->value_name("TIME"),
      "only what ends before, like 2026-12-31T00:00:00Z")(
      "target-prefix", po::value<std::string>()->value_name("TEXT"),
      "only users, UEs, clients and groups that begin with it");
}

void DescribeKeyRotate(OptionsDescription& options) {
  options.add_options()("service", po::value<std::string>()->value_name("ID")->required(),
                        "the key's service")("user", po::value<std::string>()->value_name("ID"),
                                             "the key of this VAL user")(
      "ue", po::value<std::string>()->value_name("ID"), "the key of this VAL UE")(
      "client", po::value<std::string>()->value_name("ID"), "the key of this VAL client")(
      "group", po::value<std::string>()->value_name("ID"), "the key of this VAL group")(
      "dry-run", "show what would become of which version, change nothing");
}

void DescribeKeyTransition(OptionsDescription& options) {
  options.add_options()("reason", po::value<std::string>()->value_name("TEXT")->required(),
                        "why, for the audit chain")("dry-run", "show what it would be, change nothing");
}

void DescribeKeyCompromise(OptionsDescription& options) {
  DescribeKeyTransition(options);
  options.add_options()("rotate", "make the next version at once, in the same step");
}

Status RunKeyList(const Session& session, const Options& options) {
  const unsigned limit = PageSize(options);
  std::string path = "/admin/v1/keys?limit=" + std::to_string(limit);
  for (const auto& [option, parameter] :
       {std::pair("service", "service"), std::pair("state", "state"),
        std::pair("expiring-before", "expiringBefore"), std::pair("target-prefix", "targetPrefix"),
        std::pair("after", "after")}) {
    if (options.count(option) == 0) continue;
    path.append("&").append(parameter).append("=").append(PercentEncode(options[option].as<std::string>()));
  }
  SKMS_TRY(const json answer, AdminGet(session, path));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  const json& keys = answer.at("keys");
  PrintList(keys,
            {{"KID", "kid"},
             {"SERVICE", "service"},
             {"SCOPE", "scope"},
             {"TARGET", "target"},
             {"VERSION", "version"},
             {"PROFILE", "profile"},
             {"STATE", "state"},
             {"SINCE", "notBefore"}},
            "no keys; the first request for one makes it, or: skmsctl key rotate --service ID");
  if (keys.size() == limit) std::cout << "there may be more: --after " << Cell(keys.back(), "kid") << '\n';
  return Ok();
}

Status RunKeyShow(const Session& session, const Options& options) {
  SKMS_TRY(const json key,
           AdminGet(session, "/admin/v1/keys/" + PercentEncode(options["argument"].as<std::string>())));
  if (session.json) {
    PrintJson(key);
  } else {
    PrintKey(key);
  }
  return Ok();
}

namespace {

Status RunTransition(const Session& session, const Options& options, const std::string& action) {
  const bool dry_run = options.count("dry-run") > 0;
  const json body{{"action", action},
                  {"reason", options["reason"].as<std::string>()},
                  {"rotate", options.count("rotate") > 0},
                  {"dryRun", dry_run}};
  const std::string kid = options["argument"].as<std::string>();
  SKMS_TRY(const json key,
           AdminSend(session, "POST", "/admin/v1/keys/" + PercentEncode(kid) + "/transitions", body));
  if (session.json) {
    PrintJson(key);
    return Ok();
  }
  std::cout << (dry_run ? "nothing is changed; this is what it would be\n" : "");
  PrintKey(key);
  return Ok();
}

}  // namespace

Status RunKeyActivate(const Session& s, const Options& o) { return RunTransition(s, o, "activate"); }
Status RunKeySuspend(const Session& s, const Options& o) { return RunTransition(s, o, "suspend"); }
Status RunKeyResume(const Session& s, const Options& o) { return RunTransition(s, o, "resume"); }
Status RunKeyDeactivate(const Session& s, const Options& o) { return RunTransition(s, o, "deactivate"); }
Status RunKeyCompromise(const Session& s, const Options& o) { return RunTransition(s, o, "compromise"); }
Status RunKeyDestroy(const Session& s, const Options& o) { return RunTransition(s, o, "destroy"); }
Status RunKeyRelease(const Session& s, const Options& o) { return RunTransition(s, o, "release"); }
Status RunKeyWithhold(const Session& s, const Options& o) { return RunTransition(s, o, "withhold"); }

namespace {

void PrintPreview(const json& preview) {
  std::cout << "nothing is changed; version " << Cell(preview, "version") << " would be active, "
            << (preview.at("made").get<bool>() ? "made new" : "made ahead already") << '\n';
  const json& changed = preview.at("changed");
  if (!changed.empty())
    PrintList(changed, {{"KID", "kid"}, {"VERSION", "version"}, {"WOULD BE", "state"}, {"ENDS", "notAfter"}},
              "");
  std::string destroyed;
  for (const json& version : changed) {
    if (version.at("state") == "destroyed")
      destroyed += (destroyed.empty() ? "" : ", ") + Cell(version, "version");
  }
  for (const json& version : preview.at("destroyedLater"))
    std::cout << "lost when it ends: version " << version.get<unsigned>() << '\n';
  if (!destroyed.empty()) std::cout << "lost for good: version " << destroyed << '\n';
}

}  // namespace

Status RunKeyRotate(const Session& session, const Options& options) {
  json body{{"service", options["service"].as<std::string>()}};
  for (const auto& [option, member] : {std::pair("user", "userId"), std::pair("ue", "ueId"),
                                       std::pair("client", "clientId"), std::pair("group", "groupId")}) {
    if (options.count(option) > 0) body[member] = options[option].as<std::string>();
  }
  if (body.size() > 2) throw po::error("give at most one of --user, --ue, --client and --group");
  const bool dry_run = options.count("dry-run") > 0;
  if (dry_run) body["dryRun"] = true;
  SKMS_TRY(const json key, AdminSend(session, "POST", "/admin/v1/keys/rotate", body));
  if (session.json) {
    PrintJson(key);
    return Ok();
  }
  if (dry_run) {
    PrintPreview(key);
    return Ok();
  }
  std::cout << "version " << Cell(key, "version")
            << " is active now; the one before it, if any, ends after the service's overlap\n";
  PrintKey(key);
  return Ok();
}

}  // namespace skms::provisioning
