#include "common/config_reader.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/concat.h"
#include "common/nearest_name.h"
#include "common/unit_text.h"

namespace common {
namespace {

constexpr size_t kMaxComplaints = 20;

// How to go on after an unknown key.
std::string Suggestion(std::string_view key, const std::vector<std::string>& known_keys) {
  if (known_keys.empty()) return "";
  const std::string nearest = NearestName(key, known_keys);
  if (!nearest.empty()) return Concat("; did you mean \"", nearest, "\"?");
  return Concat("; known are ", absl::StrJoin(known_keys, ", "));
}

// For absl::StrJoin, which takes no std::string_view by itself.
void AppendView(std::string* out, std::string_view piece) { *out += piece; }

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

template <typename T>
bool IsWithin(const T& value, const ConfigRange<T>& range) {
  return range.lowest <= value && value <= range.highest;
}

std::string OutOfRange(std::string_view shown, const auto& lowest, const auto& highest) {
  return Concat(QuoteIfShort(shown), " is out of range; ", lowest, " to ", highest, " is allowed");
}

}  // namespace

void ConfigErrors::Add(const ConfigPlace& place, std::string_view message) {
  std::string line = Concat(RenderPlace(place), ": ", message);
  if (messages_.size() == kMaxComplaints) return;
  if (std::find(messages_.begin(), messages_.end(), line) != messages_.end()) return;
  messages_.push_back(std::move(line));
}

absl::Status ConfigErrors::Status() const {
  if (messages_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(messages_, "\n"));
}

ConfigObject::ConfigObject(const ConfigNode& node, std::string name,
                           const ConfigEnvironment& environment, ConfigErrors& errors)
    : node_(node), name_(std::move(name)), environment_(environment), errors_(errors) {
  if (node_.kind() != ConfigNode::Kind::kMapping) {
    errors_.Add(node_.place(), Concat(name_, ": needs a mapping of keys to values"));
  }
}

ConfigObject::~ConfigObject() {
  for (const ConfigNode::Entry& entry : node_.entries()) {
    const bool is_known =
        std::find(known_keys_.begin(), known_keys_.end(), entry.key) != known_keys_.end();
    if (!is_known) ComplainOfUnknown(entry);
  }
}

void ConfigObject::ReadString(std::string_view key, std::string& value) {
  if (std::optional<Text> text = FindText(key)) value = std::move(text->value);
}

void ConfigObject::ReadBool(std::string_view key, bool& value) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  if (text->is_plain && text->value == "true") {
    value = true;
  } else if (text->is_plain && text->value == "false") {
    value = false;
  } else {
    Complain(key, Concat(QuoteIfShort(text->shown), " is neither true nor false"));
  }
}

void ConfigObject::ReadInt(std::string_view key, int64_t& value, ConfigRange<int64_t> range) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  int64_t number = 0;
  if (!text->is_plain || !absl::SimpleAtoi(text->value, &number)) {
    Complain(key, Concat(QuoteIfShort(text->shown), " is not a whole number"));
  } else if (!IsWithin(number, range)) {
    Complain(key, OutOfRange(text->shown, range.lowest, range.highest));
  } else {
    value = number;
  }
}

void ConfigObject::ReadDouble(std::string_view key, double& value, ConfigRange<double> range) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  double number = 0;
  if (!text->is_plain || !absl::SimpleAtod(text->value, &number) || !std::isfinite(number)) {
    Complain(key, Concat(QuoteIfShort(text->shown), " is not a number"));
  } else if (!IsWithin(number, range)) {
    Complain(key, OutOfRange(text->shown, range.lowest, range.highest));
  } else {
    value = number;
  }
}

void ConfigObject::ReadDuration(std::string_view key, std::chrono::milliseconds& value,
                                ConfigRange<std::chrono::milliseconds> range) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  const absl::StatusOr<std::chrono::milliseconds> duration = ParseDuration(text->value);
  if (!duration.ok()) {
    Complain(key, Concat(QuoteIfShort(text->shown),
                         " is no duration; write for instance 250ms, 5s, 15m or 1h30m"));
  } else if (!IsWithin(*duration, range)) {
    Complain(key,
             OutOfRange(text->shown, RenderDuration(range.lowest), RenderDuration(range.highest)));
  } else {
    value = *duration;
  }
}

void ConfigObject::ReadByteSize(std::string_view key, int64_t& value, ConfigRange<int64_t> range) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  const absl::StatusOr<int64_t> size = ParseByteSize(text->value);
  if (!size.ok()) {
    Complain(key, Concat(QuoteIfShort(text->shown),
                         " is no size; write for instance 512, 16KiB, 32MiB or 1GiB"));
  } else if (!IsWithin(*size, range)) {
    Complain(key, OutOfRange(text->shown, range.lowest, Concat(range.highest, " bytes")));
  } else {
    value = *size;
  }
}

void ConfigObject::ReadStrings(std::string_view key, std::vector<std::string>& value) {
  if (!Has(key)) {
    known_keys_.emplace_back(key);
    return;
  }
  std::vector<std::string> strings;
  for (const ConfigNode& item : List(key)) {
    if (std::optional<Text> text = ReadText(item, key)) strings.push_back(std::move(text->value));
  }
  value = std::move(strings);
}

