// The `input` of a Responses request: items that become messages. Pure.
#pragma once

#include <vector>

#include "gateway/dialects/conversation.h"
#include "gateway/dialects/request_reader.h"

namespace gateway {

// Appends to `messages`. What the assistant said and called in a row becomes one message, and so do
// the results of its calls: other dialects part them by turns, not by items.
void ParseResponsesInput(RequestReader& request, std::vector<Message>& messages);

}  // namespace gateway
