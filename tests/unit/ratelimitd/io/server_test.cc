// The whole server on loopback, driven by real gRPC clients.
#include "ratelimitd/io/server.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "ratelimitd/store/memory_store.h"
#include "tests/support/fake_clock.h"

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;
using grpc::health::v1::HealthCheckResponse;

// Durable at once, until it is told to lag.
class LaggingStore final : public StateStore {
 public:
  absl::StatusOr<std::vector<StoredRecord>> Load() override { return std::vector<StoredRecord>(); }
  void Start(StoreEvents events) override { events_ = std::move(events); }
  uint64_t Put(std::vector<KeyRecord>, common::WallTime) override {
    ++last_;
    if (!is_lagging_) CatchUp();
    return last_;
  }
  bool Flush(milliseconds) override { return true; }
  void Lag() { is_lagging_ = true; }
  void CatchUp() { events_.on_durable(last_); }

 private:
  StoreEvents events_;
  std::atomic<bool> is_lagging_ = false;
  std::atomic<uint64_t> last_ = 0;
};

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    store_.Start({.on_durable = [this](uint64_t ticket) { waiters_.OnDurable(ticket); }});
    server_ = *Server::Start("127.0.0.1:0", 2, {table_, metrics_, waiters_});
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    admission_ = pb::AdmissionService::NewStub(channel_);
    providers_ = pb::ProviderHealthService::NewStub(channel_);
    health_ = grpc::health::v1::Health::NewStub(channel_);
  }

  static pb::AdmitRequest AdmitMessage(const std::string& provider) {
    pb::AdmitRequest request;
    request.set_reporter("gw");
    AddTarget(provider, *request.mutable_ask());
    return request;
  }
  static void AddTarget(const std::string& provider, pb::Ask& ask) {
    ask.add_targets()->set_provider(provider);
    ask.mutable_targets(ask.targets_size() - 1)->set_model("m");
  }
  pb::Verdict Admit(const std::string& provider) {
    grpc::ClientContext context;
    pb::AdmitResponse response;
    EXPECT_TRUE(admission_->Admit(&context, AdmitMessage(provider), &response).ok());
    return response.verdict();
  }
  static pb::AttemptReport Limit(const std::string& provider, uint64_t number) {
    pb::AttemptReport report;
    report.set_sequence_number(number);
    report.mutable_target()->set_provider(provider);
    report.mutable_target()->set_model("m");
    report.set_kind(pb::OUTCOME_KIND_RATE_LIMITED);
    report.set_retry_after_ms(30'000);
    return report;
  }
  // A gateway learns of a 429.
  void LearnLimit(const std::string& provider) {
    grpc::ClientContext context;
    auto session = OpenSession(context);
    pb::SessionRequest request;
    *request.add_reports() = Limit(provider, 1);
    session->Write(request);
    session->WritesDone();
    pb::SessionResponse response;
    while (session->Read(&response)) {
    }
    EXPECT_TRUE(session->Finish().ok());
  }
  using Session = grpc::ClientReaderWriter<pb::SessionRequest, pb::SessionResponse>;
  std::unique_ptr<Session> OpenSession(grpc::ClientContext& context) {
    auto session = admission_->Session(&context);
    pb::SessionRequest hello;
    hello.mutable_hello()->set_reporter("gw:0");
    hello.mutable_hello()->set_host("gw");
    session->Write(hello);
    return session;
  }
  HealthCheckResponse::ServingStatus Check(const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    HealthCheckResponse response;
    request.set_service(service);
    const grpc::Status status = health_->Check(&context, request, &response);
    if (status.error_code() == grpc::NOT_FOUND) return HealthCheckResponse::SERVICE_UNKNOWN;
    return response.status();
  }
  static std::string ReasonOf(const grpc::Status& status) {
    google::rpc::Status details;
    google::rpc::ErrorInfo info;
    if (!details.ParseFromString(status.error_details()) || details.details_size() == 0 ||
        !details.details(0).UnpackTo(&info)) {
      return "no details";
    }
    return info.reason();
  }

  // How long to wait before another try; 0: nothing is said of it.
  static int64_t RetryDelayOf(const grpc::Status& status) {
    google::rpc::Status details;
    google::rpc::RetryInfo retry;
    if (!details.ParseFromString(status.error_details())) return 0;
    for (const auto& detail : details.details()) {
      if (detail.UnpackTo(&retry)) return retry.retry_delay().seconds();
    }
    return 0;
  }
  // More than a message may hold: providers with a whole history each, in long sentences.
  void FillWithHistories(int providers) {
    const std::string why(500, 'x');
    for (int i = 0; i < providers * 16; ++i) {
      const std::string name = "p" + std::to_string(i % providers);
      table_.Update([&](TargetTable& table, auto next_moment) {
        const bool is_odd = i / providers % 2 == 1;
        table.Override({.name = {name, ""},
                        .mode = is_odd ? OverrideMode::kForcedClosed : OverrideMode::kForcedOpen,
                        .length = 1h,
                        .cause = {why, "ops"},
                        .may_be_unknown = true},
                       next_moment());
      });
    }
  }

  candor_test::FakeClock clock_;
  DurableWaiters waiters_;
  LaggingStore store_;
  SharedTable table_{{}, 1, clock_, store_};
  Metrics metrics_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::AdmissionService::Stub> admission_;
  std::unique_ptr<pb::ProviderHealthService::Stub> providers_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

TEST_F(ServerTest, SessionAnswersEveryAskOfAMessage) {
  grpc::ClientContext context;
  auto session = OpenSession(context);
  pb::SessionRequest request;
  for (uint64_t id = 1; id <= 100; ++id) {
    request.add_asks()->set_correlation_id(id);
    AddTarget("openai", *request.mutable_asks(request.asks_size() - 1));
  }
  session->Write(request);
  session->WritesDone();
  std::vector<uint64_t> answered;
  pb::SessionResponse response;
  while (session->Read(&response)) {
    for (const pb::Verdict& verdict : response.verdicts()) {
      EXPECT_FALSE(verdict.grant().token().empty());
      answered.push_back(verdict.correlation_id());
    }
  }
  EXPECT_EQ(answered.size(), 100u);
  EXPECT_TRUE(session->Finish().ok());
}

TEST_F(ServerTest, VerdictDoesNotWaitForTheStoreAndTheAcknowledgementDoes) {
  store_.Lag();
  grpc::ClientContext context;
  auto session = OpenSession(context);
  pb::SessionRequest request;
  *request.add_reports() = Limit("openai", 1);
  AddTarget("openai", *request.add_asks());
  session->Write(request);
  pb::SessionResponse response;
  ASSERT_TRUE(session->Read(&response));
  ASSERT_EQ(response.verdicts_size(), 1);
  EXPECT_EQ(response.verdicts(0).decisions(0).reason(), pb::REFUSAL_REASON_RATE_LIMITED);
  EXPECT_EQ(response.acks_size(), 0);

  store_.CatchUp();
  ASSERT_TRUE(session->Read(&response));
  ASSERT_EQ(response.acks_size(), 1);
  EXPECT_EQ(response.acks(0).status(), pb::ACK_STATUS_APPLIED);
}

TEST_F(ServerTest, RepeatedReportIsAcknowledgedNoEarlierThanTheFirst) {
  store_.Lag();
  grpc::ClientContext first_context, second_context;
  pb::SessionRequest report;
  *report.add_reports() = Limit("openai", 1);
  auto first = OpenSession(first_context);
  first->Write(report);
  auto second = OpenSession(second_context);
  AddTarget("openai", *report.add_asks());
  second->Write(report);
  pb::SessionResponse response;
  ASSERT_TRUE(second->Read(&response));
  EXPECT_EQ(response.acks_size(), 0) << "the first is not durable yet";
}

TEST_F(ServerTest, SuccessIsAcknowledgedAtOnce) {
  const pb::Verdict verdict = Admit("openai");
  grpc::ClientContext context;
  pb::ReportRequest request;
  pb::ReportResponse response;
  request.set_reporter("gw");
  request.mutable_report()->set_token(verdict.grant().token());
  request.mutable_report()->set_kind(pb::OUTCOME_KIND_SUCCESS);
  ASSERT_TRUE(admission_->Report(&context, request, &response).ok());
  EXPECT_EQ(response.ack().status(), pb::ACK_STATUS_APPLIED);
}

TEST_F(ServerTest, SessionsEndWithTheReasonOfTheMistake) {
  struct {
    const char* name;
    std::function<void(pb::SessionRequest&)> change;
    const char* want;
  } cases[] = {
      {"no hello", [](auto& r) { r.clear_hello(); }, "NO_HELLO"},
      {"no reporter", [](auto& r) { r.mutable_hello()->clear_reporter(); }, "BAD_REPORTER"},
      {"no target", [](auto& r) { r.add_asks(); }, "BAD_TARGETS"},
      {"unknown mode",
       [](auto& r) {
         AddTarget("p", *r.add_asks());
         r.mutable_asks(0)->set_mode(static_cast<pb::AdmitMode>(9));
       },
       "BAD_MODE"},
      {"no kind", [](auto& r) { r.add_reports(); }, "BAD_KIND"},
      {"too many asks",
       [](auto& r) {
         for (int i = 0; i < 4097; ++i) AddTarget("p", *r.add_asks());
       },
       "TOO_MANY"},
      {"long name", [](auto& r) { AddTarget(std::string(257, 'x'), *r.add_asks()); }, "BAD_TARGET"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    grpc::ClientContext context;
    auto session = admission_->Session(&context);
    pb::SessionRequest request;
    request.mutable_hello()->set_reporter("gw");
    c.change(request);
    session->Write(request);
    pb::SessionResponse response;
    EXPECT_FALSE(session->Read(&response));
    const grpc::Status status = session->Finish();
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonOf(status), c.want);
  }
}

TEST_F(ServerTest, GatewaysMemoryAndCredentialsTravelWithTheHello) {
  grpc::ClientContext context;
  auto session = admission_->Session(&context);
  pb::SessionRequest request;
  request.mutable_hello()->set_reporter("gw");
  pb::KnownRefusal& refusal = *request.mutable_hello()->add_known_refusals();
  refusal.mutable_target()->set_provider("openai");
  refusal.mutable_target()->set_model("m");
  refusal.set_reason(pb::REFUSAL_REASON_RATE_LIMITED);
  refusal.set_remaining_ms(20'000);
  AddTarget("openai", *request.add_asks());
  session->Write(request);
  pb::SessionResponse response;
  ASSERT_TRUE(session->Read(&response));
  EXPECT_GE(response.verdicts(0).refusal().retry_after_ms(), 20'000);
}

TEST_F(ServerTest, ListIsPagedAndFiltered) {
  for (const char* provider : {"c", "a", "b"}) Admit(provider);
  LearnLimit("b");
  std::vector<std::string> names;
  pb::ListProvidersRequest request;
  request.set_page_size(2);
  do {
    grpc::ClientContext context;
    pb::ListProvidersResponse response;
    ASSERT_TRUE(providers_->ListProviders(&context, request, &response).ok());
    for (const pb::Provider& provider : response.providers()) names.push_back(provider.name());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));

  request.Clear();
  request.set_state(pb::HEALTH_STATE_BACKING_OFF);
  grpc::ClientContext context;
  pb::ListProvidersResponse response;
  ASSERT_TRUE(providers_->ListProviders(&context, request, &response).ok());
  ASSERT_EQ(response.providers_size(), 1);
  const pb::Health& health = response.providers(0).targets(0).health();
  EXPECT_EQ(health.reporter(), "gw:0");
  EXPECT_FALSE(health.why().empty());
  EXPECT_GE(health.remaining().seconds(), 30);
  EXPECT_EQ(health.until().seconds() - health.since().seconds(), health.remaining().seconds());
  EXPECT_EQ(health.transitions_size(), 1);
}

TEST_F(ServerTest, AnswersFitIntoWhatClientsTake) {
  constexpr int kProviders = 900;
  FillWithHistories(kProviders);
  std::set<std::string> listed;
  pb::ListProvidersRequest request;
  request.set_page_size(1000);
  int pages = 0;
  do {
    grpc::ClientContext context;
    pb::ListProvidersResponse response;
    const grpc::Status status = providers_->ListProviders(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const pb::Provider& provider : response.providers()) listed.insert(provider.name());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(listed.size(), static_cast<size_t>(kProviders));
  EXPECT_GT(pages, 1);

  grpc::ClientContext context;
  auto watch = providers_->WatchProviders(&context, {});
  std::set<std::string> watched;
  pb::WatchProvidersResponse response;
  for (pb::WatchEventKind want = pb::WATCH_EVENT_KIND_SNAPSHOT; watched.size() < kProviders;
       want = pb::WATCH_EVENT_KIND_CHANGE) {
    ASSERT_TRUE(watch->Read(&response)) << watch->Finish().error_message();
    EXPECT_EQ(response.kind(), want);
    for (const pb::Provider& provider : response.providers()) watched.insert(provider.name());
  }
}

TEST_F(ServerTest, HeartbeatsGoOnWhenTheSharedClockIsSetBack) {
  const auto watch = MakeProviderWatch({});
  WatchTick tick{.now = common::MonotonicTime(24h), .wall = {}, .version = 1, .views = {}};
  pb::WatchProvidersResponse response;
  ASSERT_TRUE(watch->Next(tick, response));
  EXPECT_FALSE(watch->Next(tick, response));
  tick.now -= 1h;
  EXPECT_TRUE(watch->Next(tick, response));
  EXPECT_EQ(response.kind(), pb::WATCH_EVENT_KIND_HEARTBEAT);
  EXPECT_FALSE(watch->Next(tick, response));
}

TEST_F(ServerTest, LimitsOfNobodyAreAMistake) {
  struct {
    const char* client;
    const char* limited;
    bool is_good;
  } cases[] = {{"team", "", true},
               {"team", "team", true},
               {"team", "other", false},
               {"", "", false},
               {"", "team", false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.client);
    SCOPED_TRACE(c.limited);
    pb::AdmitRequest request = AdmitMessage("openai");
    request.mutable_ask()->set_client_name(c.client);
    request.mutable_client_limits()->set_client_name(c.limited);
    request.mutable_client_limits()->set_requests_per_minute(5);
    grpc::ClientContext context;
    pb::AdmitResponse response;
    const grpc::Status status = admission_->Admit(&context, request, &response);
    EXPECT_EQ(status.ok(), c.is_good);
    EXPECT_EQ(ReasonOf(status), c.is_good ? "no details" : "BAD_CLIENT_NAME");
  }
}

TEST_F(ServerTest, WatchShowsASnapshotThenTheChange) {
  Admit("openai");
  grpc::ClientContext context;
  auto watch = providers_->WatchProviders(&context, {});
  pb::WatchProvidersResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.kind(), pb::WATCH_EVENT_KIND_SNAPSHOT);
  EXPECT_EQ(response.providers_size(), 1);
  LearnLimit("openai");
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.kind(), pb::WATCH_EVENT_KIND_CHANGE);
  EXPECT_EQ(response.providers(0).targets(0).health().state(), pb::HEALTH_STATE_BACKING_OFF);
}

// While nobody reads, what changes is not queued: the state is told when there is room again.
TEST_F(ServerTest, WatcherThatReadsSlowlyIsToldTheLatestStateOnly) {
  constexpr int kChanges = 5000;
  const std::string why(400, 'x');
  Admit("openai");
  grpc::ClientContext context;
  auto watch = providers_->WatchProviders(&context, {});
  pb::WatchProvidersResponse response;
  ASSERT_TRUE(watch->Read(&response));
  for (int i = 1; i <= kChanges; ++i) {
    table_.Update([&](TargetTable& table, auto next_moment) {
      table.Override({.name = {"openai", ""},
                      .mode = OverrideMode::kForcedOpen,
                      .length = 1h,
                      .cause = {why, std::to_string(i)}},
                     next_moment());
    });
  }
  int messages = 0;
  do {
    ASSERT_TRUE(watch->Read(&response));
    ++messages;
  } while (response.providers(0).health().reporter() != std::to_string(kChanges));
  EXPECT_LT(messages, kChanges / 2);
}

TEST_F(ServerTest, OneWatcherTooManyIsTurnedAway) {
  struct Watch {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<pb::WatchProvidersResponse>> stream;
  };
  std::vector<std::unique_ptr<Watch>> watches;
  pb::WatchProvidersResponse response;
  for (size_t i = 0; i < WatchHub::kMaxWatchers; ++i) {
    Watch& watch = *watches.emplace_back(std::make_unique<Watch>());
    watch.stream = providers_->WatchProviders(&watch.context, {});
    ASSERT_TRUE(watch.stream->Read(&response));
  }
  grpc::ClientContext context;
  auto surplus = providers_->WatchProviders(&context, {});
  EXPECT_FALSE(surplus->Read(&response));
  const grpc::Status status = surplus->Finish();
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "TOO_MANY_WATCHERS");
  EXPECT_GT(RetryDelayOf(status), 0);
}

