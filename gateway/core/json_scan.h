// Scans JSON text once without building a DOM (simdjson On-Demand), bounded in depth, and knows
// where in the text it stands. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gateway {

// Nesting above this is refused.
inline constexpr int kMaxJsonDepth = 256;

// The kind of a JSON value as an event of the scan.
enum class JsonType : uint8_t { kNull, kBoolean, kNumber, kString, kObject, kArray };

// One value as it begins. Valid during the call.
struct JsonValue {
  JsonType type = JsonType::kNull;
  std::string* text = nullptr;  // strings only: unescaped; the receiver may move it away
  double number = 0;            // numbers only; infinite when it is too large for a double
  std::string_view token = {};  // numbers only: as written
  bool boolean = false;         // booleans only
};

// Receives a scan. `depth` counts the objects and arrays around: 1 for a member of the outermost
// object. Returning false stops the scan.
class JsonReceiver {
 public:
  virtual ~JsonReceiver() = default;
  virtual bool OnKey(int depth, std::string& key) = 0;
  // A scalar, or the opening of an object or array; `end` is the offset after what was read: after
  // the closing quote of a string, after the opening bracket. Of other scalars it is where they
  // begin.
  virtual bool OnValue(int depth, const JsonValue& value, size_t end) = 0;
  // The object or array that was opened at `depth` has closed.
  virtual bool OnClose(int depth) = 0;
};

struct JsonScanResult {
  enum class Status : uint8_t { kComplete, kStopped, kTooDeep, kInvalid };
  Status status = Status::kInvalid;
  size_t error_offset = 0;  // kInvalid: about where
};

// Scans all of `text`, which must be one JSON value in valid UTF-8 with nothing after it.
JsonScanResult ScanJson(std::string_view text, JsonReceiver& receiver);

}  // namespace gateway
