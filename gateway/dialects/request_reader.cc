#include "gateway/dialects/request_reader.h"

#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "gateway/dialects/conversation.h"

namespace gateway {
namespace {

const Json& EmptyObject() {
  static const Json empty = Json::object();
  return empty;
}

bool SaysNothing(const Json& value) {
  return value.is_null() || (value.is_structured() && value.empty());
}

// "messages[2].content[0].x" as "messages[].content[].x", so that a long conversation makes no long
// list.
std::string WithoutIndexes(std::string_view path) {
  std::string without;
  for (const char c : path) {
    const bool is_in_brackets = !without.empty() && without.back() == '[';
    if (!is_in_brackets || c == ']') without += c;
  }
  return without;
}

bool IsOff(const Json& value) {
  return SaysNothing(value) || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_string() && value.get_ref<const std::string&>().empty());
}

}  // namespace

RequestReader::RequestReader(const Json& object, std::string path, Findings& findings)
    : object_(object.is_object() ? object : EmptyObject()),
      path_(std::move(path)),
      findings_(findings) {
  if (!object.is_object()) Fail("", "must be an object");
}

const Json* RequestReader::Any(std::string_view name) {
  asked_.emplace_back(name);
  const auto found = object_.find(asked_.back());
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json* RequestReader::OfType(std::string_view name, bool (Json::*is_type)() const noexcept,
                                  std::string_view type) {
  const Json* value = Any(name);
  if (value == nullptr || (value->*is_type)()) return value;
  Fail(name, common::Concat("must be ", type));
  return nullptr;
}

const Json* RequestReader::Array(std::string_view name) {
  return OfType(name, &Json::is_array, "an array");
}

const Json* RequestReader::Object(std::string_view name) {
  return OfType(name, &Json::is_object, "an object");
}

std::optional<std::string> RequestReader::Text(std::string_view name) {
  const Json* value = OfType(name, &Json::is_string, "a string");
  if (value == nullptr) return std::nullopt;
  return value->get<std::string>();
}

std::optional<bool> RequestReader::Flag(std::string_view name) {
  const Json* value = OfType(name, &Json::is_boolean, "true or false");
  if (value == nullptr) return std::nullopt;
  return value->get<bool>();
}

std::optional<int64_t> RequestReader::Integer(std::string_view name, int64_t least, int64_t most) {
  const Json* value = OfType(name, &Json::is_number_integer, "a whole number");
  if (value == nullptr) return std::nullopt;
  const bool is_huge = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX};
  if (!is_huge && value->get<int64_t>() >= least && value->get<int64_t>() <= most) {
    return value->get<int64_t>();
  }
  Fail(name, common::Concat("must be between ", least, " and ", most));
  return std::nullopt;
}

std::optional<double> RequestReader::Number(std::string_view name, double least, double most) {
  const Json* value = OfType(name, &Json::is_number, "a number");
  if (value == nullptr) return std::nullopt;
  const auto number = value->get<double>();
  if (number >= least && number <= most) return number;
  Fail(name, common::Concat("must be between ", Json(least).dump(), " and ", Json(most).dump()));
  return std::nullopt;
}

std::string RequestReader::NeededText(std::string_view name) {
  std::optional<std::string> text = Text(name);
  if (!text) Fail(name, "is missing");
  return std::move(text).value_or(std::string());
}

const Json* RequestReader::NeededArray(std::string_view name) {
  const Json* array = Array(name);
  if (array == nullptr) Fail(name, "is missing");
  return array;
}

void RequestReader::Drop(std::string_view name) {
  const Json* value = Any(name);
  if (value != nullptr && !SaysNothing(*value)) NoteDropped(name);
}

void RequestReader::NoteDropped(std::string_view name) {
  std::string path = WithoutIndexes(PathOf(name));
  auto& dropped = findings_.dropped;
  if (std::find(dropped.begin(), dropped.end(), path) == dropped.end()) {
    dropped.push_back(std::move(path));
  }
}

void RequestReader::Refuse(std::string_view name, std::string_view why) {
  const Json* value = Any(name);
  if (value == nullptr || IsOff(*value) || findings_.failure) return;
  findings_.failure = RefuseAt(PathOf(name), common::Concat("'", PathOf(name), "' ", why, "."));
}

void RequestReader::RefuseTheRest() {
  for (const auto& [name, value] : object_.items()) {
    if (findings_.failure) return;
    if (SaysNothing(value)) continue;
    if (std::find(asked_.begin(), asked_.end(), name) == asked_.end()) {
      Refuse(name, "cannot be translated for the provider of this model");
      if (!findings_.failure && !IsOff(value)) Fail(name, "cannot be translated");
    }
  }
}

void RequestReader::Fail(std::string_view name, std::string why) {
  if (findings_.failure) return;
  const std::string path = PathOf(name);
  findings_.failure =
      MakeFailure(FailureKind::kBadRequest,
                  common::Concat("'", path.empty() ? std::string("body") : path, "' ", why, "."));
  findings_.failure->code = why == "is missing" ? "missing_required_parameter" : "invalid_value";
  if (!path.empty()) findings_.failure->param = Json(path).dump();
}

std::string RequestReader::PathOf(std::string_view name) const {
  if (name.empty()) return path_;
  return path_.empty() ? std::string(name) : common::Concat(path_, ".", name);
}

std::string RequestReader::PathOf(std::string_view name, size_t index) const {
  return common::Concat(PathOf(name), "[", index, "]");
}

}  // namespace gateway
