// A credential in memory. Cannot be printed by accident: no operator<<, no implicit conversion.
#pragma once

#include <string>
#include <utility>

namespace common {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  const std::string& Reveal() const { return value_; }
  bool IsEmpty() const { return value_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string value_;
};

}  // namespace common
