// The entries of the TargetTable; for its own sources only.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimitd/core/recent_reports.h"
#include "ratelimitd/core/stable_hash.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

// What replicas call a target in their tokens.
inline uint64_t TargetId(const TargetName& name) {
  return StableHash(name.model, StableHash("\n", StableHash(name.provider)));
}

// Likewise a provider, for targets that are not remembered.
inline uint64_t ProviderId(std::string_view name) { return StableHash("\n\n", StableHash(name)); }

struct TargetTable::Provider {
  explicit Provider(std::string_view provider_name) : name(provider_name) {}

  std::string name;
  uint64_t id = 0;
  Health health{Level::kProvider};
  const HealthSettings* settings = nullptr;
  uint32_t life = 0;  // of the tokens that name it
  Order order = 1;
  std::string credential_fingerprint;
  Limits limits;
  RecentReports recent;  // shared providers only
  NameMap<std::unique_ptr<Entry>> targets;
  uint64_t seen_version = 0;
  uint64_t view_version = 0;
  bool is_touched = false;
};

struct TargetTable::Entry {
  Entry(std::string_view model_name, Provider& owner) : model(model_name), provider(owner) {}

  std::string model;
  Provider& provider;
  uint64_t id = 0;
  Health health{Level::kTarget};
  std::list<Entry*>::iterator use;
  uint64_t seen_version = 0;
  uint64_t view_version = 0;
  bool is_touched = false;
};

template <typename Key>
void TargetTable::NoteVersion(Key& key) {
  if (key.health.version() == key.seen_version) return;
  key.seen_version = key.health.version();
  key.view_version = ++view_version_;
}

}  // namespace ratelimitd
