// Python's TLS in front of a ScriptedServer, on a port of the loopback (tests/support/python/tls_front.py): the script
// says what is answered, and what the server was sent is known in plain text.
//
// The test program defines LANYARD_TLS_FRONT, the program's path. Thread: the test's.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/fd.h"

namespace lanyard {

class TlsFront {
 public:
  // `arguments` are the program's: the socket first. Ready when this returns; port() is 0 if it could not listen.
  explicit TlsFront(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"python3", LANYARD_TLS_FRONT});
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    said_.reset(ends[0]);
    const UniqueFd says(ends[1]);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(says.get(), STDOUT_FILENO);
      execvp(words[0], words.data());
      _exit(127);
    }
    port_ = static_cast<uint16_t>(std::atoi(Line().c_str()));
  }
  TlsFront(const TlsFront&) = delete;
  TlsFront& operator=(const TlsFront&) = delete;
  ~TlsFront() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  uint16_t port() const { return port_; }

  // The next line that it has said: about a connection, or empty when there is none for twenty seconds.
  std::string Line() {
    std::string line;
    char byte = 0;
    for (pollfd one{.fd = said_.get(), .events = POLLIN, .revents = 0}; poll(&one, 1, 20'000) > 0;) {
      if (read(said_.get(), &byte, 1) != 1 || byte == '\n') break;
      line += byte;
    }
    return line;
  }

 private:
  UniqueFd said_;
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

}  // namespace lanyard
