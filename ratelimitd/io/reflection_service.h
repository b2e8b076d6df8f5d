// Server reflection (v1 and v1alpha) from the linked-in descriptors, on the server's own completion
// queues: the packaged service would add polling threads.
#pragma once

#include <string>
#include <vector>

#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "ratelimitd/io/call_queue.h"

namespace ratelimitd {

// Pure: the answer to one request. Unknown names are NOT_FOUND inside the answer, as the protocol
// wants. `Request` and `Response` are those of either version.
template <typename Request, typename Response>
void AnswerReflection(const Request& request, const std::vector<std::string>& services,
                      Response& response);

class ReflectionService {
 public:
  // `services`: full names, as list_services tells them.
  explicit ReflectionService(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::Service& v1() { return v1_; }
  grpc::Service& v1alpha() { return v1alpha_; }
  void Listen(CallQueue& queue);

 private:
  std::vector<std::string> services_;
  grpc::reflection::v1::ServerReflection::AsyncService v1_;
  grpc::reflection::v1alpha::ServerReflection::AsyncService v1alpha_;
};

}  // namespace ratelimitd
