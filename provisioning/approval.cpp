// skmsctl approval: requests for approval, seen and decided.
#include <boost/program_options.hpp>
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

constexpr const char* kPath = "/admin/v1/approvals";

std::string PathOf(const std::string& id) { return std::string(kPath) + "/" + PercentEncode(id); }

/// "alice (admin:1000)".
std::string Person(const json& person) {
  std::string actor = person.at("actor");
  if (!person.contains("name")) return actor;
  return person.at("name").get<std::string>() + " (" + actor + ")";
}

std::string People(const json& persons) {
  std::string text;
  for (const json& one : persons) {
    if (!text.empty()) text += ", ";
    text += Person(one);
  }
  return text.empty() ? "nobody" : text;
}

std::string Count(const json& approval) {
  return std::to_string(approval.at("approvedBy").size()) + " of " + Cell(approval, "approvalsNeeded");
}

void PrintApproval(const json& approval) {
  std::vector<std::pair<std::string, std::string>> pairs{
      {"request", Cell(approval, "id")},
      {"what", Cell(approval, "summary")},
      {"state", Cell(approval, "state")},
      {"kind", Cell(approval, "kind")},
      {"asked by", Person(approval.at("requestedBy"))},
      {"approved by", People(approval.at("approvedBy")) + ", " + Count(approval) + " needed"},
      {"operation", Cell(approval, "operation")}};
  if (approval.contains("body")) pairs.emplace_back("with", Cell(approval, "body"));
  if (approval.contains("refusedBy")) pairs.emplace_back("refused by", Person(approval.at("refusedBy")));
  pairs.emplace_back("created", Cell(approval, "created"));
  pairs.emplace_back("expires", Cell(approval, "expires"));
  pairs.emplace_back("digest", Cell(approval, "digest"));
  std::cout << RenderPairs(pairs);
}

void Show(const Session& session, const json& approval) {
  if (session.json) {
    PrintJson(approval);
  } else {
    PrintApproval(approval);
  }
}

}  // namespace

Status RunApprovalList(const Session& session, const Options& /*options*/) {
  SKMS_TRY(json answer, AdminGet(session, kPath));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  for (json& one : answer.at("approvals")) {
    one["by"] = Person(one.at("requestedBy"));
    one["count"] = Count(one);
  }
  PrintList(answer.at("approvals"),
            {{"REQUEST", "id"},
             {"STATE", "state"},
             {"APPROVED", "count"},
             {"ASKED BY", "by"},
             {"EXPIRES", "expires"},
             {"WHAT", "summary"}},
            "nothing was asked for");
  return Ok();
}

Status RunApprovalShow(const Session& session, const Options& options) {
  SKMS_TRY(const json approval, AdminGet(session, PathOf(options["argument"].as<std::string>())));
  Show(session, approval);
  return Ok();
}

void DescribeApprovalApprove(OptionsDescription& options) {
  options.add_options()("digest", po::value<std::string>()->value_name("HEX"),
                        "of the request, as skmsctl approval show prints it: you approve exactly that");
}

Status RunApprovalApprove(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  if (options.count("digest") == 0) {
    SKMS_TRY(const json approval, AdminGet(session, PathOf(id)));
    if (!session.json) PrintApproval(approval);
    return InvalidArgument("nothing is approved yet; to approve exactly this: skmsctl approval approve " +
                           Cell(approval, "id") + " --digest " + Cell(approval, "digest"));
  }
  const json body{{"digest", options["digest"].as<std::string>()}};
  SKMS_TRY(const json approval, AdminSend(session, "POST", PathOf(id) + "/approve", body));
  Show(session, approval);
  if (!session.json && approval.at("state") == "approved")
    std::cout << "next: " << Person(approval.at("requestedBy"))
              << " types the same command again, before it expires\n";
  return Ok();
}

Status RunApprovalRefuse(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(const json seen, AdminGet(session, PathOf(id)));
  SKMS_TRY(const json approval,
           AdminSend(session, "POST", PathOf(id) + "/refuse", {{"digest", seen.at("digest")}}));
  Show(session, approval);
  return Ok();
}

Status RunApprovalWithdraw(const Session& session, const Options& options) {
  const std::string id = options["argument"].as<std::string>();
  SKMS_TRY(const json approval, AdminSend(session, "POST", PathOf(id) + "/withdraw", json::object()));
  Show(session, approval);
  return Ok();
}

}  // namespace skms::provisioning
