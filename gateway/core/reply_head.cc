#include "gateway/core/reply_head.h"

#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/concat.h"
#include "gateway/core/failure_reply.h"

namespace gateway {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return status < 400 ? "OK" : "Error";
  }
}

void AppendValue(std::string_view value, std::string& out) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back((byte >= ' ' && byte != 0x7f) || byte == '\t' ? c : '?');
  }
}

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ");
  AppendValue(value, out);
  out.append("\r\n");
}

// IMF-fixdate (RFC 9110 section 5.6.7), made once a second.
std::string_view HttpDate(common::WallTime now) {
  thread_local std::time_t rendered_for = -1;
  thread_local char text[64];
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  if (seconds != rendered_for) {
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    rendered_for = seconds;
  }
  return text;
}

void AppendFraming(const ReplyHead& head, std::string& out) {
  if (head.content_length) {
    absl::StrAppend(&out, "content-length: ", *head.content_length, "\r\n");
  } else if (head.http_minor > 0) {
    out.append("transfer-encoding: chunked\r\n");
  }
  if (!head.content_length) out.append("cache-control: no-cache\r\n");
  if (head.after == AfterReply::kClose) {
    out.append("connection: close\r\n");
  } else if (head.http_minor == 0) {
    out.append("connection: keep-alive\r\n");
  }
}

}  // namespace

std::string RenderReplyHead(const ReplyHead& head, const std::vector<HeaderField>& more) {
  std::string out;
  out.reserve(768);
  out.append(common::Concat("HTTP/1.1 ", head.status, " ", ReasonPhrase(head.status), "\r\n"));
  AppendField("date", HttpDate(head.now), out);
  AppendField("content-type", head.content_type, out);
  AppendFraming(head, out);
  AppendField("x-request-id", head.request_id, out);
  if (IsAnthropic(head.endpoint)) AppendField("request-id", head.request_id, out);
  AppendField("x-candor-provider", head.target != nullptr ? head.target->provider : "none", out);
  AppendField("x-candor-model", head.target != nullptr ? head.target->model : "none", out);
  if (head.attempts != nullptr && !head.attempts->empty()) {
    AppendField("x-candor-attempts", RenderAttempts(*head.attempts), out);
  }
  absl::StrAppend(&out, "x-candor-latency-ms: ", head.latency.count(),
                  "\r\nx-candor-overhead-ms: ", head.overhead.count(), "\r\n");
  if (!head.degraded.empty()) AppendField("x-candor-degraded", head.degraded, out);
  if (!head.upstream_request_id.empty()) {
    AppendField("x-candor-upstream-request-id", head.upstream_request_id, out);
  }
  for (const HeaderField& field : more) AppendField(field.name, field.value, out);
  out.append("\r\n");
  return out;
}

bool IsPassedOn(std::string_view name) {
  return name.starts_with("x-ratelimit-") || name.starts_with("anthropic-ratelimit-") ||
         name == "openai-processing-ms";
}

std::vector<HeaderField> PassedOnHeaders(const Headers& headers) {
  std::vector<HeaderField> passed_on;
  for (const HeaderField& field : headers.fields()) {
    if (IsPassedOn(field.name)) passed_on.push_back(field);
  }
  return passed_on;
}

}  // namespace gateway
