#include "api/seal/seal_x1.h"

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "api/http/json.h"
#include "api/http/negotiation.h"
#include "api/seal/group_document.h"
#include "api/seal/key_info.h"
#include "api/seal/receipt.h"
#include "api/seal/seal_problem.h"
#include "base/document_sizes.h"
#include "base/encoding.h"

namespace skms::seal {
namespace {

using http::PathValues;
using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;
using keystore::GroupId;

constexpr const char* kRekeyReason = "asked for by the group server";

class Groups {
 public:
  Groups(std::string skms_id, ReceptionOptions options, SealDependencies dependencies)
      : skms_id_(std::move(skms_id)), reception_(std::move(options), dependencies) {}

  using Action = Response (Groups::*)(const Call&);

  std::string Path(const std::string& rest) const {
    return reception_.Path("/seal-x1/v1/groups/{valGroupId}" + rest);
  }

  Response Serve(Action action, const Request& request, const RequestContext& context,
                 const PathValues& values) {
    return reception_.Serve(request, context, values, [&](const Call& call) {
      if (call.principal.role != keystore::kGroupServerRole) {
        return reception_.Refuse(
            http::Problem(403, "Forbidden", "only a group management server may do this", ""),
            call.principal.id, "not-a-group-server", context);
      }
      if (!request.query.empty()) {
        return reception_.Invalid(
            BadParameter("INVALID_QUERY_PARAM", "query", "is not known to this resource"), call);
      }
      return (this->*action)(call);
    });
  }

  Response Put(const Call& call) {
    if (!http::HasJsonBody(call.request)) return reception_.NotJson(call);
    auto document = DecodeGroupDocument(Group(call), call.request.body);
    if (const auto* problem = std::get_if<ProblemDetails>(&document))
      return reception_.Invalid(*problem, call);
    return WithPrecondition(call, [&](const keystore::GroupPrecondition& precondition) {
      auto changed = Store().PutGroup(call.by(), std::get<keystore::GroupDocument>(document), precondition);
      if (changed.has_error()) return FailedPut(changed.error(), call);
      Response response =
          http::JsonAnswer(changed.value().created ? 201 : 200, EncodeGroupChange(changed.value()));
      response.headers.Set("ETag", GroupTag(changed.value().record));
      if (changed.value().created) {
        response.headers.Set("Location", reception_.options().api_root + "/seal-x1/v1/groups/" +
                                             PercentEncode(Group(call).value()));
      }
      return response;
    });
  }

  Response Get(const Call& call) {
    const auto view = Store().ShowGroup(call.by(), Group(call));
    if (view.has_error()) return Reception::Fail(view.error(), call.context);
    const std::string tag = GroupTag(view.value().record);
    if (http::HasEntity(call.request, tag)) return http::NotModified(tag);
    Response response = http::JsonAnswer(200, EncodeGroup(view.value()));
    response.headers.Set("ETag", tag);
    return response;
  }

  Response Delete(const Call& call) {
    return WithPrecondition(call, [&](const keystore::GroupPrecondition& precondition) {
      const auto deleted = Store().DeleteGroup(call.by(), Group(call), precondition);
      if (deleted.has_error()) return Reception::Fail(deleted.error(), call.context);
      Response response;
      response.status = 204;
      return response;
    });
  }

  Response GetKeys(const Call& call) {
    const auto answers = Store().DeliverGroup(call.by(), Group(call));
    if (answers.has_error()) return Reception::Fail(answers.error(), call.context);
    const AnswerFrame frame{skms_id_, reception_.options().api_root,
                            reception_.dependencies().clock.NowSeconds()};
    nlohmann::json records = nlohmann::json::array();
    for (const keystore::DeliveryAnswer& answer : answers.value()) {
      auto key_info = EncodeKeyInfo(answer, frame);
      if (key_info.has_error()) return Reception::Fail(key_info.error(), call.context);
      const keystore::Selector selector{answer.service->id, keystore::TargetKind::kGroup,
                                        Group(call).value()};
      records.push_back({{"userUri", UserUri(selector, *answer.service, frame.api_root)},
                         {"skmsId", skms_id_},
                         {"valService", answer.service->id.value()},
                         {"keyInfo", std::move(key_info).value()}});
    }
    const nlohmann::json whole{{"valGroupId", Group(call).value()}, {"keyRecords", std::move(records)}};
    Response response = http::JsonAnswer(200, whole.dump());
    AddReceipt(reception_, call.request, call.context, answers.value(), response);
    return response;
  }

