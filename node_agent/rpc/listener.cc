#include "node_agent/rpc/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <uv.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "node_agent/base/log.h"
#include "node_agent/base/uv_handle.h"
#include "node_agent/rpc/caller_cgroup.h"
#include "node_agent/rpc/fair_lines.h"
#include "node_agent/rpc/log_limiter.h"
#include "node_agent/rpc/peer_exits.h"

namespace lanyard {
namespace {

constexpr size_t kOtherSockets = 64;   // connections left to the other sockets of the agent
constexpr int kAcceptsPerRound = 256;  // then the loop looks after everything else
constexpr int kAdmitsPerRound = 16;    // each costs twenty times as much as accepting it
constexpr size_t kSweepSlice = 512;    // 0.4 ms
constexpr size_t kSweepOnAccept = 8;   // keeps dead entries below a seventh of the live ones during churn
constexpr auto kSweepSoon = std::chrono::milliseconds(250);  // a pass is not finished
constexpr auto kSweepLater = std::chrono::seconds(1);
constexpr auto kForcedSweepEvery = std::chrono::milliseconds(100);

class UvListener : public Listener {
 public:
  UvListener(EventLoop& loop, Clock& clock, PeerResources& resources, AccountTable& accounts, PeerSocket socket,
             ListenerOptions options, HandOver hand_over)
      : loop_(loop),
        clock_(clock),
        resources_(resources),
        accounts_(accounts),
        socket_(std::move(socket)),
        options_(std::move(options)),
        hand_over_(std::move(hand_over)) {
    const size_t all = resources_.fds.size();
    if (options_.max_connections == 0) {
      options_.max_connections = all > 2 * kOtherSockets ? all - kOtherSockets : all;
      accounts_.CapConnections(std::max<size_t>(1, options_.max_connections / 2));
    }
    options_.max_connections = std::min(options_.max_connections, all);
  }

  // Nobody is left who would answer on them.
  ~UvListener() override {
    for (const auto& [fd, entry] : table_) {
      const Result<uint64_t> cookie = SocketCookie(fd);
      if (cookie.ok() && *cookie == entry.connection->cookie) shutdown(fd, SHUT_RDWR);
    }
  }

  Status Start() {
    OpenSpare();
    if (int error = uv_poll_init(loop_.native(), poll_.get(), socket_.fd()); error != 0) {
      return Error(StatusCode::kUnavailable, "listen on {}: {}", socket_.path(), uv_strerror(error));
    }
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (auto* self = Owner<UvListener>(handle)) self->OnReadable();
    });
    return OkStatus();
  }

  ConnectionPtr Find(int fd) const override {
    std::lock_guard lock(mutex_);
    auto found = table_.find(fd);
    if (found == table_.end()) return nullptr;
    // Entries are swept late: the number may be a connection of another socket by now.
    const Result<uint64_t> cookie = SocketCookie(fd);
    const ConnectionPtr& connection = found->second.connection;
    return cookie.ok() && *cookie == connection->cookie ? connection : nullptr;
  }

  void StopAccepting() override {
    waiting_.Clear();
    poll_.Close();
    socket_.Close();
  }

  void EndFlooded(const Connection& connection) override {
    if (!Shut(connection)) return;
    ++stats_.ended_limit;
    LogLimited(
        connection.account->name.own, "flooded",
        fmt::format("ended a connection of {}, which is shut out for a while: too many of its calls were refused",
                    connection.account->name.own));
  }

  ListenerStats stats() const override {
    ListenerStats stats = stats_;
    stats.open = table_.size();  // only this thread changes the table
    return stats;
  }

 private:
  struct Entry {
    ConnectionPtr connection;
    Permit permit;
  };
  using Table = std::map<int, Entry>;  // by fd, so that a sweep can go on where it stopped
  // Accepted, and in the line of its account.
  struct Waiting {
    UniqueFd fd;
    PeerProcess peer;
    AccountPtr account;
    Permit permit;
  };

  void OnReadable() {
    AcceptSome();
    if (!admitting_) AdmitSome();
  }

