// What the sanitizers are told, in every program that is built with one (cmake/rooms.cmake links this in): so that it
// holds however a program is started, by ctest, by a test as another user, by the quickstart or by hand. Variables of
// the environment (TSAN_OPTIONS …) come on top. No flag or suppression of this file hides a finding in a file of ours.

// NOLINTBEGIN(bugprone-reserved-identifier): the sanitizers' own names
extern "C" {

const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:strict_string_checks=1:detect_invalid_pointer_pairs=1:check_initialization_"
         "order=1:"
         "strict_init_order=1:detect_leaks=1";
}

const char* __ubsan_default_options() {
  return "print_stacktrace=1";
}

const char* __tsan_default_options() {
  return "second_deadlock_stack=1:history_size=4:"
         // What Debian's libraries do inside is not compiled for ThreadSanitizer, so that it sees half of their
         // locking.
         "ignore_noninstrumented_modules=1";
}

// Debian's gRPC locks with abseil's mutexes, which ThreadSanitizer does not see: what one thread leaves with gRPC and
// another gets from it looks like a race. What is ours meets under std::mutex, and nothing of it is listed here.
const char* __tsan_default_suppressions() {
  return
      // One batch of operations: filled in by the thread that starts it, finished inside CompletionQueue::Next by the
      // poller. Templates of gRPC's headers, and so compiled here.
      "race:grpc::internal::CallOp\n"
      "race:grpc::internal::InterceptorBatchMethodsImpl\n"
      // gRPC's own queue of its own functions; only the type of what is queued is instantiated here.
      "race:grpc_event_engine::experimental::ThreadPool::Queue\n"
      // node_agent/rpc/message.cc: gRPC calls it when the last reference to a slice is gone, and counts those itself.
      "race:^ZeroAndFree$\n";
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