  Response Rekey(const Call& call) {
    std::string reason = kRekeyReason;
    if (!call.request.body.empty()) {
      if (!http::HasJsonBody(call.request)) return reception_.NotJson(call);
      const auto body = http::ParseJson(call.request.body);
      if (body.has_error() || !body.value().is_object()) {
        return reception_.Invalid(
            http::Problem(400, "Bad Request", "the body, if any, must be one JSON object"), call);
      }
      if (body.value().contains("reason")) {
        const nlohmann::json& given = body.value()["reason"];
        if (!given.is_string() ||
            keystore::CheckIdentifier("", given.get_ref<const std::string&>()).has_error())
          return reception_.Invalid(
              BadParameter(kOptionalIeIncorrect, "/reason", "must be 1 to 255 bytes of text"), call);
        reason = given.get<std::string>();
      }
    }
    return WithPrecondition(call, [&](const keystore::GroupPrecondition& precondition) {
      const auto changed = Store().RekeyGroup(call.by(), Group(call), reason, precondition);
      if (changed.has_error()) return Reception::Fail(changed.error(), call.context);
      Response response = http::JsonAnswer(200, EncodeGroupChange(changed.value()));
      response.headers.Set("ETag", GroupTag(changed.value().record));
      return response;
    });
  }

 private:
  keystore::KeyStore& Store() const { return reception_.dependencies().store; }

  static GroupId Group(const Call& call) { return GroupId(call.values[0]); }

  Response WithPrecondition(const Call& call,
                            const std::function<Response(const keystore::GroupPrecondition&)>& change) const {
    auto precondition = DecodeIfMatch(call.request);
    if (const auto* problem = std::get_if<ProblemDetails>(&precondition))
      return reception_.Invalid(*problem, call);
    return change(std::get<keystore::GroupPrecondition>(precondition));
  }

  /// The store's refusals of a document, in the words of the API.
  static Response FailedPut(const Error& error, const Call& call) {
    if (error.code == ErrorCode::kInvalidArgument) {
      return http::ToResponse(BadParameter(kMandatoryIeIncorrect, "/valServiceIds",
                                           "names a service that this group server may not use"),
                              call.context.request_id);
    }
    const std::string* wanted = call.request.headers.Find("If-None-Match");
    if (error.code == ErrorCode::kPreconditionRequired && wanted != nullptr && *wanted == "*")
      return Reception::Fail({ErrorCode::kPreconditionFailed, "the group is there already"}, call.context);
    return Reception::Fail(error, call.context);
  }

  const std::string skms_id_;
  const Reception reception_;
};

}  // namespace

void RegisterSealX1(http::Api& api, const std::string& skms_id, ReceptionOptions options,
                    SealDependencies dependencies) {
  auto groups = std::make_shared<Groups>(skms_id, std::move(options), dependencies);
  const auto add = [&](const char* method, const char* rest, Groups::Action action, std::size_t body = 0) {
    api.Add(method, groups->Path(rest),
            [groups, action](const Request& request, RequestContext& context, const PathValues& values) {
              return groups->Serve(action, request, context, values);
            },
            {.max_body_bytes = body});
  };
  add("PUT", "", &Groups::Put, kMaxGroupDocumentBytes);
  add("GET", "", &Groups::Get);
  add("DELETE", "", &Groups::Delete);
  add("GET", "/key-records", &Groups::GetKeys);
  add("POST", "/rekey", &Groups::Rekey);
}

}  // namespace skms::seal
