// What the thread sanitizer cannot know: an operation started by one thread is handed to the thread
// of its completion queue inside the packaged gRPC library, which is not instrumented, so the
// headers' own bookkeeping of operations looks unguarded.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:grpc::internal::\n"; }
