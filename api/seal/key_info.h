// keyInfo (TS 29.549 7.6.1.4.2.2 leaves its content to us): the JSON object of docs/wire-format.md, and
// ValKeyInfo around it.
//
// Pure functions over plain values; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "keystore/key_store.h"

namespace skms::seal {

/// Who sends the answer, and when.
struct AnswerFrame {
  std::string skms_id;
  std::string api_root;
  std::int64_t time = 0;  ///< seconds since 1970
};

/// `{"keys":[…],"payloads"?:[…],"skms":…,"time":…}`. Errors: kInternal when a version carries no material.
Result<nlohmann::json> KeyInfoObject(const keystore::DeliveryAnswer& answer, const AnswerFrame& frame);
/// The same as text. Errors: kInternal when a version carries no material.
Result<std::string> EncodeKeyInfo(const keystore::DeliveryAnswer& answer, const AnswerFrame& frame);

/// ValKeyInfo {userUri, skmsId, valService, valTgtUe, keyInfo} as text.
Result<std::string> EncodeValKeyInfo(const keystore::Selector& selector,
                                     const keystore::DeliveryAnswer& answer, const AnswerFrame& frame);

/// userUri: the user's id where it is a URI (e.g. "sip:…"), the service's own URI where one is set, else a
/// URI under our apiRoot. 29.549 makes it mandatory also for services and UEs, and says not which.
std::string UserUri(const keystore::Selector& selector, const keystore::Service& service,
                    const std::string& api_root);

/// Weak entity tag over kids, states, validity and recipients: equal while the same keys would be handed out.
std::string EntityTag(const keystore::DeliveryAnswer& answer);

/// ValKeyInfo as it goes out whenever it is asked for. Immutable; thread-safe.
class ValKeyInfoForm final : public keystore::AnswerForm {
 public:
  /// Errors: as EncodeValKeyInfo. The frame's time does not matter.
  static Result<std::shared_ptr<const ValKeyInfoForm>> Of(const keystore::Selector& selector,
                                                          const keystore::DeliveryAnswer& answer,
                                                          const AnswerFrame& frame);
  /// As EncodeValKeyInfo with this time.
  std::string At(std::int64_t time) const { return before_time_ + std::to_string(time) + after_time_; }
  const std::string& entity_tag() const { return entity_tag_; }

 private:
  std::string before_time_;
  std::string after_time_;
  std::string entity_tag_;
};

}  // namespace skms::seal
