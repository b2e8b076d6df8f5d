// A glance at the JSON of a stream's event without parsing it: streams are long and mostly
// uneventful. Inside a JSON string the quotes would be escaped, so a hit is a member's name or a
// whole value. Pure.
#pragma once

#include <string_view>

namespace gateway {

// Whether `quoted` ("\"error\"") stands anywhere in `json`.
bool HasToken(std::string_view json, std::string_view quoted);

// What follows the first `quoted`, without white space and colon; empty when there is none.
std::string_view ValueOf(std::string_view json, std::string_view quoted);

}  // namespace gateway
