// The clients of the admin port: their sockets, and how far each has come. Used by one thread. No
// function waits, but for a moment when the system is out of descriptors.
#pragma once

#include <poll.h>

#include <deque>
#include <memory>
#include <vector>

#include "common/admin_server.h"
#include "common/clock.h"

namespace common {

class AdminConnection;

class AdminConnections {
 public:
  // `pages` and `limits` must outlive it.
  AdminConnections(const AdminPages& pages, const AdminLimits& limits);
  // Closes all.
  ~AdminConnections();

  // Takes one client from `listen_fd`, if one waits there. The oldest makes room where a limit,
  // ours or the system's, is reached.
  void Accept(int listen_fd, MonotonicTime now);
  // Appends for each client what poll(2) shall wait for.
  void AppendWaited(std::vector<pollfd>& waited) const;
  // Goes on with those that poll(2) found ready; `polled` is what AppendWaited gave.
  void Continue(const pollfd* polled, MonotonicTime now);
  // When it is time, starts to send the streams what is new.
  void SendEvents(MonotonicTime now);
  // Closes those that are done or have used up their time.
  void CloseFinished(MonotonicTime now);
  // Until something is to be done though no client stirs; -1 when there is nothing.
  int TimeoutMs(MonotonicTime now) const;

 private:
  void MakeRoomForDescriptor();
  void CloseOldest();

  const AdminPages& pages_;
  const AdminLimits& limits_;
  std::deque<std::unique_ptr<AdminConnection>> open_;      // the oldest first
  std::vector<std::unique_ptr<AdminConnection>> streams_;  // those that were found to want events
  MonotonicTime next_events_;
};

}  // namespace common
