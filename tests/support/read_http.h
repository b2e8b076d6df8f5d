// Reads an HTTP message cut into pieces, as the gateway's connections do. For unit tests and
// fuzzers, which judge the result.
#pragma once

#include <boost/beast/http/error.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/io/http_parser.h"

namespace candor_test {

struct HttpResult {
  std::string error;  // empty: none
  std::string head;   // what was understood of it, as text
  std::string body;
  std::string unread;  // what may belong to the next message
  bool has_started = false;
  bool is_done = false;
  bool operator==(const HttpResult&) const = default;
};

// Feeds `feed(bytes, error)` until the message is done, wrong or at its end.
template <typename Parser, typename Feed>
HttpResult FeedHttp(const std::vector<std::string_view>& pieces, const Parser& parser, Feed feed) {
  HttpResult result;
  std::string& waiting = result.unread;
  for (const std::string_view piece : pieces) {
    waiting += piece;
    boost::beast::error_code error;
    while (!parser.is_done() && !waiting.empty() && !error && result.error.empty()) {
      waiting.erase(0, feed(waiting, error));
    }
    if (error && error != boost::beast::http::error::need_more && result.error.empty()) {
      result.error = error.message();
    }
  }
  result.has_started = parser.got_some();
  result.is_done = parser.is_done() && result.error.empty();
  return result;
}

inline void DescribeHeaders(const gateway::Headers& headers, std::string& head) {
  for (const gateway::HeaderField& field : headers.fields()) {
    head += "\n" + field.name + ": " + field.value;
  }
}

inline HttpResult ReadRequest(const std::vector<std::string_view>& pieces,
                              int64_t max_header_bytes = 1 << 10,
                              int64_t max_body_bytes = 1 << 10) {
  gateway::RequestParser parser(max_header_bytes, max_body_bytes);
  HttpResult result = FeedHttp(pieces, parser, [&](std::string_view bytes, auto& error) {
    return parser.Feed(bytes, error);
  });
  result.body = parser.body();
  if (!parser.is_header_done()) return result;
  result.head = std::string(parser.method()) + " " + std::string(parser.path());
  result.head += parser.http_minor() == 0 ? " 1.0" : " 1.1";
  if (!parser.HasHost()) result.head += " without host";
  if (parser.expects_continue()) result.head += " expects 100";
  DescribeHeaders(parser.headers(), result.head);
  return result;
}

inline HttpResult ReadResponse(const std::vector<std::string_view>& pieces) {
  gateway::ResponseParser parser;
  std::string body;
  HttpResult result = FeedHttp(pieces, parser, [&](std::string_view bytes, auto& error) {
    return parser.Feed(bytes, body, error);
  });
  result.body = std::move(body);
  if (!parser.is_header_done()) return result;
  result.head = std::to_string(parser.status());
  DescribeHeaders(parser.headers(), result.head);
  return result;
}

}  // namespace candor_test
