// Turns a provider's stream into that of a client of another dialect, through neutral deltas.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gateway/dialects/event_stream.h"
#include "gateway/dialects/translation.h"

namespace gateway {

class TranslatedStream final : public EventStream {
 public:
  TranslatedStream(std::unique_ptr<DeltaParser> parser, std::unique_ptr<StreamRenderer> renderer)
      : parser_(std::move(parser)), renderer_(std::move(renderer)) {}

  int64_t TokensUsed() const override { return tokens_used_; }
  StreamPosition position() const override {
    return {renderer_->sequence_number(), renderer_->response_id()};
  }

 private:
  bool TakeData(const SseEvent& event, StreamStep& step) override;
  bool TakeComment(const SseEvent&, StreamStep&) override { return true; }
  bool TakeEnd(StreamStep& step) override;
  // Renders `deltas_`; false when that is too much to hold back or cannot be told to the client.
  bool RenderDeltas(StreamStep& step);
  bool CompleteWithEnd(StreamStep& step);

  std::unique_ptr<DeltaParser> parser_;
  std::unique_ptr<StreamRenderer> renderer_;
  std::vector<Delta> deltas_;  // of the event under way
  std::string rendered_;
  int64_t tokens_used_ = 0;
};

}  // namespace gateway
