// Reads a YAML file strictly: every key must be asked for, every value must have the wanted type
// and range, and every complaint names file:line:column, what is wrong and the remedy (for an
// unknown key the nearest known one). All complaints of a file are collected, not only the first.
//
// Text values may hold ${NAME}: replaced by the environment variable, an error when it is not set;
// ${NAME:-text} takes the text then. "$$" is a dollar sign. A complaint quotes what the file says,
// never what a variable or a secret holds.
//
// Use: open the file, wrap the root in a ConfigObject, call Read* for each known key with the
// variable that already holds the default, then ask ConfigErrors for the status once the
// ConfigObject is gone.
// Not thread-safe; meant for start and reload.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/config_document.h"
#include "common/config_environment.h"
#include "common/secret.h"

namespace common {

// Collects complaints; keeps the first 20.
class ConfigErrors {
 public:
  // A complaint that is already there is not repeated.
  void Add(const ConfigPlace& place, std::string_view message);
  bool IsEmpty() const { return messages_.empty(); }
  // OK, or InvalidArgument whose message has one complaint a line: "file:line:column: text".
  absl::Status Status() const;

 private:
  std::vector<std::string> messages_;
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

  // Each leaves `value` alone when the key is absent, and complains when the value does not fit; a
  // key without a value (null) never fits. Numbers and booleans stand without quotes, unless they
  // come from a variable.
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
  // Reads `key` or the file named by `key_file` (trailing newline removed); both is an error, and
  // so is an empty secret. Control characters inside are an error.
  void ReadSecret(std::string_view key, Secret& value);

  // The mapping or list under `key`; nothing when absent.
  std::optional<ConfigNode> Child(std::string_view key);
  // The items of the list under `key`; none when absent.
  std::vector<ConfigNode> List(std::string_view key);

  // Complains when `key` is absent or null.
  void Require(std::string_view key);
  bool Has(std::string_view key) const;
  // A complaint of the caller's at the value of `key`, or at the mapping when it is absent.
  void Complain(std::string_view key, std::string_view message);

 private:
  // A scalar with its variables replaced.
  struct Text {
    std::string value;
    std::string shown;  // as it stands in the file, for complaints
    bool is_plain;      // stands without quotes, or comes from a variable
  };

  const ConfigNode::Entry* FindEntry(std::string_view key) const;
  const ConfigNode* Find(std::string_view key);
  std::optional<Text> FindText(std::string_view key);
  std::optional<Text> ReadText(const ConfigNode& node, std::string_view key);
  std::optional<std::string> FindSecretText(std::string_view key);
  std::optional<std::string> FindSecretFile(std::string_view key);
  void ComplainAt(const ConfigPlace& place, std::string_view key, std::string_view message);
  void ComplainOfUnknown(const ConfigNode::Entry& entry);

  ConfigNode node_;
  std::string name_;
  const ConfigEnvironment& environment_;
  ConfigErrors& errors_;
  std::vector<std::string> known_keys_;
};

}  // namespace common
