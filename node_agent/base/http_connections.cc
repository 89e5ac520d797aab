#include "node_agent/base/http_connections.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <optional>
#include <vector>

#include "node_agent/base/thread_name.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr size_t kLongestHead = 8192;
constexpr size_t kLongestTarget = 1024;
constexpr size_t kLongestLeftover = 65536;  // of a request that is answered already
constexpr size_t kLongestReply = 65536;     // of a filter, while the client does not read
constexpr milliseconds kGoodbye{1000};      // for the client to close first
constexpr milliseconds kPauseWithoutFds{100};
constexpr milliseconds kGrace{20};  // for a client to send its request, or to read, however many wait for its place
constexpr int kAcceptsPerRound = 16;

enum class Phase { kReading, kAnswering, kWriting, kClosing };

struct Connection {
  uint64_t id;
  UniqueFd fd;
  Phase phase = Phase::kReading;
  SteadyTime deadline;
  std::string in;
  std::string method;
  std::string out;  // for the socket
  size_t sent = 0;  // bytes of it
  size_t thrown_away = 0;
  std::unique_ptr<HttpFilter> filter;

  bool all_sent() const { return sent == out.size(); }
};

short EventsOf(const Connection& connection) {
  const short writing = connection.all_sent() ? 0 : POLLOUT;
  switch (connection.phase) {
    case Phase::kReading:
      return static_cast<short>(POLLIN | writing);
    case Phase::kClosing:
      return POLLIN;
    case Phase::kWriting:
    case Phase::kAnswering:
      break;
  }
  return writing;  // errors and hang-ups are told anyway
}

// RFC 9112 §3: method, target and version, with one space between them and nothing else.
bool IsRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || last <= first + 1) return false;
  const std::string_view method = line.substr(0, first), target = line.substr(first + 1, last - first - 1);
  return std::all_of(method.begin(), method.end(), [](char c) { return c >= 'A' && c <= 'Z'; }) &&
         std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7f; }) &&
         (line.substr(last + 1) == "HTTP/1.1" || line.substr(last + 1) == "HTTP/1.0");
}

}  // namespace

// What other threads leave for this one.
struct HttpConnections::Mailbox {
  explicit Mailbox(UniqueFd fd) : wake(std::move(fd)) {}

  const UniqueFd wake;  // an eventfd
  // Guards what follows.
  std::mutex mutex;
  std::vector<std::pair<uint64_t, std::string>> answers;
  bool stop = false;

  void Wake() const { IGNORE_ERROR(eventfd_write(wake.get(), 1), "full means that it is awake"); }
};

class HttpConnections::Thread {
 public:
  Thread(UniqueFd listener, std::shared_ptr<Mailbox> mailbox, HttpLimits limits, OnRequest on_request,
         HttpFilterFactory filters)
      : listener_(std::move(listener)),
        mailbox_(std::move(mailbox)),
        limits_(limits),
        on_request_(std::move(on_request)),
        filters_(std::move(filters)) {}

  void Run() {
    while (TakeMail()) {
      Expire();
      const bool room = MayAccept();
      std::vector<pollfd> polled{{mailbox_->wake.get(), POLLIN, 0}, {room ? listener_.get() : -1, POLLIN, 0}};
      for (const Connection& connection : connections_)
        polled.push_back({connection.fd.get(), EventsOf(connection), 0});
      if (poll(polled.data(), polled.size(), WaitTime(room)) < 0) continue;  // EINTR
      if (polled[0].revents != 0) {
        eventfd_t ignored = 0;
        IGNORE_ERROR(eventfd_read(mailbox_->wake.get(), &ignored), "what counts is in the mailbox");
      }
      auto connection = connections_.begin();
      for (size_t i = 2; i < polled.size(); ++i) {
        auto current = connection++;
        if (polled[i].revents != 0 && !Advance(*current, polled[i].revents)) connections_.erase(current);
      }
      if (polled[1].revents != 0) AcceptSome();
    }
  }

