#include "ratelimitd/io/status_feed.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "common/json_text.h"

namespace ratelimitd {
namespace {

// A little less than the admin server's event_interval, so that each of its rounds is a new look.
constexpr milliseconds kShortestInterval{400};
// Counts of recent calls and limits change without a word; the page also learns by this that
// somebody is there.
constexpr milliseconds kLongestInterval = std::chrono::seconds(10);

// Percent-encoding as browsers send forms. What is no such code stands for itself.
std::string DecodeFormValue(std::string_view text) {
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_code = text[i] == '%' && i + 2 < text.size() &&
                         absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) &&
                         absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]));
    if (is_code) {
      value += absl::HexStringToBytes(std::string(text.substr(i + 1, 2)));
      i += 2;
    } else {
      value += text[i] == '+' ? ' ' : text[i];
    }
  }
  return value;
}

struct Asked {
  std::string_view path;
  std::string filter;
};

Asked ParseTarget(std::string_view target) {
  const size_t mark = target.find('?');
  Asked asked{target.substr(0, mark), ""};
  std::string_view query = mark == target.npos ? "" : target.substr(mark + 1);
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(field.size() + 1, query.size()));
    if (!field.starts_with("q=")) continue;
    std::string value = DecodeFormValue(field.substr(2));
    absl::StripAsciiWhitespace(&value);
    asked.filter = common::TruncateUtf8(value, StatusFeed::kMaxFilterBytes);
  }
  return asked;
}

}  // namespace

class StatusFeed::Events final : public common::AdminEvents {
 public:
  Events(StatusFeed& feed, std::string filter) : feed_(feed), filter_(std::move(filter)) {}

  std::shared_ptr<const std::string> Next() override {
    const Shown& shown = feed_.Look(filter_);
    if (shown.event == last_) return nullptr;
    last_ = shown.event;
    return last_;
  }

 private:
  StatusFeed& feed_;
  const std::string filter_;
  std::shared_ptr<const std::string> last_;
};

StatusFeed::StatusFeed(SharedTable& table, std::function<StatusNotes()> notes,
                       StatusPageBounds bounds)
    : table_(table), notes_(std::move(notes)), bounds_(bounds) {}

std::optional<common::AdminAnswer> StatusFeed::FindPage(std::string_view target) {
  const Asked asked = ParseTarget(target);
  if (asked.path != "/" && asked.path != "/status") return std::nullopt;
  const Shown& shown = Look(asked.filter);
  return RenderStatusPage(shown.view, shown.picture);
}

std::unique_ptr<common::AdminEvents> StatusFeed::OpenEvents(std::string_view target) {
  Asked asked = ParseTarget(target);
  if (asked.path != "/status/events") return nullptr;
  return std::make_unique<Events>(*this, std::move(asked.filter));
}

void StatusFeed::MakeRoom() {
  if (shown_.size() < kMaxFilters) return;
  shown_.erase(std::min_element(shown_.begin(), shown_.end(), [](const auto& a, const auto& b) {
    return a.second.looked_at < b.second.looked_at;
  }));
}

const StatusFeed::Shown& StatusFeed::Look(const std::string& filter) {
  const common::MonotonicTime now = table_.clock().Monotonic();
  const auto known = shown_.find(filter);
  if (known == shown_.end()) MakeRoom();
  Shown& shown = known == shown_.end() ? shown_[filter] : known->second;
  if (shown.event && now - shown.looked_at < kShortestInterval) return shown;
  shown.looked_at = now;
  StatusPicture picture{
      .excerpt = {}, .notes = notes_(), .filter = filter, .now = {}, .wall = table_.clock().Wall()};
  table_.Update([&](TargetTable& table, auto next_moment) {
    const Moment moment = next_moment();
    picture.now = moment.now;
    picture.excerpt = table.Excerpt(filter, bounds_.targets, moment);
  });
  const bool is_news = !shown.event || picture.excerpt.version != shown.picture.excerpt.version ||
                       picture.notes != shown.picture.notes ||
                       now - shown.rendered_at >= kLongestInterval;
  if (!is_news) return shown;
  shown.rendered_at = now;
  shown.view = RenderStatus(picture, bounds_);
  shown.event = std::make_shared<const std::string>(RenderStatusEvent(shown.view));
  picture.excerpt.views.clear();
  shown.picture = std::move(picture);
  return shown;
}

}  // namespace ratelimitd
