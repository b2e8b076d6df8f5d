#include "ratelimitd/io/rpc_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ratelimitd {
namespace {

constexpr char kDomain[] = "ratelimitd.candor";
constexpr std::chrono::milliseconds kRestartTakes = std::chrono::seconds(1);

}  // namespace

grpc::Status MakeRpcError(grpc::StatusCode code, std::string_view reason, std::string_view message,
                          std::chrono::milliseconds retry_delay) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kDomain);
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(std::string(message));
  status.add_details()->PackFrom(info);
  if (retry_delay.count() > 0) {
    google::rpc::RetryInfo retry;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(retry_delay);
    retry.mutable_retry_delay()->set_seconds(seconds.count());
    retry.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(std::chrono::nanoseconds(retry_delay - seconds).count()));
    status.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, status.message(), status.SerializeAsString());
}

grpc::Status DrainingError() {
  return MakeRpcError(grpc::StatusCode::UNAVAILABLE, "DRAINING",
                      "this server is shutting down; open the call elsewhere", kRestartTakes);
}

}  // namespace ratelimitd
