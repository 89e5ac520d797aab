#include "node_agent/app/exec_child.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace lanyard {
namespace {

// What a service manager, a terminal or a person sends to a program. SIGCHLD is for us.
constexpr int kSignals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
                            SIGALRM, SIGPIPE, SIGCHLD, SIGIO,   SIGPWR,  SIGWINCH};

// As it was when we were started: what we set for our own libraries since (gRPC's experiments) is not for the program.
Result<std::vector<std::string>> EnvironmentAtStart() {
  std::ifstream file("/proc/self/environ", std::ios::binary);
  if (!file) return ErrnoStatus(errno, "read our own environment, which the program is to have: /proc/self/environ");
  std::vector<std::string> variables;
  for (std::string variable; std::getline(file, variable, '\0');) variables.push_back(std::move(variable));
  return variables;
}

}  // namespace

Result<int> ParseSignal(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  if (name.starts_with("SIG")) name = name.substr(3);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size() && name == text && number > 0 && number <= SIGRTMAX)
    return number;
  return Error(StatusCode::kInvalidArgument, "\"{}\" is no signal; write a name such as HUP, or a number", text);
}

Result<ChildSignals> ChildSignals::Block() {
  ChildSignals signals;
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kSignals) sigaddset(&set, signal);
  signals.fd_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.fd_) return ErrnoStatus(errno, "make a signalfd");
  pthread_sigmask(SIG_BLOCK, &set, &signals.before_);
  return signals;
}

std::optional<signalfd_siginfo> ChildSignals::Next() const {
  signalfd_siginfo info{};
  if (read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return info;
}

Result<ExecChild> ExecChild::Start(const std::vector<std::string>& command,
                                   const std::vector<std::pair<std::string, std::string>>& more, const sigset_t& mask) {
  ASSIGN_OR_RETURN(std::vector<std::string> variables, EnvironmentAtStart());
  std::erase_if(variables, [&](const std::string& variable) {
    return std::any_of(more.begin(), more.end(),
                       [&](const auto& one) { return variable.starts_with(one.first + "="); });
  });
  for (const auto& [name, value] : more) variables.push_back(fmt::format("{}={}", name, value));
  const auto pointers = [](const std::vector<std::string>& texts) {
    std::vector<char*> list;
    list.reserve(texts.size() + 1);
    for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
    list.push_back(nullptr);
    return list;
  };
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &mask);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, command.front().c_str(), nullptr, &attributes, pointers(command).data(),
                                 pointers(variables).data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoStatus(error, fmt::format("run {}", command.front()));
  return ExecChild(pid);
}

std::optional<int> ExecChild::ExitCode() {
  int status = 0;
  if (pid_ == 0 || waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  if (WIFEXITED(status)) {
    pid_ = 0;
    return WEXITSTATUS(status);
  }
  if (!WIFSIGNALED(status)) return std::nullopt;
  pid_ = 0;
  return 128 + WTERMSIG(status);
}

void ExecChild::Signal(int signal) const {
  if (pid_ != 0) kill(pid_, signal);
}

}  // namespace lanyard
