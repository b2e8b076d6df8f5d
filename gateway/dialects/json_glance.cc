#include "gateway/dialects/json_glance.h"

#include <cstring>

#include "gateway/core/ascii.h"

namespace gateway {

bool HasToken(std::string_view json, std::string_view quoted) {
  return memmem(json.data(), json.size(), quoted.data(), quoted.size()) != nullptr;
}

std::string_view ValueOf(std::string_view json, std::string_view quoted) {
  const void* hit = memmem(json.data(), json.size(), quoted.data(), quoted.size());
  if (hit == nullptr) return {};
  std::string_view value = json.substr(static_cast<const char*>(hit) - json.data() + quoted.size());
  while (!value.empty() && (value.front() == ':' || IsSpace(value.front()))) value.remove_prefix(1);
  return value;
}

}  // namespace gateway
