// The status page's side of the admin server: the page, and its stream of events. One look at the
// table serves all who watch with the same filter, and there are at most two a second for it.
// Not thread-safe: used by the admin server's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/admin_server.h"
#include "ratelimitd/io/shared_table.h"
#include "ratelimitd/io/status_page.h"

namespace ratelimitd {

class StatusFeed {
 public:
  // Pictures of so many filters are kept; the one that was looked at longest ago makes room.
  static constexpr size_t kMaxFilters = 40;
  static constexpr size_t kMaxFilterBytes = 100;

  // All must outlive it; `notes` is called on the admin server's thread.
  StatusFeed(SharedTable& table, std::function<StatusNotes()> notes, StatusPageBounds bounds = {});

  // "/" and "/status", both with "?q=filter" or without.
  std::optional<common::AdminAnswer> FindPage(std::string_view target);
  // "/status/events", the same.
  std::unique_ptr<common::AdminEvents> OpenEvents(std::string_view target);

 private:
  class Events;
  struct Shown {
    common::MonotonicTime looked_at;
    common::MonotonicTime rendered_at;
    StatusPicture picture;  // without its views
    StatusView view;
    std::shared_ptr<const std::string> event;
  };

  // What is to be seen now; lives until the next call.
  const Shown& Look(const std::string& filter);
  void MakeRoom();

  SharedTable& table_;
  std::function<StatusNotes()> notes_;
  const StatusPageBounds bounds_;
  std::map<std::string, Shown> shown_;  // by filter
};

}  // namespace ratelimitd
