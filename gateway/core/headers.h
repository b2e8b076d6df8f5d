// Header fields of one message, as a short list: messages have a dozen, so a search beats a map.
// Names are stored in lower case. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct HeaderField {
  std::string name;  // lower case
  std::string value;
};

class Headers {
 public:
  // `name` may be of any case.
  void Add(std::string_view name, std::string_view value);
  // The first value, or an empty view; `name` in lower case.
  std::string_view Get(std::string_view name) const;
  // How often `name` (lower case) occurs: a timing header given twice is suspect.
  int Count(std::string_view name) const;
  bool Has(std::string_view name) const { return Count(name) > 0; }
  const std::vector<HeaderField>& fields() const { return fields_; }
  void Clear() { fields_.clear(); }

 private:
  std::vector<HeaderField> fields_;
};

}  // namespace gateway
