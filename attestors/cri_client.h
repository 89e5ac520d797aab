// Asks a container runtime (containerd, CRI-O) by the CRI, over its Unix socket, without ever blocking the loop.
//
// One connection serves all calls. It is made when it is needed, its listener is checked (trusted_socket.h), and it is
// made anew after the runtime was restarted. A few calls are under way at a time and the others wait in line, so that
// a burst of callers is no burst for the runtime. The completion queue has a thread of its own, which does nothing but
// hand answers to the loop. (gRPC's callback API answers up to 94 ms late on few cores.)
//
// Errors: NotFound only when the runtime itself says that it has no such container, and that is an answer;
// DeadlineExceeded, ResourceExhausted (an answer above 4 MiB), FailedPrecondition (no CRI v1 there), and Unavailable
// for everything else. Messages name the socket.
//
// Lifetime: loop and clock outlive it. The destructor cancels what is under way and joins the thread. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>

#include "attestors/proto/cri.pb.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

namespace cri = ::runtime::v1;

class CriClient {
 public:
  static constexpr size_t kMaxCalls = 8;  // under way at a time
  static constexpr int kMaxAnswerBytes = 4 * 1024 * 1024;

  // Destroy it to cancel; `done` then never runs.
  struct Ticket {
    virtual ~Ticket() = default;
  };
  template <class Answer>
  using Done = absl::AnyInvocable<void(Result<Answer>) &&>;

  CriClient(EventLoop& loop, Clock& clock, std::string socket_path);
  ~CriClient();

  // `done` runs on the loop, never before the function has returned, and may destroy the ticket.
  [[nodiscard]] std::unique_ptr<Ticket> ContainerStatus(cri::ContainerStatusRequest request, Deadline deadline,
                                                        Done<cri::ContainerStatusResponse> done);
  [[nodiscard]] std::unique_ptr<Ticket> ImageStatus(cri::ImageStatusRequest request, Deadline deadline,
                                                    Done<cri::ImageStatusResponse> done);

  const std::string& socket_path() const;

 private:
  struct State;
  template <class Request, class Answer>
  class UnaryCall;

  std::shared_ptr<State> state_;
};

}  // namespace lanyard
