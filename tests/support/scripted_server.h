// A server at a Unix socket that answers what a test tells it to, on a thread of its own; not a whole HTTP server.
//
// For each connection and each request on it (up to the empty line) the script is asked what to send; afterwards the
// connection is closed or kept, as the answer says. It ends when it is destroyed, also in the middle of an answer.
//
// Thread: the script runs on one thread per connection, the rest is for the test's.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "node_agent/base/fd.h"

namespace lanyard {

struct ScriptedAnswer {
  std::string bytes;
  enum class Then { kKeep, kClose, kRepeatLastByteForever, kSilence } then = Then::kKeep;
};

inline ScriptedAnswer HttpOk(std::string_view body) {
  return {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + std::string(body)};
}

class ScriptedServer {
 public:
  using Script = std::function<ScriptedAnswer(const std::string& request)>;

  ScriptedServer(std::string path, Script script) : path_(std::move(path)), script_(std::move(script)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener_.get(), 64) != 0) {
      std::abort();
    }
    acceptor_ = std::thread([this] { Accept(); });
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer() {
    stop_ = true;
    acceptor_.join();
    for (std::thread& connection : connections_) connection.join();
    unlink(path_.c_str());
  }

  const std::string& path() const { return path_; }
  int connections() const { return accepted_; }
  int open_connections() const { return open_; }
  int most_open_connections() const { return most_open_; }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  // False when it is time to end, or nothing more will come.
  bool Await(int fd, short events) const {
    while (!stop_) {
      pollfd one{.fd = fd, .events = events, .revents = 0};
      if (poll(&one, 1, 10) > 0) return true;
    }
    return false;
  }

  void Accept() {
    while (Await(listener_.get(), POLLIN)) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd) continue;
      ++accepted_;
      most_open_ = std::max<int>(most_open_, ++open_);
      connections_.emplace_back([this, fd = std::move(fd)]() mutable {
        Serve(fd.get());
        fd.reset();
        --open_;
      });
    }
  }

  void Serve(int fd) {
    std::string input;
    for (;;) {
      size_t end = 0;
      while ((end = input.find("\r\n\r\n")) == std::string::npos) {
        char bytes[4096];
        if (!Await(fd, POLLIN)) return;
        const ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
        if (got <= 0) return;
        input.append(bytes, static_cast<size_t>(got));
      }
      const std::string request = input.substr(0, end + 4);
      input.erase(0, end + 4);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const ScriptedAnswer answer = script_(request);
      if (!Send(fd, answer.bytes)) return;
      switch (answer.then) {
        case ScriptedAnswer::Then::kKeep:
          break;
        case ScriptedAnswer::Then::kClose:
          return;
        case ScriptedAnswer::Then::kRepeatLastByteForever: {
          const std::string more(4096, answer.bytes.back());
          while (Send(fd, more)) {
          }
          return;
        }
        case ScriptedAnswer::Then::kSilence:
          while (Await(fd, POLLIN)) {
            char byte = 0;
            if (recv(fd, &byte, 1, 0) <= 0) return;
          }
          return;
      }
    }
  }

  bool Send(int fd, std::string_view bytes) const {
    while (!bytes.empty()) {
      if (!Await(fd, POLLOUT)) return false;
      const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  const std::string path_;
  const Script script_;
  UniqueFd listener_;
  std::atomic<bool> stop_{false};
  std::atomic<int> accepted_{0};
  std::atomic<int> open_{0};
  std::atomic<int> most_open_{0};
  mutable std::mutex mutex_;  // guards requests_
  std::vector<std::string> requests_;
  std::vector<std::thread> connections_;  // the acceptor's, until it has ended
  std::thread acceptor_;
};

}  // namespace lanyard