void ConfigObject::ReadChoice(std::string_view key, const std::vector<std::string_view>& choices,
                              size_t& value) {
  const std::optional<Text> text = FindText(key);
  if (!text.has_value()) return;
  const auto found = std::find(choices.begin(), choices.end(), text->value);
  if (found == choices.end()) {
    Complain(key, Concat(QuoteIfShort(text->shown), " is none of ",
                         absl::StrJoin(choices, ", ", AppendView)));
  } else {
    value = static_cast<size_t>(found - choices.begin());
  }
}

void ConfigObject::ReadSecret(std::string_view key, Secret& value) {
  const std::string file_key = Concat(key, "_file");
  if (Has(key) && Has(file_key)) {
    Complain(file_key, Concat("give either ", key, " or ", file_key));
  }
  const std::string_view used_key = Has(file_key) ? file_key : key;
  const std::optional<std::string> in_file = FindSecretFile(file_key);
  const std::optional<std::string> in_place = FindSecretText(key);
  const std::optional<std::string>& secret = in_file.has_value() ? in_file : in_place;
  if (!secret.has_value()) return;
  if (secret->empty()) {
    Complain(used_key, "the secret is empty");
  } else if (HasControlCharacter(*secret)) {
    Complain(used_key, "the secret holds control characters");
  } else {
    value = Secret(*secret);
  }
}

std::optional<ConfigNode> ConfigObject::Child(std::string_view key) {
  const ConfigNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  return *node;
}

std::vector<ConfigNode> ConfigObject::List(std::string_view key) {
  const ConfigNode* node = Find(key);
  if (node == nullptr) return {};
  if (node->kind() != ConfigNode::Kind::kList) {
    Complain(key, "needs a list");
    return {};
  }
  return node->items();
}

void ConfigObject::Require(std::string_view key) {
  if (!Has(key)) {
    known_keys_.emplace_back(key);
    ComplainAt(node_.place(), key, "is missing");
  } else {
    Find(key);
  }
}

bool ConfigObject::Has(std::string_view key) const { return FindEntry(key) != nullptr; }

void ConfigObject::Complain(std::string_view key, std::string_view message) {
  const ConfigNode::Entry* entry = FindEntry(key);
  ComplainAt(entry == nullptr ? node_.place() : entry->value.place(), key, message);
}

const ConfigNode::Entry* ConfigObject::FindEntry(std::string_view key) const {
  for (const ConfigNode::Entry& entry : node_.entries()) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

// Marks `key` as known. Nothing when it is absent or, with a complaint, null.
const ConfigNode* ConfigObject::Find(std::string_view key) {
  known_keys_.emplace_back(key);
  const ConfigNode::Entry* entry = FindEntry(key);
  if (entry == nullptr) return nullptr;
  if (entry->value.kind() == ConfigNode::Kind::kNull) {
    ComplainAt(entry->key_place, key, "has no value; remove the key or give it one");
    return nullptr;
  }
  return &entry->value;
}

std::optional<ConfigObject::Text> ConfigObject::FindText(std::string_view key) {
  const ConfigNode* node = Find(key);
  if (node == nullptr) return std::nullopt;
  return ReadText(*node, key);
}

std::optional<ConfigObject::Text> ConfigObject::ReadText(const ConfigNode& node,
                                                         std::string_view key) {
  if (node.kind() != ConfigNode::Kind::kText) {
    ComplainAt(node.place(), key, "needs a single value, not a mapping, a list or nothing");
    return std::nullopt;
  }
  absl::StatusOr<ExpandedText> expanded = ExpandVariables(node.text(), environment_);
  if (!expanded.ok()) {
    ComplainAt(node.place(), key, std::string(expanded.status().message()));
    return std::nullopt;
  }
  return Text{.value = std::move(expanded->text),
              .shown = std::string(node.text()),
              .is_plain = !node.IsQuoted() || expanded->has_variable};
}

std::optional<std::string> ConfigObject::FindSecretText(std::string_view key) {
  std::optional<Text> text = FindText(key);
  if (!text.has_value()) return std::nullopt;
  return std::move(text->value);
}

std::optional<std::string> ConfigObject::FindSecretFile(std::string_view key) {
  const std::optional<Text> path = FindText(key);
  if (!path.has_value()) return std::nullopt;
  absl::StatusOr<std::string> content = environment_.file(path->value);
  if (!content.ok()) {
    const bool is_path = path->value.starts_with('/');
    Complain(key,
             Concat("cannot read the secret: ",
                    is_path ? content.status().message()
                            : "it has no path that begins with \"/\", and is not shown, since it "
                              "may be the secret itself"));
    return std::nullopt;
  }
  std::string_view secret = *content;
  if (secret.ends_with('\n')) secret.remove_suffix(1);
  if (secret.ends_with('\r')) secret.remove_suffix(1);
  return std::string(secret);
}

void ConfigObject::ComplainAt(const ConfigPlace& place, std::string_view key,
                              std::string_view message) {
  errors_.Add(place, Concat(name_, ".", key, ": ", message));
}

void ConfigObject::ComplainOfUnknown(const ConfigNode::Entry& entry) {
  errors_.Add(entry.key_place, Concat(name_, ": unknown key ", QuoteIfShort(entry.key),
                                      Suggestion(entry.key, known_keys_)));
}

}  // namespace common
