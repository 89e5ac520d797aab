// lanyard exec
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "node_agent/app/cli_options.h"
#include "node_agent/app/exec_child.h"
#include "node_agent/app/rpc_client.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/svid_directory.h"
#include "node_agent/app/svid_files.h"
#include "node_agent/app/svid_follower.h"
#include "node_agent/app/text_output.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;
using SystemTime = std::chrono::system_clock::time_point;

constexpr milliseconds kTryToWriteAgain{1000};
constexpr milliseconds kLookAtTheClock{5000};         // also after a suspend or a jump
constexpr int kCannotExecute = 126, kNotFound = 127;  // as env(1) and shells say it

struct ExecOptions {
  std::string socket;
  milliseconds timeout = std::chrono::seconds(10);
  std::string spiffe_id;
  std::string signal;
  std::vector<std::string> command;
};

class ExecSession {
 public:
  ExecSession(const ExecOptions& options, std::string path, std::optional<SpiffeId> wanted, int signal,
              const Console& console)
      : options_(options), path_(std::move(path)), wanted_(std::move(wanted)), signal_(signal), console_(console) {}

  int Run() {
    Result<SvidDirectory> directory = SvidDirectory::Make(SvidDirectoryPlaces());
    if (!directory.ok()) return console_.Fail(Annotate(directory.status(), "exec"));
    directory_.emplace(*std::move(directory));
    Result<ChildSignals> signals = ChildSignals::Block();  // before gRPC's threads begin
    if (!signals.ok()) return console_.Fail(Annotate(signals.status(), "exec"));
    signals_.emplace(*std::move(signals));
    auto follower = SvidFollower::Start(path_);
    if (!follower.ok()) return console_.Fail(Annotate(follower.status(), "exec"));
    follower_ = *std::move(follower);
    if (const std::optional<int> code = WaitForIdentity()) return *code;
    Result<ExecChild> child = ExecChild::Start(
        options_.command, {{"LANYARD_SVID_DIR", directory_->path()}, {"SPIFFE_CREDENTIAL_FOLDER", directory_->path()}},
        signals_->mask_before());
    if (!child.ok()) {
      const int code = child.status().code() == StatusCode::kNotFound ? kNotFound : kCannotExecute;
      console_.err << "lanyard: exec: " << Message(child.status()) << '\n';
      return code;
    }
    child_.emplace(*std::move(child));
    return Supervise();
  }

 private:
  // NOLINTBEGIN(bugprone-unchecked-optional-access): directory_ and signals_ are there from Run() on, child_ in what
  // Supervise() calls, and wanted_ where Choose() found nothing

  // Nothing: it is in the files, and the program may start.
  std::optional<int> WaitForIdentity() {
    const SteadyTime end = std::chrono::steady_clock::now() + options_.timeout;
    while (!shown_until_) {
      const auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        return console_.Fail(kExitUnreachable, "exec: the agent did not answer in time; try a longer --timeout");
      Wait(left);
      while (const auto signal = signals_->Next()) {
        if (signal->ssi_signo == SIGHUP || signal->ssi_signo == SIGINT || signal->ssi_signo == SIGQUIT ||
            signal->ssi_signo == SIGTERM)
          return 128 + static_cast<int>(signal->ssi_signo);
      }
      while (!events_.empty() && !shown_until_) {
        const SvidFollower::Event event = TakeEvent();
        if (const auto* ended = std::get_if<Status>(&event)) {
          const CallFailure failure = Explain(*ended);
          return console_.Fail(failure.code, "exec: " + failure.text);
        }
        const auto* fetched = std::get_if<FetchedSvids>(&event);
        const FetchedSvid* chosen = Choose(*fetched);
        if (chosen == nullptr)
          return console_.Fail(kExitDenied, fmt::format("exec: denied: this process may not be {}", wanted_->str()));
        if (const Status shown = Show(*chosen, *fetched); !shown.ok()) return console_.Fail(Annotate(shown, "exec"));
      }
    }
    return std::nullopt;
  }

