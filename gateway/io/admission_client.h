// The gateway's side of ratelimitd's Session: the only file where gRPC's threads meet ours.
//
// One AdmissionClient per process owns the channel and one thread that waits for gRPC. Each event
// loop has an AdmissionSession with a stream of its own; what one turn of the loop asks and reports
// travels in one message. Verdicts and acknowledgements are matched by number, in whatever order
// they come.
//
// Of several ratelimitd replicas a stream has one. When that one dies, what was not answered is
// asked again through a new stream, and what was not acknowledged is reported again; gRPC's round
// robin gives the new stream another replica. So it is when one says nothing for a third of an
// ask's deadline, if there are others. And so it is every `session_age` with nothing wrong at all:
// the first stream goes to whichever replica is connected first, and no stream would ever come back
// to one that was restarted.
#pragma once

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "candor/ratelimitd/v1/admission.grpc.pb.h"
#include "common/clock.h"
#include "common/log.h"
#include "gateway/config.h"
#include "gateway/core/admission.h"
#include "gateway/core/exchange_plan.h"
#include "gateway/core/known_refusals.h"
#include "gateway/core/report_queue.h"
#include "gateway/io/deadline.h"
#include "gateway/io/metrics.h"
#include "gateway/io/one_shot.h"

namespace gateway {

// Thread-safe. Must outlive every AdmissionSession.
class AdmissionClient {
 public:
  // Why streams end is said in `log`, now and then. References must outlive the client.
  AdmissionClient(const RatelimitdConfig& config, const common::Clock& clock, common::Log& log);
  // Ends the thread. Every session must have been shut down before.
  ~AdmissionClient();

  // Streams that begin later use a connection made with this certificate; those that are open stay.
  // The target stays, too.
  void UseConfig(const RatelimitdConfig& config);

  // The host part of every reporter of this process: "hostname:pid".
  const std::string& host() const { return host_; }

 private:
  friend class AdmissionSession;
  friend class AdmissionStream;
  std::shared_ptr<candor::ratelimitd::v1::AdmissionService::Stub> stub();
  void Run();
  void OnStreamBegun();
  void OnStreamFinished(const grpc::Status& status);
  void LogFailure(const grpc::Status& status);

  const common::Clock& clock_;
  common::Log& log_;
  std::string host_;
  std::string incarnation_;  // makes reporters of a restarted process new
  grpc::CompletionQueue queue_;
  std::mutex mutex_;
  RatelimitdConfig config_;  // that stub_ was made with; guarded by mutex_
  // Shared with the streams that were begun with it. Guarded by mutex_.
  std::shared_ptr<candor::ratelimitd::v1::AdmissionService::Stub> stub_;
  std::condition_variable none_open_;
  int open_streams_ = 0;  // guarded by mutex_
  bool has_replicas_ = false;
  std::optional<common::MonotonicTime> logged_failure_at_;  // only touched on thread_
  std::thread thread_;
};

class AdmissionStream;  // one incarnation of the RPC

// What an ask says besides its targets.
struct AskDetails {
  std::string_view client_name;  // empty: the gateway is open
  int64_t cost_tokens = 0;       // an estimate
  std::chrono::milliseconds attempt_timeout{0};
  // Nobody waits for the verdict after this.
  common::MonotonicTime client_deadline = common::MonotonicTime::max();
};

// Not thread-safe: lives on `context`'s thread.
class AdmissionSession {
 public:
  // A success is news for nobody as long as its target is healthy.
  static constexpr std::chrono::milliseconds kSuccessLinger{2};

  // `index` tells the loops of this process apart. References must outlive the session.
  AdmissionSession(boost::asio::io_context& context, AdmissionClient& client,
                   const common::Clock& clock, Metrics& metrics,
                   std::shared_ptr<const Config> config, int index);
  ~AdmissionSession();

  // Opens the stream; reconnects by itself from then on.
  void Start();
  // Closes the stream after what is queued was written; asks from now on are unreachable.
  void Shutdown();
  // Announces new credentials and clients' limits.
  void UseConfig(std::shared_ptr<const Config> config);

  // Never waits longer than the configured deadline, nor than the client does.
  boost::asio::awaitable<AdmissionVerdict> Ask(const AskAction& ask, const AskDetails& details);
  // Keeps the report until it is acknowledged. A success waits a moment for company on the wire.
  void Report(AttemptReport report);

  KnownRefusals& known_refusals() { return known_refusals_; }
  bool HasPendingReports() const { return !reports_.IsEmpty(); }

 private:
  friend class AdmissionStream;

  struct PendingAsk {
    const AskAction& ask;
    OneShot<AdmissionVerdict> answer;
    common::MonotonicTime asked_at;
    AskDetails details;
  };
  struct DueAsk {
    uint64_t correlation_id = 0;
    common::MonotonicTime at;
  };
  // One whose replica is silent if it says nothing for a part of the deadline.
  struct WaitingAsk {
    uint64_t correlation_id = 0;
    common::MonotonicTime since;
  };

  bool IsAway() const;
  void StartStream();
  // Asks everything that is not answered through a new stream.
  void Switch();
  // Lets the next replica have the stream, in a moment without questions if there is one.
  void MoveOn();
  void Leave();
  void MoveOnAfter(std::chrono::milliseconds shortest);
  void SendAsk(uint64_t id, const PendingAsk& pending);
  void OnTimer();
  std::chrono::nanoseconds Patience() const;
  void OnAskLate();
  void SetTimer();
  void ScheduleFlush();
  void Flush();
  void FillHello(candor::ratelimitd::v1::SessionHello& hello) const;
  void FillReports(candor::ratelimitd::v1::SessionRequest& message);
  void OnStarted(AdmissionStream& stream);
  void OnMessage(const candor::ratelimitd::v1::SessionResponse& message);
  void OnStreamEnded(AdmissionStream& stream);
  void OnVerdict(const candor::ratelimitd::v1::Verdict& verdict);
  void OnAskDue();
  void GiveUp(uint64_t id);
  void NoteStreamLost();
  void FailAllAsks();

  boost::asio::io_context& context_;
  AdmissionClient& client_;
  const common::Clock& clock_;
  Metrics& metrics_;
  std::shared_ptr<const Config> config_;
  std::string reporter_;
  KnownRefusals known_refusals_;

  std::shared_ptr<AdmissionStream> stream_;  // shared with the operations gRPC has under way
  bool is_up_ = false;                       // the stream was accepted by the transport
  bool is_answered_ = false;                 // ratelimitd has sent something on this stream
  bool is_stopped_ = false;
  bool is_stalled_ = false;  // an ask went unanswered and nothing has come since
  int restarts_ = 0;         // streams in a row that ended without a word
  // The address of a replica that was silent, until one speaks, and how many streams in a row were
  // given up since then because they led to it again.
  std::string silent_peer_;
  int avoided_ = 0;
  common::MonotonicTime last_heard_;
  bool is_flush_scheduled_ = false;
  std::chrono::milliseconds reconnect_delay_;
  boost::asio::steady_timer reconnect_timer_;

  candor::ratelimitd::v1::SessionRequest outgoing_;
  uint64_t next_correlation_id_ = 1;
  absl::flat_hash_map<uint64_t, PendingAsk*> asks_;  // owned by the coroutines that wait
  std::deque<WaitingAsk> waiting_asks_;              // in the order of time
  std::deque<DueAsk> due_asks_;                      // likewise
  Deadline due_;

  ReportQueue reports_;
  Deadline linger_;  // of successes that wait for company

  Deadline move_on_;
  int busy_moments_ = 0;  // in which the stream was to move and an ask was under way
};

}  // namespace gateway
