// AdminService on a listener's completion queues: what operators decide by hand. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "candor/ratelimitd/v1/admin.grpc.pb.h"
#include "common/log.h"
#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/durable_waiters.h"
#include "ratelimitd/io/fleet_worker.h"
#include "ratelimitd/io/provider_messages.h"
#include "ratelimitd/io/shared_table.h"
#include "ratelimitd/io/unary_call.h"

namespace ratelimitd {

enum class ReloadMode : uint8_t { kApply, kValidateOnly };

// The program's configuration, as this service may see it. Called by several threads.
struct ConfigControl {
  std::string path;
  // The one in force, in YAML, without any secret.
  std::function<std::string()> render;
  // Whether something needs a restart. Fails with what is wrong with the file.
  std::function<absl::StatusOr<bool>(ReloadMode mode)> reload;
};

// All must outlive the service.
struct AdminParts {
  SharedTable& table;
  DurableWaiters& waiters;
  FleetWorker* fleet;  // null: this ratelimitd is alone
  common::Log& log;    // gets a line for everything that is done
  ConfigControl config{};
  // Who may call: common names, or DNS names, of verified client certificates. Empty: whoever
  // reaches the listener.
  std::vector<std::string> client_names{};
};

class AdminService {
 public:
  static constexpr char kName[] = "candor.ratelimitd.v1.AdminService";

  explicit AdminService(AdminParts parts) : parts_(std::move(parts)) {}

  grpc::Service& service() { return service_; }
  void Listen(CallQueue& queue);

 private:
  // On a table whose state is that of the whole fleet. False: the key is not known.
  using Act = std::function<bool(TargetTable& table, const Moment& moment)>;

  grpc::Status Permit(const grpc::ServerContext& context) const;
  // `record` is called once `act` has been done.
  template <typename Request, typename Response>
  void Decide(const Request& request, Act act, const std::function<void()>& record,
              Response& response, const Finish& finish);
  void Override(const grpc::ServerContext& context, const pb::OverrideRequest& request,
                pb::OverrideResponse& response, const Finish& finish);
  void Reset(const grpc::ServerContext& context, const pb::ResetRequest& request,
             pb::ResetResponse& response, const Finish& finish);
  grpc::Status GetConfig(pb::GetConfigResponse& response) const;
  grpc::Status ReloadConfig(const pb::ReloadConfigRequest& request,
                            pb::ReloadConfigResponse& response) const;

  AdminParts parts_;
  pb::AdminService::AsyncService service_;
};

}  // namespace ratelimitd
