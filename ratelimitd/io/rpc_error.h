// RPC errors with google.rpc.ErrorInfo, so that programs need not read their text.
#pragma once

#include <grpcpp/support/status.h>

#include <chrono>
#include <string_view>

namespace ratelimitd {

// When there may be room again for one more session or stream, where all are taken.
inline constexpr std::chrono::milliseconds kRoomInAWhile = std::chrono::seconds(5);

// `reason` is UPPER_SNAKE_CASE and stable; `message` tells people what is wrong and the remedy.
// `retry_delay`: when it may be worth another try, told as google.rpc.RetryInfo; 0: not by waiting.
grpc::Status MakeRpcError(grpc::StatusCode code, std::string_view reason, std::string_view message,
                          std::chrono::milliseconds retry_delay = std::chrono::milliseconds(0));

// UNAVAILABLE, DRAINING; with the time that a restart takes.
grpc::Status DrainingError();

}  // namespace ratelimitd
