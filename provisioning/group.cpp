#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "provisioning/admin_client.h"
#include "provisioning/commands.h"
#include "provisioning/duration.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

std::string PathOf(const Options& options) {
  return "/admin/v1/groups/" + PercentEncode(options["argument"].as<std::string>());
}

void PrintGroup(const json& group) {
  std::cout << RenderPairs({{"group", Cell(group, "id")},
                            {"services", Cell(group, "services")},
                            {"members", Cell(group, "memberCount")},
                            {"revision", Cell(group, "revision")},
                            {"created", Cell(group, "created")},
                            {"changed", Cell(group, "changed")}});
}

}  // namespace

void DescribeGroupList(OptionsDescription& options) {
  options.add_options()("limit", po::value<std::string>()->value_name("NUMBER")->default_value("100"),
                        "at most so many, 1 to 1000")("after", po::value<std::string>()->value_name("ID"),
                                                      "go on after this group");
}

void DescribeGroupShow(OptionsDescription& options) {
  options.add_options()("members", "list the members too");
}

void DescribeGroupRekey(OptionsDescription& options) {
  options.add_options()("reason", po::value<std::string>()->value_name("TEXT")->required(),
                        "why, for the audit chain")("dry-run",
                                                    "show whose keys would be made anew, change nothing");
}

void DescribeGroupRemove(OptionsDescription& options) {
  options.add_options()("dry-run", "show what would be removed, change nothing");
}

Status RunGroupList(const Session& session, const Options& options) {
  const std::int64_t limit = ParseCount("limit", options["limit"].as<std::string>());
  std::string path = "/admin/v1/groups?limit=" + std::to_string(limit);
  if (options.count("after") > 0) path += "&after=" + PercentEncode(options["after"].as<std::string>());
  SKMS_TRY(const json answer, AdminGet(session, path));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  const json& groups = answer.at("groups");
  PrintList(
      groups,
      {{"GROUP", "id"},
       {"SERVICES", "services"},
       {"MEMBERS", "memberCount"},
       {"REVISION", "revision"},
       {"DELETED", "deleted"},
       {"CHANGED", "changed"}},
      "no groups; a group management server makes them over SEAL-X1. Enrol it with: skmsctl principal add ID "
      "--certificate FILE --role group-server");
  if (static_cast<std::int64_t>(groups.size()) == limit)
    std::cout << "there may be more: --after " << ShellWord(groups.back().value("id", "")) << '\n';
  return Ok();
}

Status RunGroupShow(const Session& session, const Options& options) {
  SKMS_TRY(const json group, AdminGet(session, PathOf(options)));
  if (session.json) {
    PrintJson(group);
    return Ok();
  }
  PrintGroup(group);
  if (options.count("members") == 0) return Ok();
  std::cout << '\n';
  PrintList(group.at("members"), {{"KIND", "kind"}, {"MEMBER", "id"}}, "no members");
  return Ok();
}

Status RunGroupRekey(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  if (options.count("dry-run") > 0) {
    SKMS_TRY(const json group, AdminGet(session, PathOf(options)));
    PrintDone(session.json, "group", id, "would be rekeyed",
              "nothing is changed; the keys of " + Cell(group, "memberCount") + " members for " +
                  Cell(group, "services") + " would be made anew");
    return Ok();
  }
  SKMS_TRY(const json changed, AdminSend(session, "POST", PathOf(options) + "/rekey",
                                         {{"reason", options["reason"].as<std::string>()}}));
  if (session.json) {
    PrintJson(changed);
    return Ok();
  }
  std::cout << "group '" << Printable(id) << "' has new keys; the former ones protect no more\n";
  PrintList(changed.at("keys"), {{"SERVICE", "service"}, {"KID", "kid"}, {"VERSION", "version"}}, "no keys");
  return Ok();
}

Status RunGroupRemove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  if (options.count("dry-run") > 0) {
    SKMS_TRY(const json group, AdminGet(session, PathOf(options)));
    PrintDone(session.json, "group", id, "would be removed",
              "nothing is changed; group '" + id + "' with " + Cell(group, "memberCount") +
                  " members would be removed, and its keys for " + Cell(group, "services") +
                  " protect no more");
    return Ok();
  }
  SKMS_TRYV(AdminDelete(session, PathOf(options)));
  PrintDone(session.json, "group", id, "removed",
            "group '" + id + "' removed; its keys protect no more, and nobody gets them");
  return Ok();
}

}  // namespace skms::provisioning
