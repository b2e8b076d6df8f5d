#include "ratelimitd/core/state_archive.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace ratelimitd {
namespace {

using std::chrono::microseconds;

constexpr int kMaxVarintBytes = 10;
constexpr int kRealBytes = 8;
// The year 2200: beyond it, arithmetic with moments would overflow.
constexpr uint64_t kLatestMicroseconds = uint64_t{7'260'000'000} * 1'000'000;

}  // namespace

void StateWriter::Varint(uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<char>(value));
}

void StateWriter::Real(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int i = 0; i < kRealBytes; ++i) bytes_.push_back(static_cast<char>(bits >> (8 * i)));
}

void StateWriter::Time(MonotonicTime value) {
  latest_ = std::max(latest_, value);
  // Rounded up: a deadline is never earlier for another replica.
  const auto since = std::chrono::ceil<microseconds>(value.time_since_epoch());
  Varint(static_cast<uint64_t>(std::max(since, microseconds(0)).count()));
}

void StateWriter::Text(std::string_view value, size_t max_bytes) {
  value = value.substr(0, max_bytes);
  Varint(value.size());
  bytes_.append(value);
}

uint8_t StateReader::Byte() {
  if (bytes_.empty()) {
    is_sound_ = false;
    return 0;
  }
  const auto byte = static_cast<uint8_t>(bytes_.front());
  bytes_.remove_prefix(1);
  return byte;
}

uint64_t StateReader::Varint() {
  uint64_t value = 0;
  for (int i = 0; i < kMaxVarintBytes && is_sound_; ++i) {
    const uint8_t byte = Byte();
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  is_sound_ = false;
  return 0;
}

void StateReader::Real(double& value) {
  uint64_t bits = 0;
  for (int i = 0; i < kRealBytes; ++i) bits |= static_cast<uint64_t>(Byte()) << (8 * i);
  value = std::bit_cast<double>(bits);
  if (!std::isfinite(value)) is_sound_ = false;
}

void StateReader::Time(MonotonicTime& value) {
  const uint64_t since = std::min(Varint(), kLatestMicroseconds);
  value = MonotonicTime(microseconds(since));
  // The epoch means "never", whatever happened to the clock.
  if (since != 0) value += shift_;
}

void StateReader::Text(std::string& value, size_t max_bytes) {
  const uint64_t size = Varint();
  if (size > max_bytes || size > bytes_.size()) {
    is_sound_ = false;
    return;
  }
  value.assign(bytes_.substr(0, size));
  bytes_.remove_prefix(size);
}

}  // namespace ratelimitd
