// Takes out of a provider's words what the caller must not see: credentials, and hosts and
// addresses inside the operator's network. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// What stands in place of a removed word.
inline constexpr std::string_view kRedacted = "[redacted]";

// `text` without:
//  - any of `secrets` (those shorter than 4 bytes are ignored), of those of 16 bytes and more also
//    what begins with their first half;
//  - words that look like credentials: known prefixes ("sk-", "AIza", "hf_" ...), JSON web tokens,
//    what follows "Bearer" or "api_key=", and keys that a provider echoes half masked with "***"
//    (OpenAI: "Incorrect API key provided: sk-ab***yz");
//  - URLs and host names that point inside: private or loopback addresses, single-label hosts,
//    names under .internal, .local, .svc and the like, URLs with a port or with user information;
//  - the identifier after "projects/" (Google names the operator's project).
// Public URLs, for instance of a provider's documentation, stay.
std::string Scrub(std::string_view text, const std::vector<std::string>& secrets);

}  // namespace gateway
