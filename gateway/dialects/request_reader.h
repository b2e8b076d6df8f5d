// Reads the members of a client's JSON object and remembers the first mistake in it, named by its
// place ("messages[2].content[0].type"). What was never asked for by the end is refused, so that no
// field is ignored in silence. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/outcome.h"
#include "gateway/core/small_json.h"

namespace gateway {

class RequestReader {
 public:
  // What all readers of one request share: the first failure counts, the dropped fields add up.
  struct Findings {
    std::optional<Failure> failure;
    std::vector<std::string> dropped;
  };

  // `object` and `findings` must outlive the reader. `path` is empty for the whole request. A value
  // that is no object is a failure.
  RequestReader(const Json& object, std::string path, Findings& findings);

  // Each returns nothing when the member is absent, null, or of a wrong type (a failure).
  const Json* Any(std::string_view name);
  const Json* Array(std::string_view name);
  const Json* Object(std::string_view name);
  std::optional<std::string> Text(std::string_view name);
  std::optional<bool> Flag(std::string_view name);
  std::optional<int64_t> Integer(std::string_view name, int64_t least, int64_t most);
  std::optional<double> Number(std::string_view name, double least, double most);
  // As Text and Array, but absence is a failure, too; empty then.
  std::string NeededText(std::string_view name);
  const Json* NeededArray(std::string_view name);

  // The member has no meaning for any other provider and leaving it out changes nothing that the
  // client can see: reported as dropped when present and not empty.
  void Drop(std::string_view name);
  // Reported as dropped although it is not there: what its absence means has been left out.
  void NoteDropped(std::string_view name);
  // As Drop, but not worth mentioning: it says what is the case anyway.
  void Ignore(std::string_view name) { Any(name); }
  // The member cannot be translated: a failure when present and neither null, false nor empty.
  void Refuse(std::string_view name, std::string_view why);
  // A failure at the first member that was never asked for and is neither null nor empty.
  void RefuseTheRest();

  // A failure at a member (or at the object itself when `name` is empty).
  void Fail(std::string_view name, std::string why);
  bool has_failed() const { return findings_.failure.has_value(); }

  // "messages[2].role"; "messages[2]" for an empty name.
  std::string PathOf(std::string_view name) const;
  // "messages[2].content[0]"
  std::string PathOf(std::string_view name, size_t index) const;
  Findings& findings() { return findings_; }

 private:
  const Json* OfType(std::string_view name, bool (Json::*is_type)() const noexcept,
                     std::string_view type);

  const Json& object_;
  std::string path_;
  Findings& findings_;
  std::vector<std::string> asked_;
};

}  // namespace gateway
