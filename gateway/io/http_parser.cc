#include "gateway/io/http_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>

#include "gateway/core/ascii.h"
#include "gateway/core/request_deadline.h"

namespace gateway {
namespace {

namespace http = boost::beast::http;

// A body grows as it comes; the announced length alone earns no more memory than this.
constexpr uint64_t kMaxReservedBytes = 256 << 10;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Beast takes a coding it does not know for none, and would read the body as the next message.
bool IsChunked(boost::beast::string_view transfer_encoding) {
  return EqualsIgnoreCase(View(transfer_encoding), "chunked");
}

bool IsReadByGateway(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "authorization",    "x-api-key",         "api-key",     "content-type",
      "content-encoding", "x-request-id",      "traceparent", "tracestate",
      "anthropic-beta",   "anthropic-version", kTimeoutHeader};
  return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view known) {
    return known.size() == name.size() && EqualsIgnoreCase(known, name);
  });
}

// What is kept of a success: the rest of its fields is never looked at.
bool IsReadOfSuccess(std::string_view name) {
  const auto starts_with = [&](std::string_view prefix) {
    return EqualsIgnoreCase(name.substr(0, prefix.size()), prefix);
  };
  return starts_with("x-") || starts_with("content-") || starts_with("anthropic-") ||
         starts_with("openai-") || starts_with("request-id") || starts_with("apim-request-id");
}

}  // namespace

template <bool kIsRequest>
MessageParser<kIsRequest>::MessageParser(int64_t max_header_bytes)
    : header_bytes_left_(max_header_bytes) {
  this->header_limit(static_cast<std::uint32_t>(max_header_bytes));
}

template <bool kIsRequest>
size_t MessageParser<kIsRequest>::Parse(std::string_view bytes, boost::beast::error_code& error) {
  // Beast, once it has seen this much of an empty body, asserts that the whole rest comes at once.
  const bool is_first_chunk = this->is_header_done() && this->chunked() && !has_chunk_;
  if (is_first_chunk && bytes == "0\r\n") {
    error = http::error::need_more;
    return 0;
  }
  const bool is_in_head = !this->is_header_done();
  this->eager(!is_in_head);
  const size_t used = this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (!is_in_head) return used;
  header_bytes_left_ -= static_cast<int64_t>(used);
  const size_t unread = this->is_header_done() ? 0 : bytes.size() - used;
  const bool is_sound = !error || error == http::error::need_more;
  if (is_sound && header_bytes_left_ < static_cast<int64_t>(unread)) {
    error = http::error::header_limit;
  }
  return used;
}

RequestParser::RequestParser(int64_t max_header_bytes, int64_t max_body_bytes)
    : MessageParser(max_header_bytes) {
  body_limit(static_cast<std::uint64_t>(max_body_bytes));
}

size_t RequestParser::Feed(std::string_view bytes, boost::beast::error_code& error) {
  const size_t empty = got_some() ? 0 : SkipEmptyLines(bytes);
  bytes.remove_prefix(empty);
  if (header_bytes_left_ < 0) {
    error = http::error::header_limit;
    return empty;
  }
  if (!got_some() && (bytes.empty() || bytes == "\r")) {
    error = http::error::need_more;
    return empty;
  }
  return empty + Parse(bytes, error);
}

// RFC 9112 section 2.2: empty lines before a request are ignored. Returns their length.
size_t RequestParser::SkipEmptyLines(std::string_view bytes) {
  size_t length = 0;
  while (bytes.substr(length).starts_with("\r\n")) length += 2;
  header_bytes_left_ -= static_cast<int64_t>(length);
  return length;
}

std::string_view RequestParser::path() const {
  std::string_view path = std::string_view(target_).substr(0, target_.find('?'));
  const size_t scheme_end = path.find("://");
  if (path.starts_with('/') || scheme_end == path.npos) return path;
  path.remove_prefix(std::min(path.find('/', scheme_end + 3), path.size()));
  return path;
}

void RequestParser::on_request_impl(http::verb, string_view method, string_view target, int version,
                                    error_code&) {
  http_minor_ = version % 10;
  method_.assign(method.data(), method.size());
  target_.assign(target.data(), target.size());
}

void RequestParser::on_field_impl(http::field field, string_view name, string_view value,
                                  error_code& error) {
  if (is_header_done()) return;
  switch (field) {
    case http::field::host:
      if (has_host_) error = http::error::bad_field;
      has_host_ = true;
      return;
    case http::field::expect:
      // RFC 9110 section 10.1.1: HTTP/1.0 knows no interim responses.
      expects_continue_ = http_minor_ > 0 && EqualsIgnoreCase(View(value), "100-continue");
      return;
    case http::field::transfer_encoding:
      if (has_transfer_encoding_ || http_minor_ == 0 || !IsChunked(value)) {
        error = http::error::bad_transfer_encoding;
      }
      has_transfer_encoding_ = true;
      return;
    default:
      if (IsReadByGateway(View(name))) headers_.Add(View(name), View(value));
  }
}

void RequestParser::on_body_init_impl(boost::optional<std::uint64_t> const& length, error_code&) {
  if (length) body_.reserve(std::min(*length, kMaxReservedBytes));
}

std::size_t RequestParser::on_body_impl(string_view bytes, error_code&) {
  body_.append(bytes.data(), bytes.size());
  return bytes.size();
}

std::size_t RequestParser::on_chunk_body_impl(std::uint64_t, string_view bytes, error_code& error) {
  return on_body_impl(bytes, error);
}

ResponseParser::ResponseParser() : MessageParser(kMaxHeaderBytes) {
  body_limit(boost::none);  // The exchange counts what it keeps.
}

size_t ResponseParser::Feed(std::string_view bytes, std::string& body,
                            boost::beast::error_code& error) {
  body_ = &body;
  return Parse(bytes, error);
}

void ResponseParser::on_field_impl(http::field field, string_view name, string_view value,
                                   error_code& error) {
  if (is_header_done()) return;
  if (field == http::field::transfer_encoding && !IsChunked(value)) {
    error = http::error::bad_transfer_encoding;
    return;
  }
  if (status_ / 100 == 2 && !IsReadOfSuccess(View(name))) return;
  headers_.Add(View(name), View(value));
}

std::size_t ResponseParser::on_body_impl(string_view bytes, error_code&) {
  body_->append(bytes.data(), bytes.size());
  return bytes.size();
}

std::size_t ResponseParser::on_chunk_body_impl(std::uint64_t, string_view bytes,
                                               error_code& error) {
  return on_body_impl(bytes, error);
}

}  // namespace gateway
