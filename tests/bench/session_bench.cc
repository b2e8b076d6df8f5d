// Asks a ratelimitd over sessions, as gateways do, and prints one JSON object.
//
//   session_bench ADDRESS full  SECONDS SESSIONS BATCH   as fast as it answers, BATCH asks a
//   message session_bench ADDRESS paced SECONDS SESSIONS RATE    RATE asks a second, a message
//   every 2 ms
//
// Each message also reports the attempts that the message before was granted. The figures are of
// asks: how many were answered a second, and how long they took (of paced ones: from when they were
// due).
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "candor/ratelimitd/v1/admission.grpc.pb.h"
#include "common/clock.h"
#include "common/concat.h"

namespace {

namespace pb = candor::ratelimitd::v1;
using std::chrono::microseconds;

constexpr int kTargets = 8;
constexpr std::chrono::milliseconds kTick{2};
const common::SystemClock kClock;

struct Options {
  std::string address;
  bool is_paced = false;
  int seconds = 0;
  int sessions = 0;
  int amount = 0;  // batch or rate
};

// One session: the asks of its messages and what became of them.
class Session {
 public:
  Session(const Options& options, int number)
      : options_(options),
        stub_(pb::AdmissionService::NewStub(
            grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Session(&context_)) {
    pb::SessionHello& hello = *message_.mutable_hello();
    hello.set_reporter(
        common::Concat("bench:", number, ":", kClock.Wall().time_since_epoch().count()));
    hello.set_host(common::Concat("bench-", number));
  }

  void Run() {
    const auto end = kClock.Monotonic() + std::chrono::seconds(options_.seconds);
    if (options_.is_paced) {
      std::thread reader([this] {
        while (Read()) {
        }
      });
      SendPaced(end);
      reader.join();
    } else {
      while (kClock.Monotonic() < end && Send(options_.amount, kClock.Monotonic()) && ReadAll()) {
      }
      stream_->WritesDone();
    }
    context_.TryCancel();
    stream_->Finish();
  }

  const std::vector<microseconds>& latencies() const { return latencies_; }

 private:
  void SendPaced(common::MonotonicTime end) {
    const int batch =
        std::max<int>(1, options_.amount / options_.sessions / (1000 / kTick.count()));
    for (auto due = kClock.Monotonic(); due < end; due += kTick) {
      std::this_thread::sleep_for(due - kClock.Monotonic());
      if (!Send(batch, due)) break;
    }
    stream_->WritesDone();
  }

  bool Send(int asks, common::MonotonicTime due) {
    {
      const std::lock_guard lock(mutex_);
      for (std::string& token : granted_) {
        pb::AttemptReport& report = *message_.add_reports();
        report.set_sequence_number(++last_sequence_);
        report.set_token(std::move(token));
        report.set_kind(pb::OUTCOME_KIND_SUCCESS);
      }
      granted_.clear();
      for (int i = 0; i < asks; ++i) {
        pb::Ask& ask = *message_.add_asks();
        ask.set_correlation_id(due_.size());
        due_.push_back(due);
        pb::Target& target = *ask.add_targets();
        target.set_provider(common::Concat("provider-", i % kTargets));
        target.set_model("model");
        ask.set_attempt_timeout_ms(60'000);
      }
    }
    const bool is_sent = stream_->Write(message_);
    message_.Clear();
    return is_sent;
  }

  bool Read() {
    if (!stream_->Read(&answer_)) return false;
    const auto now = kClock.Monotonic();
    const std::lock_guard lock(mutex_);
    for (pb::Verdict& verdict : *answer_.mutable_verdicts()) {
      latencies_.push_back(
          std::chrono::duration_cast<microseconds>(now - due_[verdict.correlation_id()]));
      if (verdict.has_grant())
        granted_.push_back(std::move(*verdict.mutable_grant()->mutable_token()));
    }
    return true;
  }

  bool ReadAll() {
    while (latencies_.size() < due_.size()) {
      if (!Read()) return false;
    }
    return true;
  }

  const Options& options_;
  std::unique_ptr<pb::AdmissionService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<pb::SessionRequest, pb::SessionResponse>> stream_;
  pb::SessionRequest message_;
  pb::SessionResponse answer_;
  uint64_t last_sequence_ = 0;
  std::mutex mutex_;
  std::vector<common::MonotonicTime> due_;  // by correlation id; guarded by mutex_ as below
  std::vector<microseconds> latencies_;
  std::vector<std::string> granted_;
};

int64_t Quantile(const std::vector<microseconds>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1));
  return sorted[index].count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "session_bench ADDRESS full|paced SECONDS SESSIONS BATCH|RATE\n");
    return 2;
  }
  const Options options{argv[1], std::string(argv[2]) == "paced", std::atoi(argv[3]),
                        std::atoi(argv[4]), std::atoi(argv[5])};
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < options.sessions; ++i) {
    sessions.push_back(std::make_unique<Session>(options, i));
  }
  std::vector<std::thread> threads;
  for (const auto& session : sessions) threads.emplace_back([&session] { session->Run(); });
  for (std::thread& thread : threads) thread.join();
  std::vector<microseconds> all;
  for (const auto& session : sessions) {
    all.insert(all.end(), session->latencies().begin(), session->latencies().end());
  }
  std::sort(all.begin(), all.end());
  std::printf("{\"asks\": %zu, \"asks_per_second\": %zu, \"p50_us\": %ld, \"p99_us\": %ld}\n",
              all.size(), all.size() / static_cast<size_t>(std::max(options.seconds, 1)),
              static_cast<long>(Quantile(all, 0.5)), static_cast<long>(Quantile(all, 0.99)));
  return all.empty() ? 1 : 0;
}
