// RPC errors with google.rpc.ErrorInfo, so that programs need not read their text.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

namespace ratelimitd {

// `reason` is UPPER_SNAKE_CASE and stable; `message` tells people what is wrong and the remedy.
grpc::Status MakeRpcError(grpc::StatusCode code, std::string_view reason, std::string_view message);

// UNAVAILABLE, DRAINING.
grpc::Status DrainingError();

}  // namespace ratelimitd
