#include "gateway/io/http_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/read_http.h"
#include "tests/support/split_feed.h"

namespace gateway {
namespace {

using candor_test::ForEverySplit;
using candor_test::HttpResult;
using candor_test::ReadRequest;
using candor_test::ReadResponse;

struct MessageCase {
  const char* name;
  std::string bytes;
  std::string head;
  std::string body;
  std::string unread = {};
};

TEST(RequestParserTest, ReadsTheSameHoweverTheBytesAreCut) {
  const MessageCase cases[] = {
      {"no body", "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", "GET /v1/models 1.1", ""},
      {"a length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "POST /a 1.1",
       "{}"},
      {"the same length twice",
       "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
       "POST /a 1.1", "{}"},
      {"chunks, an extension and trailers, which are no headers",
       "POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
       "1;a=b\r\n{\r\n1\r\n}\r\n0\r\nx-request-id: late\r\nhost: y\r\nexpect: 100-continue\r\n\r\n",
       "POST /a 1.1", "{}"},
      {"chunks of nothing",
       "POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "POST /a 1.1",
       "", ""},
      {"fields that are read",
       "POST /a?q#f HTTP/1.1\r\nhost: x\r\nAuthorization:\t Bearer k \r\nx-other: y\r\n"
       "expect: 100-Continue\r\n\r\n",
       "POST /a 1.1 expects 100\nauthorization: Bearer k", ""},
      {"a whole URL", "GET http://x:80/v1/models?a=b HTTP/1.1\r\nhost: x\r\n\r\n",
       "GET /v1/models 1.1", ""},
      {"HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", "GET /a 1.0 without host", ""},
      {"HTTP/1.0, which knows no interim responses",
       "POST /a HTTP/1.0\r\nexpect: 100-continue\r\n\r\n", "POST /a 1.0 without host", ""},
      {"the next request", "GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b", "GET /a 1.1", "", "GET /b"},
      {"empty lines before it", "\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\n\r\n", "GET /a 1.1", ""},
  };
  for (const MessageCase& c : cases) {
    SCOPED_TRACE(c.name);
    ForEverySplit(c.bytes, [&](const auto& pieces) {
      const HttpResult result = ReadRequest(pieces);
      EXPECT_EQ(result.error, "");
      EXPECT_TRUE(result.is_done);
      EXPECT_EQ(result.head, c.head);
      EXPECT_EQ(result.body, c.body);
      EXPECT_EQ(result.unread, c.unread);
    });
  }
}

struct RefusedCase {
  const char* name;
  std::string bytes;
  std::string error;
};

TEST(RequestParserTest, RefusesTheSameHoweverTheBytesAreCut) {
  const std::string start = "POST /a HTTP/1.1\r\nhost: x\r\n";
  const std::string chunked = start + "transfer-encoding: chunked\r\n\r\n";
  const RefusedCase cases[] = {
      {"a carriage return alone", "\rGET /a HTTP/1.1\r\nhost: x\r\n\r\n", "bad method"},
      {"both lengths", start + "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
       "bad Transfer-Encoding"},
      {"two lengths", start + "content-length: 2\r\ncontent-length: 3\r\n\r\n",
       "multiple Content-Length"},
      {"two codings", start + "transfer-encoding: gzip, chunked\r\n\r\n", "bad Transfer-Encoding"},
      {"two hosts", start + "host: y\r\n\r\n", "bad field"},
      {"a coding in HTTP/1.0", "POST /a HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
       "bad Transfer-Encoding"},
      {"a bad chunk size", chunked + "z\r\n", "bad chunk"},
      {"a long head", start + "x: " + std::string(1100, 'x') + "\r\n\r\n", "header limit exceeded"},
      {"a long body", start + "content-length: 2000\r\n\r\n", "body limit exceeded"},
      {"long chunks", chunked + "400\r\n" + std::string(1024, 'x') + "\r\n1\r\nx",
       "body limit exceeded"},
  };
  for (const RefusedCase& c : cases) {
    SCOPED_TRACE(c.name);
    ForEverySplit(c.bytes, [&](const auto& pieces) {
      const HttpResult result = ReadRequest(pieces);
      EXPECT_EQ(result.error, c.error);
      EXPECT_FALSE(result.is_done);
    });
  }
}

TEST(RequestParserTest, EmptyLinesAreNoRequestYet) {
  for (const std::string_view bytes : {"\r", "\r\n", "\r\n\r"}) {
    const HttpResult result = ReadRequest({bytes});
    EXPECT_EQ(result.error, "");
    EXPECT_FALSE(result.has_started);
  }
}

TEST(RequestParserTest, TheHeadIsBoundedAsAWholeWithTheEmptyLinesBeforeIt) {
  const std::string bytes = "\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\nauthorization: y\r\n\r\n";
  const auto size = static_cast<int64_t>(bytes.size());
  ForEverySplit(bytes, [&](const auto& pieces) {
    EXPECT_TRUE(ReadRequest(pieces, size).is_done);
    EXPECT_EQ(ReadRequest(pieces, size - 1).error, "header limit exceeded");
  });
}

TEST(RequestParserTest, EmptyLinesAreBounded) {
  ForEverySplit("\r\n\r\n\r\n", [&](const auto& pieces) {
    EXPECT_EQ(ReadRequest(pieces, 5).error, "header limit exceeded");
  });
}

TEST(ResponseParserTest, ReadsTheSameHoweverTheBytesAreCut) {
  const MessageCase cases[] = {
      {"a success",
       "HTTP/1.1 200 OK\r\ndate: now\r\nContent-Type: a\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}",
       "200\ncontent-type: a\nx-a: b\ncontent-length: 2", "{}"},
      {"a failure keeps every field",
       "HTTP/1.1 503 \r\ndate: now\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
       "503\ndate: now\nretry-after: 1\ncontent-length: 0", ""},
      {"chunks",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;e\r\nc\r\n0\r\n\r\n",
       "200", "abc"},
      {"chunks of nothing", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "200",
       ""},
      {"trailers, which are no headers",
       "HTTP/1.1 503 \r\ntransfer-encoding: chunked\r\n\r\n0\r\nretry-after: 9\r\n\r\n",
       "503\ntransfer-encoding: chunked", ""},
      {"nothing to come", "HTTP/1.1 204 No Content\r\n\r\n", "204", ""},
      {"an interim response", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", "100", "", "HTTP/1.1 2"},
  };
  for (const MessageCase& c : cases) {
    SCOPED_TRACE(c.name);
    ForEverySplit(c.bytes, [&](const auto& pieces) {
      const HttpResult result = ReadResponse(pieces);
      EXPECT_EQ(result.error, "");
      EXPECT_TRUE(result.is_done);
      EXPECT_EQ(result.head, c.head);
      EXPECT_EQ(result.body, c.body);
      EXPECT_EQ(result.unread, c.unread);
    });
  }
}

TEST(ResponseParserTest, RefusesTheSameHoweverTheBytesAreCut) {
  const RefusedCase cases[] = {
      {"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad version"},
      {"a status of letters", "HTTP/1.1 abc OK\r\n\r\n", "bad status"},
      {"an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
       "bad Transfer-Encoding"},
      {"a bad chunk size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
       "bad chunk"},
  };
  for (const RefusedCase& c : cases) {
    SCOPED_TRACE(c.name);
    ForEverySplit(c.bytes, [&](const auto& pieces) {
      const HttpResult result = ReadResponse(pieces);
      EXPECT_EQ(result.error, c.error);
      EXPECT_FALSE(result.is_done);
    });
  }
}

// Beast has used up all but the first letter of the next line with each piece.
TEST(ResponseParserTest, TheHeadIsBoundedThoughEveryPieceIsUsedUp) {
  const std::string line = "-a: " + std::string(1000, 'b') + "\r\nx";
  std::vector<std::string_view> pieces = {"HTTP/1.1 200 OK\r\nx"};
  while (pieces.size() < ResponseParser::kMaxHeaderBytes / 1000) pieces.push_back(line);
  EXPECT_EQ(ReadResponse(pieces).error, "");
  pieces.insert(pieces.end(), 3, line);
  EXPECT_EQ(ReadResponse(pieces).error, "header limit exceeded");
}

TEST(ResponseParserTest, WithoutALengthTheBodyGoesOnToTheEnd) {
  ForEverySplit("HTTP/1.1 200 OK\r\n\r\nabc", [&](const auto& pieces) {
    const HttpResult result = ReadResponse(pieces);
    EXPECT_EQ(result.body, "abc");
    EXPECT_FALSE(result.is_done);
  });
}

}  // namespace
}  // namespace gateway
