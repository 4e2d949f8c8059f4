#include "api/seal/km_s.h"

#include <memory>
#include <utility>
#include <variant>

#include "api/http/negotiation.h"
#include "api/seal/key_info.h"
#include "api/seal/receipt.h"
#include "api/seal/reception.h"
#include "api/seal/val_target.h"

namespace skms::seal {
namespace {

using auth::AuthenticatedPrincipal;
using http::ProblemDetails;
using http::Request;
using http::RequestContext;
using http::Response;

/// The KeyRecords collection resource.
class KeyRecords {
 public:
  KeyRecords(std::string skms_id, ReceptionOptions options, SealDependencies dependencies)
      : skms_id_(std::move(skms_id)), reception_(std::move(options), dependencies) {}

  std::string path() const { return reception_.Path("/ss-kir/v1/key-records"); }

  Response Get(const Request& request, const RequestContext& context) {
    auto admitted = reception_.Admit(request, context);
    if (auto* answer = std::get_if<Response>(&admitted)) return std::move(*answer);
    const auto& principal = std::get<AuthenticatedPrincipal>(admitted);
    auto decoded = DecodeSelector(request.query);
    if (const auto* problem = std::get_if<ProblemDetails>(&decoded)) {
      return reception_.Refuse(*problem, principal.id, "request-invalid", context);
    }
    return Answer(request, context, principal, std::get<keystore::Selector>(decoded));
  }

 private:
  Response Answer(const Request& request, const RequestContext& context,
                  const AuthenticatedPrincipal& principal, const keystore::Selector& selector) {
    const auto& [store, authenticator, clock] = reception_.dependencies();
    // KeyStore has written the audit entry of its own decision, whichever it was.
    const auto answer = store.Deliver(RequesterOf(principal, context), selector);
    if (answer.has_error()) return Reception::Fail(answer.error(), context);

    const keystore::Service& service = *answer.value().service;
    if (!service.access.home.empty()) return reception_.Redirect(service, request);
    const std::int64_t now = clock.NowSeconds();
    const auto form = FormOf(selector, answer.value(), now);
    if (form.has_error()) return Reception::Fail(form.error(), context);
    const std::string& tag = form.value()->entity_tag();
    if (http::HasEntity(request, tag)) return http::NotModified(tag);
    Response response = http::JsonAnswer(200, form.value()->At(now));
    response.headers.Set("ETag", tag);
    AddReceipt(reception_, request, context, {&answer.value(), 1}, response);
    return response;
  }

  Result<std::shared_ptr<const ValKeyInfoForm>> FormOf(const keystore::Selector& selector,
                                                       const keystore::DeliveryAnswer& answer,
                                                       std::int64_t now) const {
    if (answer.form) {
      if (auto known = std::dynamic_pointer_cast<const ValKeyInfoForm>(answer.form->form())) return known;
    }
    SKMS_TRY(auto form, ValKeyInfoForm::Of(selector, answer, {skms_id_, reception_.options().api_root, now}));
    if (answer.form) answer.form->Put(form);
    return form;
  }

  const std::string skms_id_;
  const Reception reception_;
};

}  // namespace

void RegisterKmS(http::Api& api, const std::string& skms_id, ReceptionOptions options,
                 SealDependencies dependencies) {
  auto resource = std::make_shared<KeyRecords>(skms_id, std::move(options), dependencies);
  api.Add("GET", resource->path(),
          [resource](const Request& request, RequestContext& context, const http::PathValues&) {
            return resource->Get(request, context);
          });
}

}  // namespace skms::seal
