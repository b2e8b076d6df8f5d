#include "gateway/core/scrubber.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "gateway/core/ascii.h"

namespace gateway {
namespace {

constexpr size_t kShortestSecret = 4;
constexpr size_t kLongSecret = 16;
// Shorter than any real credential behind these prefixes, longer than the prefix as a mere word.
constexpr size_t kShortestKey = 12;

constexpr std::array<std::string_view, 15> kKeyPrefixes = {
    "sk-",   "sk_", "pk-",    "rk-",   "gsk_", "xai-", "AIza", "hf_",
    "ya29.", "r8_", "nvapi-", "pplx-", "fw_",  "AKIA", "eyJ"};

constexpr std::array<std::string_view, 9> kInsideSuffixes = {
    ".internal", ".local", ".localdomain", ".lan",   ".corp",
    ".intranet", ".svc",   ".home.arpa",   ".consul"};

// Names of fields whose value is a credential or an address of the operator's.
constexpr std::array<std::string_view, 7> kTellingNames = {
    "api_key", "api-key", "apikey", "x-api-key", "access_token", "api_base", "base_url"};

bool IsWordByte(char c) {
  return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.' || c == '*' || c == '~' || c == '+';
}

bool IsUrlByte(char c) {
  return c > ' ' && c <= '~' && c != '"' && c != '\'' && c != '<' && c != '>' && c != '`' &&
         c != ')' && c != '}' && c != '\\';
}

// The four numbers of a dotted IPv4 address, or nothing.
std::optional<std::array<int, 4>> ParseIpv4(std::string_view host) {
  std::array<int, 4> bytes{};
  const char* at = host.data();
  const char* const end = at + host.size();
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return std::nullopt;
    const auto [next, error] = std::from_chars(at, end, bytes[i]);
    if (error != std::errc() || bytes[i] < 0 || bytes[i] > 255) return std::nullopt;
    at = next;
  }
  if (at != end) return std::nullopt;
  return bytes;
}

// RFC 1918, loopback, link-local, "this host" and the shared space of RFC 6598.
bool IsPrivateAddress(std::string_view host) {
  const auto address = ParseIpv4(host);
  if (!address) return false;
  const auto [a, b, c, d] = *address;
  return a == 10 || a == 127 || a == 0 || (a == 192 && b == 168) || (a == 169 && b == 254) ||
         (a == 172 && b >= 16 && b <= 31) || (a == 100 && b >= 64 && b <= 127);
}

bool HasInsideSuffix(std::string_view host) {
  const std::string lower = Lower(host);
  if (Contains(lower, ".svc.")) return true;
  return std::any_of(kInsideSuffixes.begin(), kInsideSuffixes.end(),
                     [&](std::string_view suffix) { return lower.ends_with(suffix); });
}

// `url` with its scheme.
bool PointsInside(std::string_view url) {
  std::string_view rest = url.substr(url.find("://") + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (rest.find('@') != std::string_view::npos) return true;
  if (rest.find(':') != std::string_view::npos) return true;  // A port, or an IPv6 address.
  return rest.find('.') == std::string_view::npos || IsPrivateAddress(rest) ||
         HasInsideSuffix(rest);
}

bool LooksLikeCredential(std::string_view word) {
  if (Contains(word, "***")) return true;
  if (word.size() < kShortestKey) return false;
  return std::any_of(kKeyPrefixes.begin(), kKeyPrefixes.end(),
                     [&](std::string_view prefix) { return word.starts_with(prefix); });
}

bool IsInsideHost(std::string_view word) {
  return IsPrivateAddress(word) || HasInsideSuffix(word) || EqualsIgnoreCase(word, "localhost");
}

bool IsTellingName(std::string_view word) {
  return std::any_of(kTellingNames.begin(), kTellingNames.end(),
                     [&](std::string_view name) { return EqualsIgnoreCase(word, name); });
}

// Reads words and URLs one after another and copies what may be seen.
class WordScrubber {
 public:
  explicit WordScrubber(std::string_view text) : text_(text) { out_.reserve(text.size()); }

  std::string Run() {
    while (at_ < text_.size()) {
      if (!IsWordByte(text_[at_])) {
        out_ += text_[at_++];
      } else {
        TakeWord();
      }
    }
    return std::move(out_);
  }

 private:
  void TakeWord() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsWordByte(text_[at_])) ++at_;
    std::string_view word = text_.substr(begin, at_ - begin);
    if (text_.substr(at_).starts_with("://")) return TakeUrl(begin);
    // A full stop after a word ends the sentence, not the word.
    while (word.size() > 1 && word.back() == '.') {
      word.remove_suffix(1);
      --at_;
    }
    if (EqualsIgnoreCase(word, "Bearer")) return TakeBearer(word);
    if (IsTellingName(word) && TakeAssignment(word)) return;
    if (word == "projects" && TakeProject()) return;
    if (LooksLikeCredential(word)) {
      out_ += kRedacted;
    } else if (IsInsideHost(word)) {
      out_ += kRedacted;
      SkipPort();
    } else {
      out_ += word;
    }
  }

