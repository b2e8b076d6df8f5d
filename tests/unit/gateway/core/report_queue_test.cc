#include "gateway/core/report_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace gateway {
namespace {

using namespace std::chrono_literals;

constexpr common::MonotonicTime kNow{1h};

class ReportQueueTest : public testing::Test {
 protected:
  void Add(int count) {
    for (int i = 0; i < count; ++i) queue_.Add({}, kNow);
  }
  std::vector<uint64_t> TakeAll() {
    std::vector<uint64_t> numbers;
    while (const ReportQueue::Pending* next = queue_.TakeUnsent()) {
      numbers.push_back(next->sequence_number);
    }
    return numbers;
  }

  ReportQueue queue_;
};

TEST_F(ReportQueueTest, EachGoesOutOnceUnderARisingNumberFromOne) {
  Add(3);
  EXPECT_EQ(TakeAll(), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_FALSE(queue_.HasUnsent());
  Add(1);
  EXPECT_EQ(TakeAll(), (std::vector<uint64_t>{4}));
}

TEST_F(ReportQueueTest, NewStreamCarriesWhatIsNotAcknowledged) {
  Add(5);
  TakeAll();
  for (const uint64_t number : {4, 1, 4, 99, 0}) queue_.OnAcknowledged(number);
  queue_.SendAllAgain();
  EXPECT_EQ(TakeAll(), (std::vector<uint64_t>{2, 3, 5}));
}

TEST_F(ReportQueueTest, EmptyOnceAllIsAcknowledgedInWhateverOrder) {
  Add(3);
  TakeAll();
  for (const uint64_t number : {3, 1, 2}) {
    EXPECT_FALSE(queue_.IsEmpty());
    queue_.OnAcknowledged(number);
  }
  EXPECT_TRUE(queue_.IsEmpty());
  queue_.SendAllAgain();
  EXPECT_EQ(queue_.TakeUnsent(), nullptr);
  Add(1);
  EXPECT_EQ(TakeAll(), (std::vector<uint64_t>{4}));
}

TEST_F(ReportQueueTest, AcknowledgedBeforeItWasSentAgainIsNotSentAgain) {
  Add(2);
  TakeAll();
  queue_.SendAllAgain();
  queue_.OnAcknowledged(1);
  EXPECT_EQ(TakeAll(), (std::vector<uint64_t>{2}));
}

TEST_F(ReportQueueTest, OldestGoesWhenThereIsNoRoom) {
  Add(ReportQueue::kMaxPending);
  queue_.OnAcknowledged(2);
  EXPECT_EQ(queue_.Add({}, kNow), ReportQueue::Added::kInPlaceOfOldest);
  EXPECT_EQ(queue_.size(), ReportQueue::kMaxPending - 1);
  EXPECT_EQ(TakeAll().front(), 3u);
  EXPECT_EQ(queue_.Add({}, kNow), ReportQueue::Added::kInFreeRoom);
}

}  // namespace
}  // namespace gateway
