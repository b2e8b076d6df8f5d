// The words of providers: what each machine-readable word and each wording of an error means. Only
// tables and how to look things up in them; failure_classifier decides what outranks what. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/core/error_body.h"
#include "gateway/core/failure_kind.h"

namespace gateway {

// How much a word is worth.
enum class Strength : uint8_t {
  kDecisive,      // whatever status and wording say
  kPlain,         // unless the wording says more: providers use it for several things
  kBlamesServer,  // where no status says anything, and under a 400
  kWeak,          // only where no status says anything
};

// What the innermost word of `strength` means; nothing when no word of that strength is known.
std::optional<FailureKind> FindWord(const ErrorBody& body, Strength strength);

// Whether a spent quota is one that providers tell with another status than 429: an empty account
// (402), or a request that is refused for it (400, 403).
bool BlamesThePurse(const ErrorBody& body);

// Whether the error's own code is a word that none of the tables knows.
bool HasUnknownCode(const ErrorBody& body);

// Whether `readable`, in lower case with '_' between its parts, is one of the words.
bool HasWord(const ErrorBody& body, std::string_view readable);

// Groups of statuses under which wording is trusted to tell more than the status does.
enum StatusGroup : unsigned {
  kUnderSuccess = 1,  // 2xx: an error inside it
  kUnderBad = 2,      // 400, 404, 409, 413, 422: said to be the request's fault
  kUnderDenied = 4,   // 401, 402, 403
  kUnderTooMany = 8,  // 429
  kUnderServer = 16,  // 5xx, 408, 424, 499
  kUnderAny = 31,
};

StatusGroup GroupOf(int status);

// What the wording means under a status of `group`. `text` in lower case.
std::optional<FailureKind> FindWording(std::string_view text, StatusGroup group);

// A status quoted in a message: "error code: 524", "responded with status 429". `text` in lower
// case.
std::optional<int> FindStatus(std::string_view text);

}  // namespace gateway
