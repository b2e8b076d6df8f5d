// The state of the machine as bytes, so that replicas can share it: every class lists its fields
// once, in a template `Exchange(archive)`, which both a StateWriter and a StateReader carry out.
//
// Numbers are varints; moments are microseconds since the epoch of the clock that all replicas
// share. What is read came over a network: counts, lengths and moments are clamped, and what does
// not parse turns IsSound() false and reads as nothing. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"

namespace ratelimitd {

using common::MonotonicTime;

// How much is written.
enum class StateScope : uint8_t {
  kDecisive,  // what a decision of another replica depends on at once
  kWhole,     // also counts of successes and admissions, and what people see
};

class StateWriter {
 public:
  static constexpr bool kIsReader = false;

  // `layout`: which version of the bytes; see IsLayout.
  explicit StateWriter(StateScope scope, int layout = 1) : scope_(scope), layout_(layout) {}

  template <typename Integer>
  void Number(Integer value, uint64_t /*highest*/ = 0) {
    Varint(static_cast<uint64_t>(value));
  }
  template <typename Enum>
  void Choice(Enum value, Enum /*last*/) {
    Varint(static_cast<uint64_t>(value));
  }
  void Flag(bool value) { bytes_.push_back(value ? 1 : 0); }
  void Real(double value);
  void Time(MonotonicTime value);
  void Text(std::string_view value, size_t max_bytes);
  // Each item is exchanged by `each(item)`.
  template <typename Item, typename Each>
  void List(const std::vector<Item>& items, size_t /*most*/, Each each) {
    Varint(items.size());
    for (const Item& item : items) each(item);
  }
  template <typename Value, typename Each>
  void Maybe(const std::optional<Value>& value, Each each) {
    Flag(value.has_value());
    if (value) each(*value);
  }

  // A map of numbers to values, in the order of the numbers: equal maps give equal bytes.
  template <typename Map, typename Each>
  void Pairs(const Map& map, size_t /*most*/, Each each) {
    std::vector<uint64_t> keys;
    keys.reserve(map.size());
    for (const auto& [key, value] : map) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    Varint(keys.size());
    for (const uint64_t key : keys) {
      Varint(key);
      each(map.find(key)->second);
    }
  }

  bool IsWhole() const { return scope_ == StateScope::kWhole; }
  // Whether the bytes have what came with `layout`.
  bool IsLayout(int layout) const { return layout_ >= layout; }
  const std::string& bytes() const { return bytes_; }
  std::string TakeBytes() { return std::move(bytes_); }
  // The latest moment written: nothing in it matters much longer.
  MonotonicTime latest() const { return latest_; }

 private:
  void Varint(uint64_t value);

  StateScope scope_;
  int layout_;
  std::string bytes_;
  MonotonicTime latest_;
};

// Reads what a StateWriter of the whole scope wrote.
class StateReader {
 public:
  static constexpr bool kIsReader = true;

  // `bytes` must outlive it. Every moment is moved by `shift`: the shared clock was set back by
  // that much since they were written.
  StateReader(std::string_view bytes, std::chrono::microseconds shift)
      : bytes_(bytes), shift_(shift) {}
  // What the bytes themselves have told.
  void SetLayout(int layout) { layout_ = layout; }

  template <typename Integer>
  void Number(Integer& value, uint64_t highest = UINT64_MAX) {
    const uint64_t number = Varint();
    value = static_cast<Integer>(number < highest ? number : highest);
  }
  template <typename Enum>
  void Choice(Enum& value, Enum last) {
    const uint64_t number = Varint();
    if (number > static_cast<uint64_t>(last)) {
      is_sound_ = false;
      return;
    }
    value = static_cast<Enum>(number);
  }
  void Flag(bool& value) { value = Byte() != 0; }
  void Real(double& value);
  void Time(MonotonicTime& value);
  void Text(std::string& value, size_t max_bytes);
  template <typename Item, typename Each>
  void List(std::vector<Item>& items, size_t most, Each each) {
    const uint64_t count = Varint();
    items.clear();
    if (count > most) is_sound_ = false;
    for (uint64_t i = 0; i < count && is_sound_; ++i) each(items.emplace_back());
  }
  template <typename Value, typename Each>
  void Maybe(std::optional<Value>& value, Each each) {
    bool has_value = false;
    Flag(has_value);
    value.reset();
    if (has_value) each(value.emplace());
  }

  template <typename Map, typename Each>
  void Pairs(Map& map, size_t most, Each each) {
    const uint64_t count = Varint();
    map.clear();
    if (count > most) is_sound_ = false;
    for (uint64_t i = 0; i < count && is_sound_; ++i) each(map[Varint()]);
  }

  bool IsWhole() const { return true; }
  bool IsLayout(int layout) const { return layout_ >= layout; }
  bool IsSound() const { return is_sound_; }
  bool IsAtEnd() const { return bytes_.empty(); }

 private:
  uint8_t Byte();
  uint64_t Varint();

  std::string_view bytes_;
  std::chrono::microseconds shift_;
  int layout_ = 1;
  bool is_sound_ = true;
};

}  // namespace ratelimitd
