// Result<T>: a value or an Error; the only way a failure crosses a function boundary in this code.
//
// Boost.Outcome with a policy that terminates when a value is read that is not there: such a read is a
// defect, and running on after it would be worse. Use SKMS_TRY(auto x, Call()) to unwrap or return the error
// unchanged.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <utility>

#include "base/error.h"

namespace skms {

template <class T>
using Result =
    BOOST_OUTCOME_V2_NAMESPACE::basic_result<T, Error, BOOST_OUTCOME_V2_NAMESPACE::policy::terminate>;

/// Success without a value, or an Error.
using Status = Result<void>;

inline Status Ok() { return BOOST_OUTCOME_V2_NAMESPACE::success(); }

}  // namespace skms

#define SKMS_CONCATENATE_INNER(a, b) a##b
#define SKMS_CONCATENATE(a, b) SKMS_CONCATENATE_INNER(a, b)
#define SKMS_TRY_INNER(temporary, declaration, ...)               \
  auto temporary = (__VA_ARGS__);                                 \
  if (temporary.has_error()) return std::move(temporary).error(); \
  declaration = std::move(temporary).value()
#define SKMS_TRYV_INNER(temporary, ...)                             \
  do {                                                              \
    auto temporary = (__VA_ARGS__);                                 \
    if (temporary.has_error()) return std::move(temporary).error(); \
  } while (false)

/// SKMS_TRY(auto value, expression): declares the value, or returns the error. Two statements: brace it after
/// `if`. (Boost 1.74 and later spell their own macro's declaration differently; ours reads the same with
/// both.)
#define SKMS_TRY(declaration, ...) \
  SKMS_TRY_INNER(SKMS_CONCATENATE(skms_try_, __COUNTER__), declaration, __VA_ARGS__)
/// SKMS_TRYV(expression): goes on, or returns the error.
#define SKMS_TRYV(...) SKMS_TRYV_INNER(SKMS_CONCATENATE(skms_try_, __COUNTER__), __VA_ARGS__)
