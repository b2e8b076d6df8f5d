// Helps somebody who mistyped a name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace common {

// The one of `known` that `name` was probably meant to be; empty when none resembles it.
std::string NearestName(std::string_view name, const std::vector<std::string>& known);

}  // namespace common