 private:
  static SteadyTime Now() { return std::chrono::steady_clock::now(); }

  // False when it is time to stop.
  bool TakeMail() {
    std::vector<std::pair<uint64_t, std::string>> answers;
    {
      std::lock_guard lock(mailbox_->mutex);
      if (mailbox_->stop) return false;
      answers.swap(mailbox_->answers);
    }
    for (const auto& [id, bytes] : answers) {
      const auto found =
          std::find_if(connections_.begin(), connections_.end(), [id = id](const Connection& connection) {
            return connection.id == id && connection.phase == Phase::kAnswering;
          });
      if (found != connections_.end() && !Send(*found, bytes)) connections_.erase(found);
    }
    return true;
  }

  // What has taken too long.
  void Expire() {
    const SteadyTime now = Now();
    for (auto next = connections_.begin(); next != connections_.end();) {
      auto current = next++;
      if (current->deadline > now) continue;
      bool keep = false;
      if (current->phase == Phase::kAnswering) {
        keep =
            Send(*current, PlainAnswer("503 Service Unavailable", "the agent's loop does not answer", current->method));
      } else if (current->phase == Phase::kReading && !current->in.empty()) {
        keep = Send(*current, PlainAnswer("408 Request Timeout", "the request took too long to come"));
      }
      if (!keep) connections_.erase(current);
    }
  }

