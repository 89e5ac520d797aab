// One service on the D-Bus system bus, such as systemd, asked from the loop.
//
// The first question makes the connection; when the bus has gone away, the next one makes another. What makes answers
// worth believing is settled before anything is asked:
//
// - nobody but root made the bus (BusConnection), whose policy lets only the right user own the service's name;
// - the bus knows our own process by the pid that we know it by, so that a pid means the same process here and there;
// - the owner of the name is looked up, and questions go to that owner alone: nobody else can answer.
//
// The bus refuses a caller that waits for more than 128 answers, so fewer than that are under way and the rest queue. A
// question that was cancelled counts until its answer comes.
//
// Lifetime: borrows loop and clock; questions still open are dropped with it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "node_agent/base/bus_connection.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct BusQuestion {
  std::string path;
  std::string interface;
  std::string member;
  std::vector<std::variant<std::string, uint32_t>> arguments{};
};

class BusService {
 public:
  // Destroy it to cancel; `done` then never runs. How long to wait is for the asker to say.
  struct Ticket {
    virtual ~Ticket() = default;
  };
  // Errors, besides those of BusConnection:
  //   Aborted            the service or the bus went away with the question, as systemd does when it is re-executed: it
  //                      may be asked again at once
  //   Unavailable        an error was answered, whose D-Bus name is beside it; or the service or bus is not there
  //   DeadlineExceeded   the bus took the connection and then fell silent
  //   ResourceExhausted  too many questions wait
  using Done = absl::AnyInvocable<void(BusReply) &&>;

  // `name` is the well-known name of the service: "org.freedesktop.systemd1".
  BusService(std::string socket_path, std::string name, EventLoop& loop, Clock& clock);
  BusService(const BusService&) = delete;
  BusService& operator=(const BusService&) = delete;
  ~BusService();

  // `done` runs at most once, never before Ask() has returned; it may destroy the ticket. Questions reach the service
  // in the order of asking.
  [[nodiscard]] std::unique_ptr<Ticket> Ask(BusQuestion question, Done done);

 private:
  struct Asked;
  using AskedPtr = std::shared_ptr<Asked>;

  void Pump();
  void Connect();
  void CheckOwnPid();
  void FindOwner();
  void Send(const AskedPtr& asked);
  void OnReply(const AskedPtr& asked, BusReply reply);
  // The connection, or the owner, is gone: what was sent is lost, what was not goes over another connection.
  void Lose(const Status& why);
  // No connection can be had: everything fails.
  void FailAll(const Status& why);
  void AnswerAll(const std::deque<AskedPtr>& asked, const Status& why);
  void Answer(Asked& asked, BusReply reply);

  const std::string socket_path_;
  const std::string name_;
  EventLoop& loop_;
  Clock& clock_;
  std::unique_ptr<BusConnection> connection_;  // none before the first question, and when the bus went away
  std::unique_ptr<Clock::Alarm> settling_;     // runs until the owner is known
  std::string owner_;                          // its unique name, ":1.7"; empty until it is known
  std::deque<AskedPtr> queue_;
  std::deque<AskedPtr> under_way_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace lanyard