TEST_F(ServerTest, HealthMirrorsProvidersAndTheServer) {
  Admit("openai");
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("candor.ratelimitd.v1.AdmissionService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("provider/openai"), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check("provider/nobody"), HealthCheckResponse::SERVICE_UNKNOWN);
  EXPECT_EQ(Check("nothing"), HealthCheckResponse::SERVICE_UNKNOWN);
  EXPECT_EQ(Check(std::string(100'000, 'x')), HealthCheckResponse::SERVICE_UNKNOWN);
  server_->AnnounceDrain();
  EXPECT_EQ(Check(""), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("provider/openai"), HealthCheckResponse::SERVING);
}

TEST_F(ServerTest, ReflectionKnowsEveryServiceWithItsImports) {
  namespace v1 = grpc::reflection::v1;
  auto stub = v1::ServerReflection::NewStub(channel_);
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  v1::ServerReflectionRequest request;
  v1::ServerReflectionResponse response;
  request.set_list_services("*");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  const auto services = response.list_services_response();
  EXPECT_GE(services.service_size(), 4);
  for (const auto& service : services.service()) {
    request.set_file_containing_symbol(service.name());
    stream->Write(request);
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_GE(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  }
  request.set_file_containing_symbol("no.such.Name");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::NOT_FOUND);
}

TEST_F(ServerTest, DrainEndsSessionsAndWatchersAsUnavailable) {
  grpc::ClientContext session_context, watch_context;
  auto session = OpenSession(session_context);
  auto watch = providers_->WatchProviders(&watch_context, {});
  pb::WatchProvidersResponse snapshot;
  ASSERT_TRUE(watch->Read(&snapshot));
  server_->Drain(1s);
  pb::SessionResponse response;
  while (session->Read(&response)) {
  }
  const grpc::Status status = session->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAVAILABLE);
  while (watch->Read(&snapshot)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(ServerTest, ClientsThatVanishLeaveNothingBehind) {
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext session_context, watch_context;
    auto session = OpenSession(session_context);
    auto watch = providers_->WatchProviders(&watch_context, {});
    session_context.TryCancel();
    watch_context.TryCancel();
    session->Finish();
    watch->Finish();
  }
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
}

TEST_F(ServerTest, TakenAddressIsNamed) {
  const auto second = Server::Start(server_->address(), 1, {table_, metrics_, waiters_});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find(server_->address()), absl::string_view::npos);
}

}  // namespace
}  // namespace ratelimitd
