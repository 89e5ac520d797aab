#include "node_agent/rpc/grpc_setup.h"

#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>

#include <cstdlib>
#include <limits>
#include <utility>

#include "node_agent/base/log.h"

namespace lanyard {
namespace {

// gRPC logs what clients do wrong; they must not fill our log with it.
void LogFromGrpc(gpr_log_func_args* line) {
  LANYARD_LOG_DEBUG("grpc: {}", line->message);
}

}  // namespace

// Measured one by one; each is worth memory for an idle stream, or bounds what a client may send.
void SetChannelArguments(grpc::ServerBuilder& builder) {
  const std::pair<const char*, int> arguments[] = {
      {"grpc.max_receive_message_length", 16384},
      {"grpc.max_metadata_size", 8192},
      {"grpc.max_concurrent_streams", 100},
      // Responses hold keys: compressing secrets together with a caller's data leaks.
      {"grpc.per_message_compression", 0},
      {"grpc.enable_channelz", 0},
      {"grpc.http2.hpack_table_size.decoder", 0},
      {"grpc.http2.hpack_table_size.encoder", 0},
      // The kernel tells when a peer goes; a stopped one keeps its stream.
      {"grpc.keepalive_time_ms", std::numeric_limits<int>::max()},
      {"grpc.http2.bdp_probe", 0},  // pings that measure a network which is not there
      {"grpc.experimental.tcp_read_chunk_size", 256},
      {"grpc.experimental.tcp_min_read_chunk_size", 256},
      {"grpc.experimental.tcp_max_read_chunk_size", 1024},
      // Clients may keep idle streams alive with a ping every 10 s (the least that Go's client allows itself), also
      // without a call.
      {"grpc.keepalive_permit_without_calls", 1},
      {"grpc.http2.min_ping_interval_without_data_ms", 5000},
  };
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
}

void PrepareProcessForGrpc() {
  // On by default; keeps an 8 kB slice for each connection. There is no other thread yet.
  setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 1);  // NOLINT(concurrency-mt-unsafe)
  // Debian builds abseil with the graph of locks switched on.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function(LogFromGrpc);
}

}  // namespace lanyard
