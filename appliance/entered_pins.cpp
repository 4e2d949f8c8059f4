#include "appliance/entered_pins.h"

#include <algorithm>
#include <utility>

namespace skms::appliance {

void EnteredPins::Keep(const std::string& label, SecretBytes pin) {
  const std::lock_guard lock(mutex_);
  pins_.insert_or_assign(label, std::move(pin));
}

void EnteredPins::Forget(const std::string& label) {
  const std::lock_guard lock(mutex_);
  pins_.erase(label);
}

Result<SecretBytes> EnteredPins::PinOf(const TokenSection& token) const {
  {
    const std::lock_guard lock(mutex_);
    const auto typed = pins_.find(token.label);
    if (typed != pins_.end()) return typed->second.Clone();
  }
  return ReadPin(token);
}

bool StartsLocked(const Configuration& configuration) {
  return std::all_of(configuration.tokens.begin(), configuration.tokens.end(),
                     [](const TokenSection& token) { return token.attended; });
}

}  // namespace skms::appliance
