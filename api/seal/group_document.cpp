#include "api/seal/group_document.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "api/http/json.h"
#include "api/seal/seal_problem.h"
#include "base/document_sizes.h"

namespace skms::seal {
namespace {

using http::ProblemDetails;
using keystore::GroupDocument;
using keystore::GroupMember;
using keystore::TargetKind;
using nlohmann::json;

std::string Pointer(const char* list, std::size_t index) {
  return std::string("/") + list + "/" + std::to_string(index);
}

std::optional<ProblemDetails> CheckList(const json& body, const char* member, std::size_t most) {
  const std::string pointer = std::string("/") + member;
  if (!body.contains(member)) return BadParameter(kMandatoryIeMissing, pointer, "is missing");
  const json& list = body[member];
  if (!list.is_array() || list.empty() || list.size() > most)
    return BadParameter(kMandatoryIeIncorrect, pointer, "must be a list of 1 to " + std::to_string(most));
  return std::nullopt;
}

std::optional<ProblemDetails> DecodeServices(const json& body, GroupDocument& out) {
  if (auto problem = CheckList(body, "valServiceIds", keystore::kMaxGroupServices)) return problem;
  std::set<std::string> seen;
  for (const json& service : body["valServiceIds"]) {
    const std::string pointer = Pointer("valServiceIds", out.services.size());
    if (!service.is_string() ||
        keystore::CheckIdentifier("", service.get_ref<const std::string&>()).has_error())
      return BadParameter(kMandatoryIeIncorrect, pointer,
                          "must be 1 to 255 bytes of UTF-8 without control characters");
    if (!seen.insert(service.get<std::string>()).second)
      return BadParameter(kMandatoryIeIncorrect, pointer, "stands twice");
    out.services.emplace_back(service.get<std::string>());
  }
  return std::nullopt;
}

std::optional<ProblemDetails> DecodeMembers(const json& body, GroupDocument& out) {
  if (auto problem = CheckList(body, "members", keystore::kMaxGroupMembers)) return problem;
  std::set<GroupMember> seen;
  for (const json& target : body["members"]) {
    const std::string pointer = Pointer("members", out.members.size());
    const bool has_user = target.is_object() && target.contains("valUserId");
    const bool has_ue = target.is_object() && target.contains("valUeId");
    if (has_user == has_ue)
      return BadParameter(kMandatoryIeIncorrect, pointer, "must hold exactly one of valUserId and valUeId");
    const json& value = target[has_user ? "valUserId" : "valUeId"];
    if (!value.is_string() || keystore::CheckIdentifier("", value.get_ref<const std::string&>()).has_error())
      return BadParameter(kMandatoryIeIncorrect, pointer,
                          "must be 1 to 255 bytes of UTF-8 without control characters");
    GroupMember member{has_user ? TargetKind::kUser : TargetKind::kUe, value.get<std::string>()};
    if (!seen.insert(member).second) return BadParameter(kMandatoryIeIncorrect, pointer, "stands twice");
    out.members.push_back(std::move(member));
  }
  return std::nullopt;
}

json ServiceIds(const keystore::GroupRecord& record) {
  json services = json::array();
  for (const keystore::ValServiceId& service : record.services) services.push_back(service.value());
  return services;
}

}  // namespace

std::variant<GroupDocument, ProblemDetails> DecodeGroupDocument(const keystore::GroupId& id,
                                                                std::string_view body) {
  if (keystore::CheckIdentifier("", id.value()).has_error())
    return BadParameter("INVALID_MSG_FORMAT", "valGroupId",
                        "must be 1 to 255 bytes of UTF-8 without control characters");
  const auto parsed =
      http::ParseJson(body, {.max_bytes = kMaxGroupDocumentBytes, .max_depth = 16, .max_values = 50000});
  if (parsed.has_error() || !parsed.value().is_object())
    return http::Problem(400, "Bad Request",
                         "the body must be one JSON object with valServiceIds and members");
  const json& object = parsed.value();
  if (object.contains("valGroupId") && object["valGroupId"] != id.value())
    return BadParameter(kMandatoryIeIncorrect, "/valGroupId", "is another than the path's");
  GroupDocument document;
  document.id = id;
  if (auto problem = DecodeServices(object, document)) return std::move(*problem);
  if (auto problem = DecodeMembers(object, document)) return std::move(*problem);
  return document;
}

std::string EncodeGroup(const keystore::GroupView& view) {
  json members = json::array();
  for (const GroupMember& member : view.members) {
    members.push_back({{member.kind == TargetKind::kUser ? "valUserId" : "valUeId", member.id}});
  }
  return json{{"valGroupId", view.record.id.value()},
              {"valServiceIds", ServiceIds(view.record)},
              {"members", std::move(members)}}
      .dump();
}

std::string EncodeGroupChange(const keystore::GroupChanged& changed) {
  json keys = json::array();
  for (const keystore::KeyVersion& key : changed.keys) {
    keys.push_back(
        {{"valService", key.selector.service.value()}, {"kid", key.kid.value()}, {"version", key.version}});
  }
  return json{{"valGroupId", changed.record.id.value()},
              {"valServiceIds", ServiceIds(changed.record)},
              {"memberCount", changed.record.members},
              {"rekeyed", changed.rekeyed},
              {"keys", std::move(keys)}}
      .dump();
}

std::string GroupTag(const keystore::GroupRecord& record) {
  return '"' + std::to_string(record.revision) + '"';
}

std::variant<keystore::GroupPrecondition, ProblemDetails> DecodeIfMatch(const http::Request& request) {
  constexpr std::int64_t kNever = -1;
  const std::string* field = request.headers.Find("If-Match");
  if (field == nullptr) return keystore::GroupPrecondition{};
  const std::string_view tag = *field;
  const bool quoted =
      tag.size() >= 2 && tag.front() == '"' && tag.back() == '"' && tag.find('"', 1) == tag.size() - 1;
  const bool weak = tag.size() >= 4 && tag.substr(0, 3) == "W/\"" && tag.back() == '"';
  if (request.headers.Count("If-Match") > 1 || (!quoted && !weak))
    return BadParameter("INVALID_MSG_FORMAT", "If-Match",
                        "must be the one entity tag that GET or PUT answered with");
  std::int64_t revision = kNever;
  const std::string_view digits = quoted ? tag.substr(1, tag.size() - 2) : std::string_view();
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), revision);
  if (code != std::errc{} || end != digits.data() + digits.size() || revision < 0) revision = kNever;
  return keystore::GroupPrecondition{revision};
}

}  // namespace skms::seal