  void AcceptSome() {
    for (int i = 0; i < kAcceptsPerRound && socket_.fd() >= 0; ++i) {
      UniqueFd fd(accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        LineUp(std::move(fd));
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EMFILE && errno != ENFILE) return;  // EAGAIN: all done; ENOMEM and the like: the loop comes back
      // Without a free number the connection would wait in the queue and wake us for ever: take it on the spare and let
      // it go.
      if (!spare_) return Full("no file descriptor left, not even the spare one", "", "fds");
      spare_.reset();
      UniqueFd dropped(accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
      const bool took_one = static_cast<bool>(dropped);
      dropped.reset();
      OpenSpare();
      if (!took_one) return;
      Full("no file descriptor left", "", "fds");
    }
  }

  void LineUp(UniqueFd accepted) {
    if (HasHungUp(accepted.get())) return void(++stats_.refused_peer);
    uid_t uid = 0;
    Result<PeerProcess> peer = resources_.processes.Identify(accepted.get(), uid);
    if (!peer.ok()) {
      ++stats_.refused_peer;
      // A client that has gone already is no news.
      if (peer.status().code() != StatusCode::kNotFound)
        Refused(fmt::format("uid {}", uid), CodeName(peer.status().code()), Message(peer.status()));
      return;
    }
    SweepSome(kSweepOnAccept);
    AccountPtr account = accounts_.Find(options_.account_of ? options_.account_of(*peer) : AccountOfUid(uid));
    if (!HasRoomFor(*account)) return;
    Result<Permit> permit = accounts_.Connect(account);
    if (!permit.ok()) {
      ++stats_.refused_limit;
      if (options_.on_refused) return options_.on_refused(*peer, *account, permit.status());
      return Refused(account->name.own, "account", Message(permit.status()));
    }
    Result<UniqueFd> fd = resources_.fds.Move(std::move(accepted));
    if (!fd.ok()) return Full(Message(fd.status()), account->name.own, "window");
    const Account* owner = account.get();
    waiting_.Push(owner, {*std::move(fd), *std::move(peer), std::move(account), *std::move(permit)});
  }

  // One of each account in turn: the kernel's queue is first come, first served, and one caller can fill it.
  void AdmitSome() {
    for (int i = 0; i < kAdmitsPerRound && waiting_.size() > 0; ++i) Admit(*waiting_.Pop());
    admitting_ = waiting_.size() > 0;
    if (!admitting_) return;
    loop_.Post([this, alive = std::weak_ptr<void>(alive_)] {
      if (!alive.expired()) AdmitSome();
    });
  }

  void Admit(Waiting next) {
    // That a process has exited is told once, and may have been while this was in line.
    if (HasHungUp(next.fd.get()) || !next.peer.process->StillRunning()) return void(++stats_.refused_peer);
    const std::string& who = next.account->name.own;
    UniqueFd fd = std::move(next.fd);
    Result<uint64_t> cookie = SocketCookie(fd.get());
    if (!cookie.ok()) return Full(Message(cookie.status()), who, "cookie");
    // The number has come round before its old entry was swept: the old socket is closed, or the kernel would not have
    // given it.
    if (auto old = table_.find(fd.get()); old != table_.end()) Forget(old);
    if (Status watched = exits_.Add(next.peer.process, fd.get()); !watched.ok())
      return Full(Message(watched), who, "watch");

    auto connection = std::make_shared<Connection>();
    connection->id = ++stats_.accepted;
    connection->fd = fd.get();
    connection->cookie = *cookie;
    connection->peer = std::move(next.peer);
    connection->account = next.account;
    connection->accepted_at = clock_.MonoNow();
    if (options_.admit) connection->admission = options_.admit(connection->peer);
    if (!connection->admission.ok()) {
      ++stats_.refused_peer;
      Refused(who, "admission", Message(connection->admission));
    }
    {
      std::lock_guard lock(mutex_);
      table_.emplace(fd.get(), Entry{std::move(connection), std::move(next.permit)});
    }
    hand_over_(std::move(fd));
    if (sweep_ == nullptr) ScheduleSweep(kSweepLater);
  }

  bool HasRoomFor(const Account& account) {
    const auto full = [&] { return table_.size() + waiting_.size() >= options_.max_connections; };
    if ((full() || !accounts_.HasRoomForConnection(account)) && clock_.MonoNow() >= next_forced_sweep_) {
      next_forced_sweep_ = clock_.MonoNow() + kForcedSweepEvery;
      sweep_from_ = 0;
      SweepSome(table_.size());
    }
    if (full()) {
      Full(fmt::format("{} connections are open, the most there may be (raise the limit of open files)",
                       table_.size() + waiting_.size()),
           account.name.own, "limit");
    }
    return !full();
  }

  // A connection must not outlive the process it was attested for, whoever else holds its fd.
  void OnExit(const ProcessRef& process, const std::vector<int>& fds) {
    for (int fd : fds) {
      auto entry = table_.find(fd);
      if (entry == table_.end()) continue;
      const Connection& connection = *entry->second.connection;
      if (connection.peer.process.get() == &process && Shut(connection)) ++stats_.ended_exit;
    }
  }

  // Shuts the socket down; its owner sees the end of the stream and closes it. Nobody else can take the number between
  // the look and the shutdown: numbers in the window are given out by this thread only. False: it had ended before.
  static bool Shut(const Connection& connection) {
    Result<uint64_t> cookie = SocketCookie(connection.fd);
    if (!cookie.ok() || *cookie != connection.cookie || connection.ended.exchange(true)) return false;
    shutdown(connection.fd, SHUT_RDWR);
    return true;
  }

  void ScheduleSweep(std::chrono::nanoseconds delay) {
    sweep_ = clock_.CallAfter(delay, [this] {
      const bool whole = SweepSome(kSweepSlice);
      if (table_.empty()) {
        sweep_.reset();
      } else {
        ScheduleSweep(whole ? std::chrono::nanoseconds(kSweepLater) : std::chrono::nanoseconds(kSweepSoon));
      }
    });
  }

  // Looks at up to `count` entries, going on where it stopped. True when the end of the table was reached.
  bool SweepSome(size_t count) {
    auto entry = table_.lower_bound(sweep_from_);
    for (; count > 0 && entry != table_.end(); --count) {
      auto current = entry++;
      const Connection& connection = *current->second.connection;
      Result<uint64_t> cookie = SocketCookie(connection.fd);
      if (!cookie.ok() || *cookie != connection.cookie) {
        Forget(current);
      } else if (!connection.call_seen && clock_.MonoNow() - connection.accepted_at >= options_.first_call_within) {
        if (!connection.ended.exchange(true)) ++stats_.ended_silent;
        shutdown(connection.fd, SHUT_RDWR);
      }
    }
    const bool whole = entry == table_.end();
    sweep_from_ = whole ? 0 : entry->first;
    return whole;
  }

  void Forget(Table::iterator entry) {
    const ConnectionPtr connection = entry->second.connection;
    exits_.Remove(*connection->peer.process, connection->fd);
    std::lock_guard lock(mutex_);
    table_.erase(entry);
  }

  void OpenSpare() { spare_.reset(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

  void Full(std::string_view why, std::string_view who, std::string_view key) {
    ++stats_.refused_full;
    stats_.last_full = clock_.MonoNow();
    Refused(who, key, why);
  }

  void Refused(std::string_view who, std::string_view key, std::string_view why) {
    LogLimited(who, key, fmt::format("refused a connection: {}", why));
  }

  void LogLimited(std::string_view who, std::string_view key, std::string_view what) {
    if (auto silent = log_limiter_.Allow(who, key, clock_.MonoNow()))
      LANYARD_LOG_WARN("{} socket: {} ({} more of these since the last line)", options_.name, what, *silent);
  }

  EventLoop& loop_;
  Clock& clock_;
  PeerResources& resources_;
  AccountTable& accounts_;
  PeerSocket socket_;  // closed after the poll handle has left the loop
  ListenerOptions options_;
  HandOver hand_over_;
  UvHandle<uv_poll_t> poll_{this};
  UniqueFd spare_;
  ListenerStats stats_;
  LogLimiter log_limiter_;

  // Guards table_ against readers on other threads; only the loop thread changes it, and reads it without the lock.
  mutable std::mutex mutex_;
  Table table_;

  FairLines<const Account*, Waiting> waiting_;
  bool admitting_ = false;  // the next round is posted

  PeerExits exits_{loop_, [this](const ProcessRef& process, const std::vector<int>& fds) { OnExit(process, fds); }};
  int sweep_from_ = 0;
  MonoTime next_forced_sweep_{};
  std::unique_ptr<Clock::Alarm> sweep_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace

Result<PeerResources> PeerResources::Reserve() {
  ASSIGN_OR_RETURN(FdWindow fds, FdWindow::Reserve());
  return PeerResources{.fds = std::move(fds), .processes = {}};
}

Result<std::unique_ptr<Listener>> MakeListener(EventLoop& loop, Clock& clock, PeerResources& resources,
                                               AccountTable& accounts, PeerSocket socket, ListenerOptions options,
                                               Listener::HandOver hand_over) {
  auto listener = std::make_unique<UvListener>(loop, clock, resources, accounts, std::move(socket), std::move(options),
                                               std::move(hand_over));
  RETURN_IF_ERROR(listener->Start());
  return listener;
}

}  // namespace lanyard
