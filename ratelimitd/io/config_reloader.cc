#include "ratelimitd/io/config_reloader.h"

#include <utility>

#include "absl/strings/str_join.h"

namespace ratelimitd {

using common::LogLevel;

absl::StatusOr<bool> ConfigReloader::Reload() {
  const std::lock_guard lock(mutex_);
  auto next = ReadConfig(path_);
  if (!next.ok()) {
    const std::string why(next.status().message());
    log_.Write(LogLevel::kError, "config_refused", {{"path", path_}, {"error", why}});
    metrics_.CountReload(next.status());
    return next.status();
  }
  const std::vector<std::string_view> fixed = FixedDifferences(started_, *next);
  table_.Update([&](TargetTable& table, auto) { table.Configure(InForce(next->table)); });
  current_ = *std::move(next);
  if (!fixed.empty()) {
    const auto add = [](std::string* out, std::string_view key) { out->append(key); };
    log_.Write(LogLevel::kWarning, "config_needs_restart",
               {{"path", path_}, {"keys", absl::StrJoin(fixed, ", ", add)}});
  }
  log_.Write(LogLevel::kInfo, "config_reloaded",
             {{"path", path_}, {"needs_restart", !fixed.empty()}});
  metrics_.CountReload(absl::OkStatus());
  return !fixed.empty();
}

absl::StatusOr<bool> ConfigReloader::Validate() {
  const std::lock_guard lock(mutex_);
  const auto next = ReadConfig(path_);
  if (!next.ok()) return next.status();
  return !FixedDifferences(started_, *next).empty();
}

std::string ConfigReloader::Render() {
  const std::lock_guard lock(mutex_);
  Config in_force = started_;
  in_force.table = InForce(current_.table);
  return RenderConfig(in_force);
}

// Of the table's settings, its size is fixed at the start.
TableSettings ConfigReloader::InForce(TableSettings wanted) const {
  wanted.max_targets = started_.table.max_targets;
  wanted.max_reporters = started_.table.max_reporters;
  return wanted;
}

}  // namespace ratelimitd
