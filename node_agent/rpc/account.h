// On whose account connections and calls are, and what each account has open.
//
// An account stands for a caller before anybody knows who it is: a cgroup, or a user (caller_cgroup.h). The table holds
// those that have something open or have used a part of their rates; one that has neither is as good as new and is
// forgotten. Whoever makes cgroups or uids by the thousand makes no thousands of accounts: when so many lie below one
// parent, or in the whole table, the newcomers share one.
//
// Refusing has its price too. An account that is refused hundreds of calls and does not wait is shut out: for a second,
// then for longer each time, its connections are ended at their next refusal and it gets no new ones. What is open and
// quiet stays.
//
// Lifetime: an Account lives as long as anything is on it; a Permit may outlive the table. Thread: loop, but that an
// AccountPtr may be dropped anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"
#include "node_agent/base/token_bucket.h"
#include "node_agent/rpc/caller_limits.h"

namespace lanyard {

// For people too: "cgroup /system.slice/planner.service", "uid 1000".
struct AccountName {
  std::string own;
  std::string wider;  // what newcomers share when there are too many like it: "cgroups below /system.slice"
};

struct Account {
  AccountName name;
  size_t connections = 0;
  size_t calls = 0;
  size_t unanswered = 0;  // of the calls
  TokenBucket connection_rate;
  TokenBucket call_rate;
  TokenBucket refusals;  // of calls
  MonoTime shut_out_until{};
  std::chrono::seconds shut_out_for{0};  // the last time
};
using AccountPtr = std::shared_ptr<Account>;

// One thing that an account has open; no longer when it is destroyed.
class Permit {
 public:
  using Counter = size_t Account::*;

  Permit(AccountPtr account, Counter counter) : account_(std::move(account)), counter_(counter) {
    ++((*account_).*counter_);
  }
  Permit(Permit&&) noexcept = default;
  Permit& operator=(Permit&& other) noexcept {
    Release();
    account_ = std::move(other.account_);
    counter_ = other.counter_;
    return *this;
  }
  ~Permit() { Release(); }

 private:
  void Release() {
    if (account_ != nullptr) --((*account_).*counter_);
    account_.reset();
  }

  AccountPtr account_;  // null once moved from
  Counter counter_;
};

// A call that was let in.
struct CallPermit {
  Permit open;
  std::optional<Permit> unanswered;  // until its first answer
};

class AccountTable {
 public:
  AccountTable(Clock& clock, const CallerLimits& limits) : clock_(clock), limits_(limits) {}

  AccountPtr Find(const AccountName& name);

  // Unavailable when a limit is reached: whose, which, and the key that raises it.
  Result<Permit> Connect(const AccountPtr& account);
  Result<CallPermit> Call(const AccountPtr& account);
  // Whether it is refused so often that its connections are better ended.
  bool IsShutOut(const Account& account) const { return clock_.MonoNow() < account.shut_out_until; }
  bool HasRoomForConnection(const Account& account) const { return account.connections < most_connections(); }

  // From now on; what is open stays.
  void SetLimits(const CallerLimits& limits) { limits_ = limits; }
  // No account has more connections than this, whatever the limits say.
  void CapConnections(size_t most) { cap_ = most; }

  size_t size() const { return accounts_.size(); }
  // By CallerLimit, since the start.
  const std::array<uint64_t, kCallerLimitNames.size()>& refused() const { return refused_; }
  std::optional<MonoTime> last_refused() const { return last_refused_; }

 private:
  size_t most_connections() const;
  bool IsCrowded(const AccountName& name);
  bool IsLikeNew(const AccountPtr& account, MonoTime now) const;
  void ForgetIdle();
  Status Refuse(CallerLimit limit, const Account& account, std::string_view what, unsigned most);
  Status RefuseCall(CallerLimit limit, Account& account, std::string_view what, unsigned most);
  void ShutOut(Account& account);

  Clock& clock_;
  CallerLimits limits_;
  std::optional<size_t> cap_;
  std::unordered_map<std::string, AccountPtr> accounts_;  // by their own names
  std::unordered_map<std::string, size_t> below_;         // how many of them, by wider name
  MonoTime forgot_{};                                     // when the idle ones were last
  std::array<uint64_t, kCallerLimitNames.size()> refused_{};
  std::optional<MonoTime> last_refused_;
};

}  // namespace lanyard
