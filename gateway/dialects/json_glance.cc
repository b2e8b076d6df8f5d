#include "gateway/dialects/json_glance.h"

#include <cstring>

#include "gateway/core/ascii.h"

namespace gateway {

namespace {

// memmem is several times faster than std::string_view's search, and takes no null pointer.
size_t Find(std::string_view json, std::string_view quoted) {
  if (json.empty()) return json.npos;
  const void* hit = memmem(json.data(), json.size(), quoted.data(), quoted.size());
  if (hit == nullptr) return json.npos;
  return static_cast<size_t>(static_cast<const char*>(hit) - json.data());
}

}  // namespace

bool HasToken(std::string_view json, std::string_view quoted) {
  return Find(json, quoted) != json.npos;
}

std::string_view ValueOf(std::string_view json, std::string_view quoted) {
  const size_t hit = Find(json, quoted);
  if (hit == json.npos) return {};
  std::string_view value = json.substr(hit + quoted.size());
  while (!value.empty() && (value.front() == ':' || IsSpace(value.front()))) value.remove_prefix(1);
  return value;
}

}  // namespace gateway
