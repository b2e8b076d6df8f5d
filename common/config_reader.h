// Reads a YAML file strictly: every key must be asked for, every value must have the wanted type
// and range, and every complaint names file:line:column, what is wrong and the remedy (for an
// unknown key the nearest known one). All complaints of a file are collected, not only the first.
//
// Text values may hold ${NAME}: replaced by the environment variable, an error when it is not set;
// "$$" is a dollar sign. Secrets never occur in a complaint.
//
// Use: open the file, wrap the root in a ConfigObject, call Read* for each known key with the
// variable that already holds the default, then ask ConfigErrors for the status.
// Not thread-safe; meant for start and reload.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace common {

// A credential in memory. Cannot be printed by accident: no operator<<, no implicit conversion.
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

// Where a value stands, counted from 1.
struct ConfigPlace {
  std::string file;
  int line = 0;
  int column = 0;
};

// Collects complaints; keeps the first 20.
class ConfigErrors {
 public:
  void Add(const ConfigPlace& place, std::string_view message);
  bool IsEmpty() const { return messages_.empty(); }
  // OK, or InvalidArgument whose message has one complaint a line: "file:line:column: text".
  absl::Status Status() const;

 private:
  std::vector<std::string> messages_;
};

class ConfigNode;  // a YAML value and its place; copied cheaply, shares the parsed document

struct ConfigEnvironment {
  // Value of an environment variable, or nothing.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  // Content of a file (a mounted secret), at most 64 KiB, or the error.
  std::function<absl::StatusOr<std::string>(const std::string& path)> file;
};

// The process's own environment and file system.
ConfigEnvironment SystemConfigEnvironment();

// Parses `text`; `file_name` is for complaints. InvalidArgument: not YAML, a duplicate key, an
// alias or anchor bomb (more than 100,000 nodes), nested deeper than 64, larger than 4 MiB.
absl::StatusOr<ConfigNode> ParseConfig(std::string_view text, std::string file_name);

// Reads and parses. NotFound or PermissionDenied name the path.
absl::StatusOr<ConfigNode> ReadConfigFile(const std::string& path);

class ConfigNode {
 public:
  struct Data;
  explicit ConfigNode(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  const ConfigPlace& place() const;
  const Data& data() const { return *data_; }

 private:
  std::shared_ptr<const Data> data_;  // shared by all nodes of the document
};

template <typename T>
struct ConfigRange {
  T lowest;
  T highest;
};

// A mapping being read. Its destructor complains about keys that nobody asked for.
// `errors` and `environment` must outlive it.
class ConfigObject {
 public:
  // `name` tells people what is read, for instance "provider". A node that is no mapping is an
  // error and reads as an empty one.
  ConfigObject(const ConfigNode& node, std::string name, const ConfigEnvironment& environment,
               ConfigErrors& errors);
  ~ConfigObject();
  ConfigObject(const ConfigObject&) = delete;
  ConfigObject& operator=(const ConfigObject&) = delete;

  // Each leaves `value` alone when the key is absent, and complains when the value does not fit.
  void ReadString(std::string_view key, std::string& value);
  void ReadBool(std::string_view key, bool& value);
  void ReadInt(std::string_view key, int64_t& value, ConfigRange<int64_t> range);
  void ReadDouble(std::string_view key, double& value, ConfigRange<double> range);
  void ReadDuration(std::string_view key, std::chrono::milliseconds& value,
                    ConfigRange<std::chrono::milliseconds> range);
  void ReadByteSize(std::string_view key, int64_t& value, ConfigRange<int64_t> range);
  void ReadStrings(std::string_view key, std::vector<std::string>& value);
  // One of `choices`; the index of the one found goes to `value`.
  void ReadChoice(std::string_view key, const std::vector<std::string_view>& choices,
                  size_t& value);
  // Reads `key` or the file named by `key_file` (trailing newline removed); both is an error.
  // Control characters inside are an error.
  void ReadSecret(std::string_view key, Secret& value);

  // The mapping or list under `key`; nothing when absent.
  std::optional<ConfigNode> Child(std::string_view key);
  std::vector<ConfigNode> List(std::string_view key);

  // Complains when `key` is absent or null.
  void Require(std::string_view key);
  bool Has(std::string_view key) const;
  // A complaint of the caller's at the value of `key`, or at the mapping when it is absent.
  void Complain(std::string_view key, std::string_view message);

 private:
  const ConfigNode* Find(std::string_view key);

  ConfigNode node_;
  std::string name_;
  const ConfigEnvironment& environment_;
  ConfigErrors& errors_;
  std::vector<std::string> known_keys_;
};

}  // namespace common
