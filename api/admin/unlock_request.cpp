#include "api/admin/unlock_request.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "api/http/json.h"

namespace skms::admin {

Result<UnlockRequest> UnlockRequestOf(Call& call) {
  SKMS_TRY(const nlohmann::json body, http::ParseJson(call.request.body));
  BodyReader reader(body, call.invalid);
  UnlockRequest wanted;
  wanted.label = reader.Text("token", false);
  std::string pin = reader.Text("pin", true);
  if (pin.size() > kMaxPinOctets) reader.Wrong("pin", "has more than 256 octets");
  wanted.pin = SecretBytes::TakeFrom(pin);
  SKMS_TRYV(reader.Finish());
  return wanted;
}

}  // namespace skms::admin
