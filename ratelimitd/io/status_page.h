// The status page: the table as people read it. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/admin_server.h"
#include "common/clock.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

// What the table does not know.
struct StatusNotes {
  enum class Store {
    kWorking,
    kAway,     // shared, and the last known state answers
    kFailing,  // what is learned now would be lost in a crash
  };
  std::string host;
  std::string store_kind;
  Store store = Store::kWorking;
  bool is_draining = false;
  int64_t sessions = 0;  // of gateways
  bool operator==(const StatusNotes&) const = default;
};

struct StatusPicture {
  TableExcerpt excerpt;
  StatusNotes notes;
  std::string filter;  // that the excerpt was made with
  common::MonotonicTime now;
  common::WallTime wall;  // read together with `now`
};

struct StatusPageBounds {
  size_t targets = 200;
  // A row is not begun beyond this; one has a few KiB, with the longest names and reasons 100.
  size_t bytes = 256 * 1024;
};

// A picture as HTML, in the parts that a browser replaces one by one. Every text of others in it is
// escaped.
struct StatusView {
  struct Section {
    std::string id;    // of the provider; the same in every picture
    std::string html;  // a <tbody>
  };
  int64_t now_ms = 0;             // since 1970
  std::string notice;             // what to say about the whole
  std::vector<Section> sections;  // the most serious first
};

StatusView RenderStatus(const StatusPicture& picture, const StatusPageBounds& bounds);

// The whole document, which shows the same without JavaScript, with headers that let a browser run
// and load nothing but what is in status_page.html.
common::AdminAnswer RenderStatusPage(const StatusView& view, const StatusPicture& picture);

// A server-sent event with the view, for the document's script.
std::string RenderStatusEvent(const StatusView& view);

}  // namespace ratelimitd
