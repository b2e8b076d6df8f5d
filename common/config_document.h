// A parsed YAML file as a tree of nodes that know where they stand. Bounded: what is too large,
// too deep or too often aliased is refused while it is parsed. Nodes are immutable and may be read
// from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace common {

// Where a value stands, counted from 1.
struct ConfigPlace {
  std::string file;
  int line = 0;
  int column = 0;
};

// "gateway.yaml:3:12".
std::string RenderPlace(const ConfigPlace& place);

// A text of the file for a complaint: in quotes when it is short, else only its length. Credentials
// are long, and one that stands in the wrong place must not be told on.
std::string QuoteIfShort(std::string_view text);

// A YAML value and its place; copied cheaply, shares the parsed document.
class ConfigNode {
 public:
  enum class Kind { kNull, kText, kMapping, kList };
  struct Entry;
  struct Data;

  explicit ConfigNode(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

  Kind kind() const;
  const ConfigPlace& place() const;
  // The scalar as written, without quotes; empty for other kinds. Lives as long as the node.
  std::string_view text() const;
  // Whether the scalar stood in quotes, and so is text even if it looks like a number.
  bool IsQuoted() const;
  // Keys are unique. Empty for other kinds.
  const std::vector<Entry>& entries() const;
  const std::vector<ConfigNode>& items() const;

 private:
  std::shared_ptr<const Data> data_;  // shared by all copies and by the nodes above
};

struct ConfigNode::Entry {
  std::string key;
  ConfigPlace key_place;
  ConfigNode value;
};

// Parses `text`; `file_name` is for complaints. An empty text is a null node.
// InvalidArgument, with the place: not YAML, several documents, a duplicate key, a key that is no
// scalar, an alias inside what it names, more than 100,000 nodes (aliases count as what they stand
// for), nested deeper than 64, larger than 4 MiB.
absl::StatusOr<ConfigNode> ParseConfig(std::string_view text, std::string file_name);

// Reads and parses. NotFound or PermissionDenied name the path.
absl::StatusOr<ConfigNode> ReadConfigFile(const std::string& path);

}  // namespace common
