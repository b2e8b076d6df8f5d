// One gRPC port with the services on it: all of them on the same few completion queues, one thread
// each; nothing else polls, since a thread that polls may be woken for another's socket and has to
// pass it on.
#pragma once

#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/server_certificates.h"

namespace ratelimitd {

struct ListenerSettings {
  std::string address;                         // "host:port"; port 0: a free one
  int threads = 1;                             // that serve
  ServerCertificates* certificates = nullptr;  // null: plain text; must outlive the listener
};

// All must outlive the listener.
struct ListenerServices {
  std::vector<grpc::Service*> services;
  // Begins to take the services' calls on a queue; called once for each.
  std::function<void(CallQueue& queue)> listen;
};

class GrpcListener {
 public:
  // Unavailable: the address cannot be bound; the message names it.
  static absl::StatusOr<std::unique_ptr<GrpcListener>> Start(const ListenerSettings& settings,
                                                             const ListenerServices& services);
  // Ends at once what Shutdown has left.
  ~GrpcListener();

  // "127.0.0.1:50051", with the real port.
  const std::string& address() const { return address_; }

  // Takes no more calls, waits until `deadline` for those under way, then cancels them.
  void Shutdown(common::WallTime deadline);

 private:
  GrpcListener() = default;

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::unique_ptr<CallQueue>> queues_;
};

}  // namespace ratelimitd
