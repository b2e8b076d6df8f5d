#include "ratelimitd/io/rpc_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ratelimitd {
namespace {

constexpr char kDomain[] = "ratelimitd.candor";

}  // namespace

grpc::Status MakeRpcError(grpc::StatusCode code, std::string_view reason,
                          std::string_view message) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain(kDomain);
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(std::string(message));
  status.add_details()->PackFrom(info);
  return grpc::Status(code, status.message(), status.SerializeAsString());
}

grpc::Status DrainingError() {
  return MakeRpcError(grpc::StatusCode::UNAVAILABLE, "DRAINING",
                      "this server is shutting down; open the call elsewhere");
}

}  // namespace ratelimitd
