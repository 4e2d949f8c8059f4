#include "api/seal/key_notification.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace skms::seal {

std::string EncodeKeyNotification(const keystore::Subscription& subscription,
                                  const keystore::EventBatch& batch, const std::string& skms_id) {
  using nlohmann::json;
  json events = json::array();
  for (const keystore::KeyEvent& event : batch.events) {
    json one{{"number", event.number},
             {"event", event.event},
             {"time", event.time},
             {"service", event.selector.service.value()},
             {"scope", Name(event.selector.kind)},
             {"kid", event.kid.value()},
             {"version", event.version},
             {"state", Name(event.state)}};
    if (event.selector.kind != keystore::TargetKind::kService) one["target"] = event.selector.target;
    events.push_back(std::move(one));
  }
  return json{{"subscriptionId", subscription.id.value()}, {"skmsId", skms_id}, {"events", std::move(events)}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace skms::seal
