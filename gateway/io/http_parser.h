// HTTP/1.1 messages off the wire, on Boost.Beast's parser: fed with bytes wherever they come from,
// so that reading is the caller's and no read is made in vain. Trailers are read and dropped: they
// are no header fields (RFC 9110 section 6.5.1). Not thread-safe.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/core/headers.h"

namespace gateway {

// What both kinds of messages share.
template <bool kIsRequest>
class MessageParser : public boost::beast::http::basic_parser<kIsRequest> {
 protected:
  explicit MessageParser(int64_t max_header_bytes);

  // As put, but stops after the head once; and the head is bounded as a whole, where Beast bounds
  // what it is given at a time.
  size_t Parse(std::string_view bytes, boost::beast::error_code& error);

  int64_t header_bytes_left_;  // of the limit; below 0 once it is passed

 private:
  void on_chunk_header_impl(std::uint64_t, boost::beast::string_view,
                            boost::beast::error_code&) final {
    has_chunk_ = true;
  }

  bool has_chunk_ = false;
};

// A client's request. Beast refuses Transfer-Encoding beside Content-Length, bad chunk sizes,
// control characters and obsolete line folding's excesses with an error of its own for each (RFC
// 9112); this refuses every transfer coding but one plain "chunked", any in HTTP/1.0, and a second
// Host.
class RequestParser final : public MessageParser<true> {
 public:
  RequestParser(int64_t max_header_bytes, int64_t max_body_bytes);

  // Parses from the front of `bytes`. Returns how many were used; `error` is need_more when a part
  // of a line is missing. Stops after the head once, so that a request can be refused before its
  // body. Empty lines before the request are used and ignored (RFC 9112 section 2.2) but count as
  // bytes of the head; while there is nothing else, got_some() is false.
  size_t Feed(std::string_view bytes, boost::beast::error_code& error);

  std::string_view method() const { return method_; }
  // Without the query, and without scheme and authority where the target has them (RFC 9112 section
  // 3.2.2).
  std::string_view path() const;
  // Only the fields the gateway reads.
  const Headers& headers() const { return headers_; }
  // 0 or 1; 1 before the request line is read.
  int http_minor() const { return http_minor_; }
  bool HasHost() const { return has_host_; }
  bool expects_continue() const { return expects_continue_; }
  const std::string& body() const { return body_; }
  // After the head: what Content-Length says; 0 without one.
  int64_t announced_body_bytes() const {
    return static_cast<int64_t>(content_length().value_or(0));
  }

 private:
  using string_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb, string_view method, string_view target,
                       int version, error_code&) override;
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(boost::beast::http::field field, string_view name, string_view value,
                     error_code&) override;
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const& length, error_code&) override;
  std::size_t on_body_impl(string_view bytes, error_code&) override;
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override;
  void on_finish_impl(error_code&) override {}

  size_t SkipEmptyLines(std::string_view bytes);

  std::string method_;
  std::string target_;
  Headers headers_;
  std::string body_;
  bool has_host_ = false;
  bool has_transfer_encoding_ = false;
  int http_minor_ = 1;
  bool expects_continue_ = false;
};

// A provider's response. The body comes out piece by piece.
class ResponseParser final : public MessageParser<false> {
 public:
  // Heads above this are refused.
  static constexpr int kMaxHeaderBytes = 64 << 10;

  ResponseParser();

  // As RequestParser::Feed, also where it stops. Body bytes are appended to `body`.
  size_t Feed(std::string_view bytes, std::string& body, boost::beast::error_code& error);

  int status() const { return status_; }
  const Headers& headers() const { return headers_; }

 private:
  using string_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb, string_view, string_view, int,
                       error_code&) override {}
  void on_response_impl(int code, string_view, int, error_code&) override { status_ = code; }
  void on_field_impl(boost::beast::http::field, string_view name, string_view value,
                     error_code&) override;
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view bytes, error_code&) override;
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override;
  void on_finish_impl(error_code&) override {}

  int status_ = 0;
  Headers headers_;
  std::string* body_ = nullptr;  // of the current Feed
};

}  // namespace gateway
