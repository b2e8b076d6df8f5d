#include "common/config_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "absl/status/status.h"
#include "common/concat.h"
#include "common/file_text.h"

namespace common {

struct ConfigNode::Data {
  Kind kind = Kind::kNull;
  ConfigPlace place;
  std::string text;
  bool is_quoted = false;
  std::vector<Entry> entries;
  std::vector<ConfigNode> items;
  // How many nodes this is once every alias is replaced by what it stands for, itself included.
  size_t node_count = 1;
};

ConfigNode::Kind ConfigNode::kind() const { return data_->kind; }
const ConfigPlace& ConfigNode::place() const { return data_->place; }
std::string_view ConfigNode::text() const { return data_->text; }
bool ConfigNode::IsQuoted() const { return data_->is_quoted; }
const std::vector<ConfigNode::Entry>& ConfigNode::entries() const { return data_->entries; }
const std::vector<ConfigNode>& ConfigNode::items() const { return data_->items; }

std::string RenderPlace(const ConfigPlace& place) {
  return Concat(place.file, ":", place.line, ":", place.column);
}

std::string QuoteIfShort(std::string_view text) {
  constexpr size_t kMostShownBytes = 24;
  if (text.size() <= kMostShownBytes) return Concat("\"", text, "\"");
  return Concat("a text of ", text.size(), " bytes");
}

namespace {

constexpr size_t kMaxNodes = 100'000;
constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxTextBytes = 4 * 1024 * 1024;

absl::Status Complaint(const ConfigPlace& place, std::string_view message) {
  return absl::InvalidArgumentError(Concat(RenderPlace(place), ": ", message));
}

// Builds the tree from the parser's events. After the first complaint it ignores what follows.
class TreeBuilder final : public YAML::EventHandler {
 public:
  using Data = ConfigNode::Data;
  using Kind = ConfigNode::Kind;

  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  const absl::Status& status() const { return status_; }
  ConfigNode root() const {
    return ConfigNode(root_ != nullptr ? root_ : NewData({}, Kind::kNull));
  }

  ConfigPlace PlaceOf(const YAML::Mark& mark) const {
    return {file_, mark.line + 1, mark.column + 1};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_ != nullptr) Refuse(PlaceOf(mark), "a second document; a file holds one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    AddLeaf(NewData(mark, Kind::kNull), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto data = NewData(mark, Kind::kText);
    data->text = value;
    // yaml-cpp tags plain scalars "?".
    data->is_quoted = tag != "?";
    AddLeaf(std::move(data), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (!status_.ok()) return;
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return Refuse(PlaceOf(mark), "an alias inside what it names");
    if (open_.size() + found->second.depth > kMaxDepth) return RefuseDepth(PlaceOf(mark));
    Add(found->second.data, PlaceOf(mark), found->second.depth);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(NewData(mark, Kind::kList), anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(NewData(mark, Kind::kMapping), anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A mapping or list whose end has not come yet.
  struct OpenNode {
    std::shared_ptr<Data> data;
    YAML::anchor_t anchor;
    size_t depth = 1;  // levels below and including this one
    std::optional<ConfigNode> pending_key = std::nullopt;
    std::map<std::string, int, std::less<>> key_lines = {};
  };
  struct Anchored {
    std::shared_ptr<const Data> data;
    size_t depth;
  };

  std::shared_ptr<Data> NewData(const YAML::Mark& mark, Kind kind) const {
    auto data = std::make_shared<Data>();
    data->kind = kind;
    data->place = PlaceOf(mark);
    return data;
  }

  void Refuse(const ConfigPlace& place, std::string_view message) {
    if (status_.ok()) status_ = Complaint(place, message);
  }
  void RefuseDepth(const ConfigPlace& place) {
    Refuse(place, Concat("nested deeper than ", kMaxDepth));
  }

  void Open(std::shared_ptr<Data> data, YAML::anchor_t anchor) {
    if (!status_.ok()) return;
    if (open_.size() == kMaxDepth) return RefuseDepth(data->place);
    open_.push_back({.data = std::move(data), .anchor = anchor});
  }

  void Close() {
    if (!status_.ok()) return;
    const OpenNode closed = std::move(open_.back());
    open_.pop_back();
    Remember(closed.anchor, closed.data, closed.depth);
    Add(closed.data, closed.data->place, closed.depth);
  }

  void AddLeaf(std::shared_ptr<const Data> data, YAML::anchor_t anchor) {
    if (!status_.ok()) return;
    Remember(anchor, data, 0);
    Add(data, data->place, 0);
  }

  void Remember(YAML::anchor_t anchor, std::shared_ptr<const Data> data, size_t depth) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {std::move(data), depth};
  }

  // Puts a complete node, which stands at `place`, where the next one is expected.
  void Add(std::shared_ptr<const Data> data, const ConfigPlace& place, size_t depth) {
    if (open_.empty()) {
      root_ = std::move(data);
      return;
    }
    OpenNode& parent = open_.back();
    parent.depth = std::max(parent.depth, depth + 1);
    parent.data->node_count += data->node_count;
    if (parent.data->node_count > kMaxNodes) {
      return Refuse(place, Concat("more than ", kMaxNodes, " values"));
    }
    ConfigNode node(std::move(data));
    if (parent.data->kind == Kind::kList) {
      parent.data->items.push_back(std::move(node));
    } else if (!parent.pending_key.has_value()) {
      AddKey(parent, std::move(node), place);
    } else {
      parent.data->entries.push_back({.key = std::string(parent.pending_key->text()),
                                      .key_place = parent.pending_key->place(),
                                      .value = std::move(node)});
      parent.pending_key.reset();
    }
  }

  void AddKey(OpenNode& parent, ConfigNode key, const ConfigPlace& place) {
    if (key.kind() != Kind::kText) return Refuse(place, "a key is a plain text");
    const auto [first, is_new] = parent.key_lines.emplace(key.text(), place.line);
    if (!is_new) {
      return Refuse(place, Concat("duplicate key ", QuoteIfShort(key.text()), ", first in line ",
                                  first->second));
    }
    parent.pending_key = std::move(key);
  }

  std::string file_;
  absl::Status status_;
  std::shared_ptr<const Data> root_;
  std::vector<OpenNode> open_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
};

// yaml-cpp appends pieces of the file to some messages, after a colon; they may be secret.
std::string_view WithoutQuotedText(std::string_view message) {
  return message.substr(0, message.find(':'));
}

}  // namespace

absl::StatusOr<ConfigNode> ParseConfig(std::string_view text, std::string file_name) {
  if (text.size() > kMaxTextBytes) {
    return Complaint({file_name, 1, 1}, Concat("larger than ", kMaxTextBytes, " bytes"));
  }
  TreeBuilder builder(std::move(file_name));
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (builder.status().ok() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    if (!builder.status().ok()) return builder.status();
    return Complaint(builder.PlaceOf(error.mark), WithoutQuotedText(error.msg));
  }
  if (!builder.status().ok()) return builder.status();
  return builder.root();
}

absl::StatusOr<ConfigNode> ReadConfigFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFileText(path, kMaxTextBytes);
  if (!text.ok()) return text.status();
  return ParseConfig(*text, path);
}

}  // namespace common