  int Supervise() {
    while (true) {
      Wait(TimeToWait());
      while (const auto signal = signals_->Next()) {
        if (signal->ssi_signo == SIGCHLD) {
          if (const auto code = child_->ExitCode()) return *code;
        } else if (signal->ssi_code != SI_KERNEL && signal->ssi_pid != static_cast<uint32_t>(getpid())) {
          child_->Signal(static_cast<int>(signal->ssi_signo));
        }
      }
      while (!events_.empty()) OnEvent(TakeEvent());
      OnTime();
    }
  }

  void Wait(milliseconds time) {
    pollfd fds[] = {{signals_->fd(), POLLIN, 0}, {follower_->ready(), POLLIN, 0}};
    if (events_.empty()) poll(fds, 2, static_cast<int>(std::min(time, milliseconds(60'000)).count()));
    for (SvidFollower::Event& event : follower_->events()) events_.push_back(std::move(event));
  }

  SvidFollower::Event TakeEvent() {
    SvidFollower::Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  // The SVID that was asked for, else the default; null when it is not there.
  const FetchedSvid* Choose(const FetchedSvids& fetched) const {
    if (!wanted_) return &fetched.svids.front();
    const auto found = std::find_if(fetched.svids.begin(), fetched.svids.end(),
                                    [&](const FetchedSvid& one) { return one.svid.id() == *wanted_; });
    return found == fetched.svids.end() ? nullptr : &*found;
  }

  // Puts it into the files; tells the program when something in them has changed.
  Status Show(const FetchedSvid& chosen, const FetchedSvids& fetched) {
    ASSIGN_OR_RETURN(SvidFiles made, SvidFiles::Make(chosen, fetched));
    std::string content;
    for (const FileOfSet& file : made.files()) {
      if ((file.mode & 044) != 0)
        content += fmt::format("{}\n{}", file.name, file.bytes);  // the key has its certificate
    }
    to_write_.reset();
    if (shown_until_ && content == shown_) return OkStatus();
    if (Status written = directory_->Write(made.files()); !written.ok()) {
      to_write_.emplace(chosen, fetched);
      write_again_ = std::chrono::steady_clock::now() + kTryToWriteAgain;
      return written;
    }
    for (const std::string& name : made.left_out()) Say(fmt::format("the bundle of {} has too long a name", name));
    shown_ = std::move(content);
    shown_until_ = chosen.svid.not_after();
    if (child_ && signal_ != 0) child_->Signal(signal_);
    return OkStatus();
  }

  void OnEvent(const SvidFollower::Event& event) {
    if (const auto* fetched = std::get_if<FetchedSvids>(&event)) {
      const FetchedSvid* chosen = Choose(*fetched);
      if (chosen == nullptr) return Lose(fmt::format("this process may not be {} any more", wanted_->str()));
      return SayTrouble(Show(*chosen, *fetched));
    }
    const auto& ended = std::get<Status>(event);
    const CallFailure failure = Explain(ended);
    // Only the agent's own word takes an identity away. While it is restarted, what is in the files is valid.
    if (ended.code() == StatusCode::kPermissionDenied) return Lose(failure.text);
    Say(failure.text);
  }

  CallFailure Explain(const Status& ended) const {
    return ExplainWorkloadFailure(
        grpc::Status(static_cast<grpc::StatusCode>(ended.code()), std::string(Message(ended))), path_);
  }

  void OnTime() {
    if (shown_until_ && std::chrono::system_clock::now() >= *shown_until_)
      TakeAway(fmt::format("it expired at {}", Utc(*shown_until_)));
    if (to_write_ && std::chrono::steady_clock::now() >= write_again_) {
      const auto [chosen, fetched] = *to_write_;
      SayTrouble(Show(chosen, fetched));
    }
  }

  milliseconds TimeToWait() const {
    auto time = kLookAtTheClock;
    if (to_write_) time = std::min(time, kTryToWriteAgain);
    if (shown_until_) {
      const auto left = std::chrono::ceil<milliseconds>(*shown_until_ - std::chrono::system_clock::now());
      time = std::clamp(left, milliseconds(0), time);
    }
    return time;
  }

  void Lose(const std::string& why) {
    to_write_.reset();
    if (shown_until_) TakeAway(why);
  }

  // The files go, and the program is told.
  void TakeAway(const std::string& why) {
    Say(fmt::format("the identity is gone, and its files with it: {}", why));
    SayTrouble(directory_->Clear());
    shown_until_.reset();
    shown_.clear();
    if (signal_ != 0) child_->Signal(signal_);
  }

  // NOLINTEND(bugprone-unchecked-optional-access)

  void SayTrouble(const Status& status) {
    if (!status.ok()) Say(Message(status));
  }
  // Each thing once, not at every attempt.
  void Say(std::string_view text) {
    if (said_ == text) return;
    said_ = text;
    console_.err << "lanyard: exec: " << text << std::endl;
  }

  const ExecOptions& options_;
  const std::string path_;
  const std::optional<SpiffeId> wanted_;
  const int signal_;  // 0: none
  const Console& console_;
  std::optional<SvidDirectory> directory_;
  std::optional<ChildSignals> signals_;
  std::unique_ptr<SvidFollower> follower_;
  std::deque<SvidFollower::Event> events_;
  std::optional<ExecChild> child_;                                // once it runs
  std::optional<SystemTime> shown_until_;                         // nothing: the files are not there
  std::string shown_;                                             // what is public of it
  std::optional<std::pair<FetchedSvid, FetchedSvids>> to_write_;  // could not be written yet
  SteadyTime write_again_;
  std::string said_;
};

int RunExec(const ExecOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  const Result<std::optional<SpiffeId>> wanted = ReadSpiffeIdOption(options.spiffe_id);
  if (!wanted.ok()) return console.Fail(kExitUsage, Message(wanted.status()));
  int signal = 0;
  if (!options.signal.empty()) {
    const Result<int> parsed = ParseSignal(options.signal);
    if (!parsed.ok()) return console.Fail(kExitUsage, fmt::format("--signal: {}", Message(parsed.status())));
    signal = *parsed;
  }
  if (options.command.empty())
    return console.Fail(kExitUsage, "exec: which program? lanyard exec [OPTIONS] -- CMD [ARGUMENTS]");
  return ExecSession(options, *path, *wanted, signal, console).Run();
}

}  // namespace

void AddExecVerb(CLI::App& root, Verb& chosen, std::vector<std::string> command) {
  auto options = std::make_shared<ExecOptions>();
  options->command = std::move(command);
  CLI::App* exec = root.add_subcommand("exec",
                                       "Run a program (exec [OPTIONS] -- CMD [ARGUMENTS]) and keep an X.509-SVID in "
                                       "files for it: svid.pem, svid.key, bundle.pem and more in $LANYARD_SVID_DIR");
  exec->footer(
      "The identity is that of this process, not of CMD's program. Without one CMD is not started (exit code 4). When "
      "it "
      "is lost, the files are removed. Signals are passed on to CMD; its exit code is returned, 128 and the number "
      "when a "
      "signal ended it, 127 or 126 when it could not be started.");
  exec->add_option("--signal", options->signal,
                   "Send this to CMD whenever the files have changed or are gone, e.g. HUP")
      ->type_name("SIG");
  exec->add_option("--spiffe-id", options->spiffe_id, "This identity instead of the default")->type_name("ID");
  AddSocketOption(exec, options->socket);
  AddTimeoutOption(exec, options->timeout);
  RunWhenNamed(exec, chosen, options, RunExec);
}

}  // namespace lanyard
