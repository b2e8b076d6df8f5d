#include "ratelimitd/core/sequence_memory.h"

#include <gtest/gtest.h>

#include <limits>

namespace ratelimitd {
namespace {

TEST(SequenceMemoryTest, EachNumberIsNewOnce) {
  SequenceMemory memory;
  for (uint64_t i = 1; i < 10'000; ++i) EXPECT_TRUE(memory.Add(i));
  for (uint64_t i = 1; i < 10'000; ++i) EXPECT_FALSE(memory.Add(i));
}

TEST(SequenceMemoryTest, GapsAreFilledInAnyOrder) {
  SequenceMemory memory;
  for (const uint64_t number : {5, 1, 9, 3, 4100, 6}) EXPECT_TRUE(memory.Add(number)) << number;
  for (const uint64_t number : {5, 9, 4100, 6}) EXPECT_FALSE(memory.Add(number)) << number;
}

TEST(SequenceMemoryTest, VeryOldNumbersCountAsSeen) {
  SequenceMemory memory;
  EXPECT_TRUE(memory.Add(10'000));
  EXPECT_FALSE(memory.Add(10'000 - SequenceMemory::kExact));
  EXPECT_TRUE(memory.Add(10'000 - SequenceMemory::kExact + 1));
}

TEST(SequenceMemoryTest, ZeroIsNoNumberAndTheLargestIsOne) {
  SequenceMemory memory;
  EXPECT_TRUE(memory.Add(0));
  EXPECT_TRUE(memory.Add(0));
  EXPECT_TRUE(memory.Add(std::numeric_limits<uint64_t>::max()));
  EXPECT_FALSE(memory.Add(std::numeric_limits<uint64_t>::max()));
}

TEST(SequenceMemoryTest, TheLargestMayFollowTheOneBefore) {
  constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();
  SequenceMemory memory;
  EXPECT_TRUE(memory.Add(kLargest - 2));
  EXPECT_TRUE(memory.Add(kLargest));
  EXPECT_TRUE(memory.Add(kLargest - 1));
  EXPECT_FALSE(memory.Add(kLargest - 2));
}

}  // namespace
}  // namespace ratelimitd
