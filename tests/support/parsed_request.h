// A request as a client's dialect reads it, for unit tests of what becomes of it.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

#include "gateway/dialects/conversation.h"

namespace candor_test {

// What `result` holds; a Failure fails the test, and then it is an empty value.
template <typename Value>
Value Expect(std::variant<Value, gateway::Failure> result) {
  if (const auto* failure = std::get_if<gateway::Failure>(&result)) {
    ADD_FAILURE() << failure->message;
    return {};
  }
  return std::get<Value>(std::move(result));
}

template <typename Client>
gateway::Conversation Parsed(const Client& client, const nlohmann::json& request) {
  SCOPED_TRACE(request.dump());
  gateway::Conversation conversation = Expect(client.ParseRequest(request.dump()));
  conversation.is_stream = request.value("stream", false);
  return conversation;
}

}  // namespace candor_test
