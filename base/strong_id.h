// StrongId: a string that names one kind of thing, so that a service id cannot be passed where a user id
// belongs.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace skms {

template <class Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const StrongId&) const = default;  // NOLINT(modernize-use-nullptr): seen in <=>

 private:
  std::string value_;
};

}  // namespace skms

template <class Tag>
struct std::hash<skms::StrongId<Tag>> {
  std::size_t operator()(const skms::StrongId<Tag>& id) const noexcept {
    return std::hash<std::string>()(id.value());
  }
};
