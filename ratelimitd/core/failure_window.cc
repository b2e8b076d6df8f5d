#include "ratelimitd/core/failure_window.h"

#include <algorithm>

namespace ratelimitd {
namespace {

milliseconds BucketWidth(milliseconds window, int buckets) {
  return std::max(milliseconds(1), window / buckets);
}

int64_t IndexAt(MonotonicTime now, milliseconds width) { return now.time_since_epoch() / width; }

}  // namespace

FailureWindow::Bucket& FailureWindow::BucketAt(MonotonicTime now, milliseconds window) {
  const int64_t index = IndexAt(now, BucketWidth(window, kBuckets));
  Bucket& bucket = buckets_[static_cast<size_t>(index % kBuckets)];
  if (bucket.index != index) bucket = Bucket{.index = index, .began = now};
  return bucket;
}

void FailureWindow::Add(Entry entry, MonotonicTime now, milliseconds window) {
  Bucket& bucket = BucketAt(now, window);
  switch (entry) {
    case Entry::kAdmission:
      ++bucket.admissions;
      ++fresh_.admissions;
      return;
    case Entry::kFailure:
      ++bucket.failures;
      ++bucket.calls;
      return;
    case Entry::kSuccess:
      ++bucket.calls;
      ++fresh_.successes;
      return;
  }
}

void FailureWindow::AddFresh(const Fresh& fresh, MonotonicTime now, milliseconds window) {
  fresh_ = fresh;
  if (fresh == Fresh()) return;
  Bucket& bucket = BucketAt(now, window);
  bucket.admissions += fresh.admissions;
  bucket.calls += fresh.successes;
}

WindowCounts FailureWindow::CountsAt(MonotonicTime now, milliseconds window) const {
  const int64_t newest = IndexAt(now, BucketWidth(window, kBuckets));
  WindowCounts counts;
  for (const Bucket& bucket : buckets_) {
    if (bucket.index < 0 || bucket.index <= newest - kBuckets || bucket.index > newest) continue;
    counts.calls += bucket.calls;
    counts.failures += bucket.failures;
    counts.admissions += bucket.admissions;
  }
  return counts;
}

double FailureWindow::AdmissionRateAt(MonotonicTime now, milliseconds window) const {
  const milliseconds width = BucketWidth(window, kBuckets);
  const int64_t newest = IndexAt(now, width);
  MonotonicTime began = now;
  for (const Bucket& bucket : buckets_) {
    if (bucket.index >= 0 && bucket.index > newest - kBuckets)
      began = std::min(began, bucket.began);
  }
  const double seconds = std::max(1.0, std::chrono::duration<double>(now - began).count());
  return static_cast<double>(CountsAt(now, window).admissions) / seconds;
}

}  // namespace ratelimitd
