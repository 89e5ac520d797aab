#include "node_agent/rpc/account.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr size_t kMostAccounts = 4096;  // about 2 MB
constexpr size_t kMostBelowOne = 1024;  // more than a node has pods or users
constexpr size_t kFew = 64;             // not worth forgetting any
constexpr std::chrono::seconds kForgetEvery{1};
constexpr std::chrono::milliseconds kForgetEveryWhenFull{100};
constexpr std::string_view kEverybodyElse = "everybody who came when there were too many callers to tell apart";

// Who is above its limits waits longer each time, as gRPC's clients do, and never comes to this.
constexpr Rate kRefusals{.per_second = 50, .at_once = 500};
constexpr std::chrono::seconds kLongestShutOut{32};
constexpr std::chrono::minutes kForgiven{1};  // after the last time

}  // namespace

AccountPtr AccountTable::Find(const AccountName& name) {
  if (accounts_.size() > kFew && clock_.MonoNow() >= forgot_ + kForgetEvery) ForgetIdle();
  if (const auto known = accounts_.find(name.own); known != accounts_.end()) return known->second;
  if (name.own != kEverybodyElse && IsCrowded(name)) {
    const bool table_full = accounts_.size() >= kMostAccounts;
    return Find({table_full || name.wider.empty() ? std::string(kEverybodyElse) : name.wider, ""});
  }
  auto account = std::make_shared<Account>();
  account->name = name;
  accounts_.emplace(name.own, account);
  ++below_[name.wider];
  return account;
}

bool AccountTable::IsCrowded(const AccountName& name) {
  const auto crowded = [&] {
    if (accounts_.size() >= kMostAccounts) return true;
    const auto siblings = below_.find(name.wider);
    return !name.wider.empty() && siblings != below_.end() && siblings->second >= kMostBelowOne;
  };
  if (!crowded()) return false;
  if (clock_.MonoNow() < forgot_ + kForgetEveryWhenFull) return true;
  ForgetIdle();
  return crowded();
}

// One that nobody refers to but the table, with nothing used up.
bool AccountTable::IsLikeNew(const AccountPtr& account, MonoTime now) const {
  return account.use_count() == 1 && account->connection_rate.IsFull(limits_.connection_rate(), now) &&
         account->call_rate.IsFull(limits_.call_rate(), now) && account->refusals.IsFull(kRefusals, now) &&
         now >= account->shut_out_until;
}

void AccountTable::ForgetIdle() {
  const MonoTime now = forgot_ = clock_.MonoNow();
  for (auto account = accounts_.begin(); account != accounts_.end();) {
    if (!IsLikeNew(account->second, now)) {
      ++account;
      continue;
    }
    const auto below = below_.find(account->second->name.wider);
    if (--below->second == 0) below_.erase(below);
    account = accounts_.erase(account);
  }
}

size_t AccountTable::most_connections() const {
  return std::min<size_t>(limits_.connections, cap_.value_or(limits_.connections));
}

Result<Permit> AccountTable::Connect(const AccountPtr& account) {
  if (IsShutOut(*account))
    return Refuse(CallerLimit::kCallRate, *account, "calls a second and goes on", limits_.calls_per_second);
  if (!HasRoomForConnection(*account)) {
    return Refuse(CallerLimit::kConnections, *account, "connections open at once",
                  static_cast<unsigned>(most_connections()));
  }
  if (!account->connection_rate.Take(limits_.connection_rate(), clock_.MonoNow()))
    return Refuse(CallerLimit::kConnectionRate, *account, "connections a second", limits_.connections_per_second);
  return Permit(account, &Account::connections);
}

Result<CallPermit> AccountTable::Call(const AccountPtr& account) {
  if (account->calls >= limits_.streams)
    return RefuseCall(CallerLimit::kStreams, *account, "calls open at once", limits_.streams);
  if (account->unanswered >= limits_.calls_in_flight)
    return RefuseCall(CallerLimit::kCallsInFlight, *account, "calls without an answer at once",
                      limits_.calls_in_flight);
  if (!account->call_rate.Take(limits_.call_rate(), clock_.MonoNow()))
    return RefuseCall(CallerLimit::kCallRate, *account, "calls a second", limits_.calls_per_second);
  return CallPermit{Permit(account, &Account::calls), Permit(account, &Account::unanswered)};
}

Status AccountTable::RefuseCall(CallerLimit limit, Account& account, std::string_view what, unsigned most) {
  if (!account.refusals.Take(kRefusals, clock_.MonoNow())) ShutOut(account);
  return Refuse(limit, account, what, most);
}

void AccountTable::ShutOut(Account& account) {
  const MonoTime now = clock_.MonoNow();
  if (now < account.shut_out_until) return;
  const bool forgiven = account.shut_out_for.count() == 0 || now - account.shut_out_until > kForgiven;
  account.shut_out_for = forgiven ? std::chrono::seconds(1) : std::min(account.shut_out_for * 2, kLongestShutOut);
  account.shut_out_until = now + account.shut_out_for;
}

Status AccountTable::Refuse(CallerLimit limit, const Account& account, std::string_view what, unsigned most) {
  const auto index = static_cast<size_t>(limit);
  ++refused_[index];
  last_refused_ = clock_.MonoNow();
  // gRPC's clients come back after Unavailable, each time later; ResourceExhausted would end them for good.
  return Error(StatusCode::kUnavailable, "too many: {} has reached its limit of {} {} (limits.per_caller.{})",
               account.name.own, most, what, kCallerLimitNames[index]);
}

}  // namespace lanyard