  void TakeUrl(size_t begin) {
    while (at_ < text_.size() && IsUrlByte(text_[at_])) ++at_;
    std::string_view url = text_.substr(begin, at_ - begin);
    if (PointsInside(url)) {
      out_ += kRedacted;
      return;
    }
    // The path and query are read on as words: they may hold a key, "...?key=AIza...".
    const size_t host_end = url.find_first_of("/?#", url.find("://") + 3);
    if (host_end != std::string_view::npos) at_ = begin + host_end;
    out_ += text_.substr(begin, at_ - begin);
  }

  // "Bearer <token>"; the word alone, as in "Bearer authentication is needed", is no secret.
  void TakeBearer(std::string_view word) {
    out_ += word;
    const size_t token = text_.find_first_not_of(' ', at_);
    if (token == at_ || token == std::string_view::npos) return;
    size_t end = token;
    bool has_digit = false;
    while (end < text_.size() &&
           (IsWordByte(text_[end]) || text_[end] == '/' || text_[end] == '=')) {
      has_digit |= IsDigit(text_[end++]);
    }
    if (end - token < 8 || !has_digit) return;
    out_ += " ";
    out_ += kRedacted;
    at_ = end;
  }

  // name=value or name: value, also with quotes around.
  bool TakeAssignment(std::string_view name) {
    size_t at = at_;
    while (at < text_.size() && (text_[at] == '"' || text_[at] == '\'')) ++at;
    if (at == text_.size() || (text_[at] != '=' && text_[at] != ':')) return false;
    const size_t value = text_.find_first_not_of(" \"'", at + 1);
    if (value == std::string_view::npos) return false;
    out_ += name;
    out_ += text_.substr(at_, value - at_);
    out_ += kRedacted;
    at_ = value;
    while (at_ < text_.size() && IsUrlByte(text_[at_]) && text_[at_] != ',') ++at_;
    return true;
  }

  bool TakeProject() {
    if (at_ == text_.size() || text_[at_] != '/') return false;
    size_t end = at_ + 1;
    while (end < text_.size() && IsWordByte(text_[end])) ++end;
    out_ += "projects/";
    out_ += kRedacted;
    at_ = end;
    return true;
  }

  void SkipPort() {
    if (at_ + 1 >= text_.size() || text_[at_] != ':') return;
    size_t end = at_ + 1;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    if (end > at_ + 1) at_ = end;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string out_;
};

// By what a secret is known: a long one by its first half, since providers also echo keys cut
// short.
std::string_view TellingPart(std::string_view secret) {
  return secret.size() < kLongSecret ? secret : secret.substr(0, (secret.size() + 1) / 2);
}

size_t SharedLength(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

// How much of the beginning of `text` is one of the secrets. Keys may begin alike: the one that
// goes furthest counts, or the end of the others would stay.
size_t SecretLength(std::string_view text, const std::vector<std::string>& secrets) {
  size_t length = 0;
  for (const std::string& secret : secrets) length = std::max(length, SharedLength(text, secret));
  return length;
}

std::string Replace(std::string_view text, std::string_view part,
                    const std::vector<std::string>& secrets) {
  std::string out;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part)) {
    out.append(text.substr(0, at)).append(kRedacted);
    text.remove_prefix(at);
    text.remove_prefix(SecretLength(text, secrets));
  }
  return out.append(text);
}

std::string RemoveSecrets(std::string_view text, const std::vector<std::string>& secrets) {
  // A shorter one may stand inside a longer one, which would not be known any more without it.
  std::vector<std::string_view> longest_first(secrets.begin(), secrets.end());
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [](std::string_view a, std::string_view b) { return a.size() > b.size(); });
  std::string out(text);
  for (const std::string_view secret : longest_first) {
    const bool is_there = secret.size() >= kShortestSecret && Contains(out, TellingPart(secret));
    if (is_there) out = Replace(out, TellingPart(secret), secrets);
  }
  return out;
}

}  // namespace

std::string Scrub(std::string_view text, const std::vector<std::string>& secrets) {
  return WordScrubber(RemoveSecrets(text, secrets)).Run();
}

}  // namespace gateway
