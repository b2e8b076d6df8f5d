// How fast a change reaches those who watch; prints one JSON object.
//
//   watch_bench ADDRESS WATCHERS CHANGES
//
// Each change is a report of a 429 by a provider that nobody has heard of. The figures are from its
// acknowledgement until the change has been read by one watcher, and by the last of them; they may
// be negative, since watchers need not wait for the store.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "candor/ratelimitd/v1/admission.grpc.pb.h"
#include "candor/ratelimitd/v1/provider_health.grpc.pb.h"
#include "common/clock.h"
#include "common/concat.h"

namespace {

namespace pb = candor::ratelimitd::v1;
using common::MonotonicTime;
using std::chrono::microseconds;

constexpr std::chrono::seconds kPatience{10};
const common::SystemClock kClock;

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// When watchers have read about which provider. Thread-safe.
class Arrivals {
 public:
  void Add(const std::string& provider) {
    {
      const std::lock_guard lock(mutex_);
      by_provider_[provider].push_back(kClock.Monotonic());
    }
    added_.notify_all();
  }
  // All `count` of them, or fewer when they do not come.
  std::vector<MonotonicTime> WaitFor(const std::string& provider, size_t count) {
    std::unique_lock lock(mutex_);
    added_.wait_for(lock, kPatience, [&] { return by_provider_[provider].size() >= count; });
    return by_provider_[provider];
  }

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::map<std::string, std::vector<MonotonicTime>> by_provider_;  // guarded by mutex_
};

class Watcher {
 public:
  Watcher(const std::string& address, Arrivals& arrivals)
      : stub_(pb::ProviderHealthService::NewStub(Connect(address))), arrivals_(arrivals) {
    stream_ = stub_->WatchProviders(&context_, {});
    thread_ = std::thread([this] { Run(); });
  }
  ~Watcher() {
    context_.TryCancel();
    thread_.join();
  }

 private:
  void Run() {
    pb::WatchProvidersResponse response;
    while (stream_->Read(&response)) {
      if (response.kind() == pb::WATCH_EVENT_KIND_SNAPSHOT) arrivals_.Add("snapshot");
      for (const pb::Provider& provider : response.providers()) arrivals_.Add(provider.name());
    }
    stream_->Finish();
  }

  std::unique_ptr<pb::ProviderHealthService::Stub> stub_;
  Arrivals& arrivals_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<pb::WatchProvidersResponse>> stream_;
  std::thread thread_;
};

// When the report was acknowledged.
MonotonicTime Report(pb::AdmissionService::Stub& stub, const std::string& provider) {
  pb::ReportRequest request;
  request.set_reporter("watch_bench");
  pb::AttemptReport& report = *request.mutable_report();
  report.mutable_target()->set_provider(provider);
  report.mutable_target()->set_model("model");
  report.set_kind(pb::OUTCOME_KIND_RATE_LIMITED);
  report.set_retry_after_ms(60'000);
  grpc::ClientContext context;
  pb::ReportResponse response;
  if (!stub.Report(&context, request, &response).ok()) std::exit(1);
  return kClock.Monotonic();
}

long Quantile(std::vector<microseconds>& values, double share) {
  std::sort(values.begin(), values.end());
  return static_cast<long>(
      values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))].count());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "watch_bench ADDRESS WATCHERS CHANGES\n");
    return 2;
  }
  const auto count = static_cast<size_t>(std::atoi(argv[2]));
  Arrivals arrivals;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (size_t i = 0; i < count; ++i) {
    watchers.push_back(std::make_unique<Watcher>(argv[1], arrivals));
  }
  if (arrivals.WaitFor("snapshot", count).size() < count) return 1;

  const auto stub = pb::AdmissionService::NewStub(Connect(argv[1]));
  const auto run = kClock.Wall().time_since_epoch().count();
  std::vector<microseconds> each;
  std::vector<microseconds> last;
  for (int i = 0; i < std::atoi(argv[3]); ++i) {
    const std::string provider = common::Concat("watched-", run, "-", i);
    const MonotonicTime acknowledged = Report(*stub, provider);
    const std::vector<MonotonicTime> arrived = arrivals.WaitFor(provider, count);
    if (arrived.size() < count) return 1;
    for (const MonotonicTime at : arrived) {
      each.push_back(std::chrono::duration_cast<microseconds>(at - acknowledged));
    }
    last.push_back(each.back());
  }
  std::printf(
      "{\"watchers\": %zu, \"changes\": %zu, \"each_p50_us\": %ld, \"each_p99_us\": %ld, "
      "\"last_p50_us\": %ld, \"last_p99_us\": %ld}\n",
      count, last.size(), Quantile(each, 0.5), Quantile(each, 0.99), Quantile(last, 0.5),
      Quantile(last, 0.99));
  return 0;
}
