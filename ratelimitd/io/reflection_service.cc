#include "ratelimitd/io/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <set>

#include "ratelimitd/io/call_queue.h"

namespace ratelimitd {
namespace {

namespace protobuf = google::protobuf;

// One reflection stream: a request, its answer, the next request.
template <typename Service, typename Request, typename Response>
class ReflectionCall {
 public:
  static void Listen(Service& service, CallQueue& queue, const std::vector<std::string>& services) {
    new ReflectionCall(service, queue, services);
  }

 private:
  ReflectionCall(Service& service, CallQueue& queue, const std::vector<std::string>& services)
      : service_(service), hold_(queue), services_(services) {
    service_.RequestServerReflectionInfo(&context_, &stream_, hold_.queue().get(),
                                         hold_.queue().get(), &on_start_);
  }

  void OnStart(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    Listen(service_, hold_.queue(), services_);
    stream_.Read(&request_, &on_read_);
  }

  void OnRead(bool ok) {
    if (!ok) {
      stream_.Finish(grpc::Status::OK, &on_finish_);
      return;
    }
    response_.Clear();
    AnswerReflection(request_, services_, response_);
    stream_.Write(response_, &on_write_);
  }

  void OnWrite(bool ok) {
    if (ok) {
      stream_.Read(&request_, &on_read_);
    } else {
      stream_.Finish(grpc::Status::CANCELLED, &on_finish_);
    }
  }

  void OnFinish(bool) { delete this; }

  Service& service_;
  CallQueue::Hold hold_;
  const std::vector<std::string>& services_;
  grpc::ServerContext context_;
  Request request_;
  Response response_;
  grpc::ServerAsyncReaderWriter<Response, Request> stream_{&context_};
  EventOf<ReflectionCall> on_start_{*this, &ReflectionCall::OnStart};
  EventOf<ReflectionCall> on_read_{*this, &ReflectionCall::OnRead};
  EventOf<ReflectionCall> on_write_{*this, &ReflectionCall::OnWrite};
  EventOf<ReflectionCall> on_finish_{*this, &ReflectionCall::OnFinish};
};

const protobuf::DescriptorPool& Pool() { return *protobuf::DescriptorPool::generated_pool(); }

// The file and everything it imports, each once.
template <typename Response>
void AddFile(const protobuf::FileDescriptor& file, std::set<std::string>& sent,
             Response& response) {
  if (!sent.insert(file.name()).second) return;
  protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  response.mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), sent, response);
}

template <typename Response>
void AnswerWithFile(const protobuf::FileDescriptor* file, const std::string& wanted,
                    Response& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message("not found: " + wanted);
    return;
  }
  std::set<std::string> sent;
  AddFile(*file, sent, response);
}

}  // namespace

template <typename Request, typename Response>
void AnswerReflection(const Request& request, const std::vector<std::string>& services,
                      Response& response) {
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  switch (request.message_request_case()) {
    case Request::kListServices:
      for (const std::string& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case Request::kFileByFilename:
      AnswerWithFile(Pool().FindFileByName(request.file_by_filename()), request.file_by_filename(),
                     response);
      return;
    case Request::kFileContainingSymbol:
      AnswerWithFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                     request.file_containing_symbol(), response);
      return;
    default:
      // proto3 has no extensions to speak of.
      response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
      response.mutable_error_response()->set_error_message("no extensions here");
  }
}

void ReflectionService::Listen(CallQueue& queue) {
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  ReflectionCall<v1::ServerReflection::AsyncService, v1::ServerReflectionRequest,
                 v1::ServerReflectionResponse>::Listen(v1_, queue, services_);
  ReflectionCall<v1alpha::ServerReflection::AsyncService, v1alpha::ServerReflectionRequest,
                 v1alpha::ServerReflectionResponse>::Listen(v1alpha_, queue, services_);
}

}  // namespace ratelimitd
