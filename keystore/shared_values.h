// SharedValues: a list that several hold and nobody changes any more. A copy costs as much as a pointer.
//
// Thread-safe as far as its values are.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace skms::keystore {

template <class Value>
class SharedValues {
 public:
  SharedValues() = default;
  SharedValues(std::vector<Value> values)  // NOLINT(google-explicit-constructor): the same list, given up
      : values_(std::make_shared<const std::vector<Value>>(std::move(values))) {}

  bool empty() const { return size() == 0; }
  std::size_t size() const { return values_ ? values_->size() : 0; }
  const Value& at(std::size_t place) const { return All().at(place); }
  const Value& operator[](std::size_t place) const { return All().at(place); }
  const Value& front() const { return All().at(0); }
  auto begin() const { return All().begin(); }
  auto end() const { return All().end(); }

 private:
  const std::vector<Value>& All() const {
    static const std::vector<Value> none;
    return values_ ? *values_ : none;
  }

  std::shared_ptr<const std::vector<Value>> values_;
};

}  // namespace skms::keystore
