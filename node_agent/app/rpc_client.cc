#include "node_agent/app/rpc_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "node_agent/app/text_output.h"
#include "node_agent/base/fd.h"
#include "workload_api/client/endpoint.h"
#include "workload_api/client/workload_channel.h"

namespace lanyard {
namespace {

// What a fresh connection meets at `path`: 0 when somebody listens and talks, else errno of connect(), ECONNRESET when
// the other side hangs up at once.
int TryToConnect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  pollfd readable{fd.get(), POLLIN, 0};
  if (poll(&readable, 1, 500) <= 0) return 0;
  char byte = 0;
  const ssize_t got = recv(fd.get(), &byte, 1, MSG_PEEK);  // an HTTP/2 server speaks first
  return got > 0 ? 0 : ECONNRESET;
}

// `hung_up` is what it means when the agent closes a connection as soon as it is made.
std::optional<CallFailure> ExplainConnection(const std::string& path, std::string_view socket_name, ExitCode hung_up,
                                             std::string_view advice) {
  const int error = TryToConnect(path);
  const std::string where = fmt::format("the {} socket {}", socket_name, Printable(path));
  switch (error) {
    case 0:
      return std::nullopt;
    case EACCES:
    case EPERM:
      return CallFailure{kExitDenied, fmt::format("denied: connect to {}: permission denied; {}", where, advice)};
    case ENOENT:
    case ENOTDIR:
      return CallFailure{
          kExitUnreachable,
          fmt::format("connect to {}: no such socket; is the agent running, and is this its path?", where)};
    case ECONNREFUSED:
      return CallFailure{kExitUnreachable,
                         fmt::format("connect to {}: connection refused; the agent is not running", where)};
    case EAGAIN:
      return CallFailure{kExitUnreachable,
                         fmt::format("connect to {}: its queue is full; the agent is overloaded or stuck", where)};
    case ECONNRESET:
      return CallFailure{hung_up, fmt::format("{}{} closed the connection at once; {}",
                                              hung_up == kExitDenied ? "denied: " : "", where, advice)};
    default:
      return CallFailure{kExitUnreachable,
                         std::string(Message(ErrnoStatus(error, fmt::format("connect to {}", where))))};
  }
}

// This process, as the agent sees it.
std::string Myself() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  const std::string executable =
      length > 0 ? Printable(std::string_view(path, static_cast<size_t>(length))) : std::string("unknown executable");
  return fmt::format("uid {}, pid {}, {}", geteuid(), getpid(), executable);
}

CallFailure ExplainAnswer(const grpc::Status& status) {
  const std::string said = Printable(status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNIMPLEMENTED:
      return {kExitFailed,
              fmt::format("this agent does not serve that call; is it older than this command? ({})", said)};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {kExitUnreachable, "the agent did not answer in time; try a longer --timeout, and look at its log"};
    case grpc::StatusCode::DATA_LOSS:  // our own word for an answer that does not hold together
      return {kExitFailed, said};
    case grpc::StatusCode::CANCELLED:
      return {kExitFailed, "the call was cancelled"};
    case grpc::StatusCode::UNAVAILABLE:
      return {kExitFailed, fmt::format("the agent cannot answer now: {}; try again", said)};
    default:
      return {kExitFailed, fmt::format("refused: {}", said)};
  }
}

bool MayBeTheConnection(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const std::string& path) {
  return MakeAgentChannel(ChannelTarget(path));
}

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds from_now) {
  context.set_deadline(std::chrono::system_clock::now() + from_now);
}

CallFailure ExplainWorkloadFailure(const grpc::Status& status, const std::string& path, std::string_view wanted) {
  if (MayBeTheConnection(status)) {
    if (auto failure = ExplainConnection(path, "workload", kExitFailed,
                                         "ask the operator about its mode and the limit of connections"))
      return *failure;
  }
  if (status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    const std::string which = wanted.empty() ? "matches this process" : fmt::format("lets this process be {}", wanted);
    return {kExitDenied, fmt::format("denied: no registry entry {} ({}); ask the operator: lanyard registry list (the "
                                     "agent says: {})",
                                     which, Myself(), Printable(status.error_message()))};
  }
  return ExplainAnswer(status);
}

CallFailure ExplainAdminFailure(const grpc::Status& status, const std::string& path) {
  if (MayBeTheConnection(status)) {
    if (auto failure = ExplainConnection(path, "admin", kExitDenied,
                                         "it admits root, the agent's own user and the members of admin_socket.group"))
      return *failure;
  }
  if (status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    return {kExitDenied, fmt::format("denied: {}", Printable(status.error_message()))};
  }
  return ExplainAnswer(status);
}

}  // namespace lanyard