  // Milliseconds until something expires, for poll.
  int WaitTime(bool room) const {
    std::optional<SteadyTime> first;
    if (!room) first = Now() + kGrace;
    for (const Connection& connection : connections_)
      first = first ? std::min(*first, connection.deadline) : connection.deadline;
    if (!first) return -1;
    const auto left = std::chrono::ceil<milliseconds>(*first - Now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 60000));
  }

  // The first that has had its time for sending its request or reading its answer. Who waits for the loop keeps its
  // place.
  auto Replaceable() {
    const SteadyTime latest = Now() - kGrace + limits_.each_phase;  // of a phase that is older than that
    return std::find_if(connections_.begin(), connections_.end(), [latest](const Connection& connection) {
      return connection.phase == Phase::kClosing ||
             (connection.phase != Phase::kAnswering && connection.deadline < latest);
    });
  }

  bool MayAccept() {
    if (accept_from_ > Now()) return false;
    return connections_.size() < limits_.connections || Replaceable() != connections_.end();
  }

  void AcceptSome() {
    for (int i = 0; i < kAcceptsPerRound && MayAccept(); ++i) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
          accept_from_ = Now() + kPauseWithoutFds;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        return;
      }
      std::unique_ptr<HttpFilter> filter = filters_ ? filters_() : nullptr;
      if (filters_ && filter == nullptr) continue;
      if (connections_.size() >= limits_.connections) connections_.erase(Replaceable());
      connections_.push_back(
          {.id = ++last_id_, .fd = std::move(fd), .deadline = Now() + limits_.each_phase, .filter = std::move(filter)});
    }
  }

  // False when the connection is over.
  bool Advance(Connection& connection, short events) {
    switch (connection.phase) {
      case Phase::kReading:
        if (!Flush(connection)) return false;
        return (events & ~POLLOUT) == 0 || Read(connection);
      case Phase::kAnswering:
        return (events & (POLLERR | POLLHUP | POLLNVAL)) == 0 && Flush(connection);
      case Phase::kWriting:
        return Write(connection);
      case Phase::kClosing:
        break;
    }
    char bytes[4096];
    const ssize_t got = recv(connection.fd.get(), bytes, sizeof(bytes), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    connection.thrown_away += static_cast<size_t>(got);
    return got > 0 && connection.thrown_away < kLongestLeftover;
  }

  bool Read(Connection& connection) {
    char bytes[kLongestHead];
    const ssize_t got = recv(connection.fd.get(), bytes, sizeof(bytes), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const std::string_view wire(bytes, static_cast<size_t>(got));
    const size_t seen = connection.in.size();
    if (connection.filter == nullptr) {
      connection.in.append(wire);
    } else {
      const Status received = connection.filter->Receive(wire, connection.in, connection.out);
      if (!Flush(connection) || connection.out.size() > kLongestReply) return false;
      if (connection.in.size() == seen) return received.ok();  // else the end came with the request
    }
    const size_t line_end = connection.in.find("\r\n");
    if (std::min(line_end, connection.in.size()) > kLongestTarget)
      return Send(connection, PlainAnswer("414 URI Too Long", "the request's first line is too long"));
    if (line_end != std::string::npos && !IsRequestLine(std::string_view(connection.in).substr(0, line_end)))
      return Send(connection, PlainAnswer("400 Bad Request", "this is no HTTP/1 request"));
    const size_t end = connection.in.find("\r\n\r\n", seen < 3 ? 0 : seen - 3);
    if (std::min(end, connection.in.size()) > kLongestHead)
      return Send(connection, PlainAnswer("431 Request Header Fields Too Large", "the request's head is too large"));
    if (end == std::string::npos) return true;

    std::string line = connection.in.substr(0, line_end);
    connection.method = line.substr(0, line.find(' '));
    connection.in = {};
    connection.phase = Phase::kAnswering;
    connection.deadline = Now() + limits_.each_phase;
    on_request_(std::move(line), [id = connection.id, mailbox = mailbox_](std::string answer) {
      {
        std::lock_guard lock(mailbox->mutex);
        mailbox->answers.emplace_back(id, std::move(answer));
      }
      mailbox->Wake();
    });
    return true;
  }

  bool Send(Connection& connection, const std::string& answer) {
    connection.phase = Phase::kWriting;
    connection.deadline = Now() + limits_.each_phase;
    connection.in = {};
    if (connection.filter == nullptr) {
      connection.out += answer;
    } else if (!connection.filter->SendLast(answer, connection.out).ok()) {
      return false;
    }
    return Write(connection);
  }

  // Sends what the socket takes. False when it is broken.
  static bool Flush(Connection& connection) {
    while (!connection.all_sent()) {
      const ssize_t sent = send(connection.fd.get(), connection.out.data() + connection.sent,
                                connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      connection.sent += static_cast<size_t>(sent);
    }
    connection.out = {};
    connection.sent = 0;
    return true;
  }

  bool Write(Connection& connection) {
    if (!Flush(connection)) return false;
    if (!connection.all_sent()) return true;
    // A close now, with bytes of the client still unread, would be a reset and could take the answer away from it.
    connection.phase = Phase::kClosing;
    connection.deadline = Now() + std::min(kGoodbye, limits_.each_phase);
    return shutdown(connection.fd.get(), SHUT_WR) == 0;
  }

  const UniqueFd listener_;
  const std::shared_ptr<Mailbox> mailbox_;
  const HttpLimits limits_;
  const OnRequest on_request_;
  const HttpFilterFactory filters_;
  std::list<Connection> connections_;  // in the order in which they came
  uint64_t last_id_ = 0;
  SteadyTime accept_from_{};
};

HttpConnections::HttpConnections(UniqueFd listener, UniqueFd wake, HttpLimits limits, OnRequest on_request,
                                 HttpFilterFactory filters)
    : mailbox_(std::make_shared<Mailbox>(std::move(wake))),
      thread_([run = std::make_unique<Thread>(std::move(listener), mailbox_, limits, std::move(on_request),
                                              std::move(filters))] {
        NameThisThread("http");
        run->Run();
      }) {}

HttpConnections::~HttpConnections() {
  {
    std::lock_guard lock(mailbox_->mutex);
    mailbox_->stop = true;
  }
  mailbox_->Wake();
  thread_.join();
}

std::string HttpConnections::PlainAnswer(std::string_view status, std::string_view text, std::string_view method) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}{}",
      status, text.size() + 1, method == "HEAD" ? "" : text, method == "HEAD" ? "" : "\n");
}

}  // namespace lanyard
