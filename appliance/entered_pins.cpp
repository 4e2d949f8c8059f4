#include "appliance/entered_pins.h"

#include <algorithm>
#include <utility>

namespace skms::appliance {

std::optional<SecretBytes> EnteredPins::Keep(const std::string& label, SecretBytes pin) {
  const std::lock_guard lock(mutex_);
  std::optional<SecretBytes> former;
  if (const auto found = pins_.find(label); found != pins_.end()) former = std::move(found->second);
  pins_.insert_or_assign(label, std::move(pin));
  return former;
}

void EnteredPins::Restore(const std::string& label, std::optional<SecretBytes> former) {
  const std::lock_guard lock(mutex_);
  pins_.erase(label);
  if (former) pins_.emplace(label, std::move(*former));
}

void EnteredPins::Answered(const std::string& label, const SecretBytes& pin, bool took) {
  const std::lock_guard lock(mutex_);
  if (took) {
    refused_.erase(label);
  } else {
    refused_[label].insert(Sha256(pin.ExposeSecret()));
  }
}

Result<SecretBytes> EnteredPins::PinOf(const TokenSection& token) const {
  const std::lock_guard lock(mutex_);
  const auto typed = pins_.find(token.label);
  Result<SecretBytes> pin =
      typed != pins_.end() ? Result<SecretBytes>(typed->second.Clone()) : ReadPin(token);
  if (pin.has_error()) return pin;
  const auto refused = refused_.find(token.label);
  if (refused != refused_.end() && refused->second.count(Sha256(pin.value().ExposeSecret())) > 0) {
    return Error{ErrorCode::kPinIncorrect,
                 "the token '" + token.label +
                     "' refused this PIN before, which is not sent again; put the right one where the daemon "
                     "reads it, or give it: skmsctl unlock --label " +
                     token.label};
  }
  return pin;
}

bool StartsLocked(const Configuration& configuration) {
  return std::all_of(configuration.tokens.begin(), configuration.tokens.end(),
                     [](const TokenSection& token) { return token.attended; });
}

}  // namespace skms::appliance
