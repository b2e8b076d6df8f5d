#include "gateway/io/http_parser.h"

#include <gtest/gtest.h>

#include <boost/beast/http/error.hpp>
#include <string>

namespace gateway {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr int64_t kMaxHeaderBytes = 256;
constexpr std::string_view kRequest = "POST /x HTTP/1.1\r\nhost: y\r\ncontent-length: 2\r\n\r\n{}";

// Feeds `bytes` as a connection does when they arrive in two pieces, until nothing more is used.
error_code FeedInTwo(RequestParser& parser, std::string_view bytes, size_t split) {
  std::string waiting;
  error_code error;
  for (const std::string_view piece : {bytes.substr(0, split), bytes.substr(split)}) {
    waiting += piece;
    for (size_t used = 1; used > 0 && !waiting.empty() && !parser.is_done();) {
      error = {};
      used = parser.Feed(waiting, error);
      waiting.erase(0, used);
      if (error && error != http::error::need_more) return error;
    }
  }
  return error;
}

TEST(RequestParser, EmptyLinesBeforeARequestAreIgnoredHoweverTheyArrive) {
  const std::string bytes = "\r\n\r\n" + std::string(kRequest);
  for (size_t split = 0; split <= bytes.size(); ++split) {
    RequestParser parser(kMaxHeaderBytes, 100);
    EXPECT_FALSE(FeedInTwo(parser, bytes, split)) << split;
    EXPECT_TRUE(parser.is_done()) << split;
    EXPECT_EQ(parser.body(), "{}") << split;
  }
}

TEST(RequestParser, EmptyLinesAreNoRequestYet) {
  for (const std::string_view bytes : {"\r", "\r\n", "\r\n\r"}) {
    RequestParser parser(kMaxHeaderBytes, 100);
    EXPECT_EQ(FeedInTwo(parser, bytes, 0), http::error::need_more);
    EXPECT_FALSE(parser.got_some());
  }
}

TEST(RequestParser, EmptyLinesAreBounded) {
  std::string lines;
  while (lines.size() < kMaxHeaderBytes) lines += "\r\n";
  for (const size_t split : {size_t{0}, size_t{1}, lines.size()}) {
    RequestParser allowed(kMaxHeaderBytes, 100);
    EXPECT_FALSE(FeedInTwo(allowed, lines + std::string(kRequest), split));
    RequestParser refused(kMaxHeaderBytes, 100);
    EXPECT_EQ(FeedInTwo(refused, lines + "\r\n", split), http::error::header_limit);
  }
}

TEST(RequestParser, ACarriageReturnAloneIsNoEmptyLine) {
  RequestParser parser(kMaxHeaderBytes, 100);
  EXPECT_EQ(FeedInTwo(parser, "\r" + std::string(kRequest), 1), http::error::bad_method);
}

}  // namespace
}  // namespace gateway
