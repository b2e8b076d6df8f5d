#include "gateway/core/headers.h"

#include <algorithm>

#include "gateway/core/ascii.h"

namespace gateway {

void Headers::Add(std::string_view name, std::string_view value) {
  fields_.push_back({Lower(name), std::string(value)});
}

std::string_view Headers::Get(std::string_view name) const {
  const auto field = std::find_if(fields_.begin(), fields_.end(),
                                  [name](const HeaderField& f) { return f.name == name; });
  return field == fields_.end() ? std::string_view() : std::string_view(field->value);
}

int Headers::Count(std::string_view name) const {
  return static_cast<int>(std::count_if(fields_.begin(), fields_.end(),
                                        [name](const HeaderField& f) { return f.name == name; }));
}

}  // namespace gateway
