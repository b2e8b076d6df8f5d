// The W3C trace context of a request (https://www.w3.org/TR/trace-context/): passed on to providers
// as the client sent it, since the gateway exports no spans of its own; what the standard calls
// invalid is left out, and where there is none, none is made up. Pure.
#pragma once

#include <string>
#include <string_view>

#include "gateway/core/headers.h"

namespace gateway {

struct TraceContext {
  std::string parent;  // the value of traceparent; empty: none
  std::string state;   // of tracestate, one list, at most kMaxTraceStateBytes; only beside a parent

  // 32 hexadecimal digits; empty: none.
  std::string_view trace_id() const;
};

// What the standard asks everybody to pass on at least. Of a longer list the last members are left
// out.
inline constexpr size_t kMaxTraceStateBytes = 512;

TraceContext ParseTraceContext(const Headers& headers);

// Whole header lines for a request to a provider, each ending in CRLF.
std::string RenderTraceHeaders(const TraceContext& trace);

}  // namespace gateway
