#include "node_agent/base/bus_service.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

constexpr size_t kMaxUnderWay = 64;  // dbus-daemon(1), max_replies_per_connection: 128
constexpr size_t kMaxQueued = 4096;
constexpr std::chrono::seconds kSettleWithin{5};
// Whatever has no answer for so long is lost: a new connection gives the places back.
constexpr std::chrono::seconds kLostAfter{60};

constexpr const char* kBus = "org.freedesktop.DBus";

BusCall AskBus(std::string member, std::string name) {
  return {.destination = kBus,
          .path = "/org/freedesktop/DBus",
          .interface = kBus,
          .member = std::move(member),
          .arguments = {std::move(name)}};
}

// Nobody has the name that was asked, or whoever had it left without an answer.
bool OwnerIsGone(const std::string& error) {
  return error == "org.freedesktop.DBus.Error.ServiceUnknown" || error == "org.freedesktop.DBus.Error.NameHasNoOwner" ||
         error == "org.freedesktop.DBus.Error.NoReply";
}

// "GetUnitByPID(4711)"
std::string Text(const BusQuestion& question) {
  std::string arguments;
  for (const auto& argument : question.arguments) {
    const auto* text = std::get_if<std::string>(&argument);
    arguments += fmt::format("{}{}", arguments.empty() ? "" : ", ",
                             text != nullptr ? *text : std::to_string(std::get<uint32_t>(argument)));
  }
  return fmt::format("{}({})", question.member, arguments);
}

}  // namespace

struct BusService::Asked {
  BusQuestion question;
  Done done;  // empty: answered or cancelled
  MonoTime sent{};
};

BusService::BusService(std::string socket_path, std::string name, EventLoop& loop, Clock& clock)
    : socket_path_(std::move(socket_path)), name_(std::move(name)), loop_(loop), clock_(clock) {}

BusService::~BusService() = default;

std::unique_ptr<BusService::Ticket> BusService::Ask(BusQuestion question, Done done) {
  struct Held : Ticket {
    explicit Held(AskedPtr given) : asked(std::move(given)) {}
    ~Held() override { asked->done = nullptr; }
    AskedPtr asked;
  };
  auto asked = std::make_shared<Asked>(Asked{.question = std::move(question), .done = std::move(done)});
  queue_.push_back(asked);
  loop_.Post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) Pump();
  });
  return std::make_unique<Held>(std::move(asked));
}

void BusService::Pump() {
  std::erase_if(queue_, [](const AskedPtr& asked) { return !asked->done; });
  if (queue_.size() > kMaxQueued) {
    std::deque<AskedPtr> too_many(queue_.begin() + kMaxQueued, queue_.end());
    queue_.resize(kMaxQueued);
    const std::weak_ptr<int> alive = alive_;
    AnswerAll(too_many, Error(StatusCode::kResourceExhausted, "{} questions wait already", kMaxQueued));
    if (alive.expired()) return;
  }
  if (queue_.empty()) return;
  if (!under_way_.empty() && under_way_.front()->sent + kLostAfter <= clock_.MonoNow())
    return Lose(Error(StatusCode::kDeadlineExceeded, "no answer for {} seconds", kLostAfter.count()));
  if (!connection_) return Connect();
  while (!owner_.empty() && !queue_.empty() && under_way_.size() < kMaxUnderWay) {
    const AskedPtr asked = std::move(queue_.front());
    queue_.pop_front();
    Send(asked);
  }
}

void BusService::Connect() {
  Result<std::unique_ptr<BusConnection>> opened = BusConnection::Open(
      socket_path_, loop_, {.ready = [this] { CheckOwnPid(); }, .broken = [this](const Status& why) { Lose(why); }});
  if (!opened.ok()) return FailAll(opened.status());
  connection_ = *std::move(opened);
  settling_ = clock_.CallAfter(kSettleWithin,
                               [this] { FailAll(Error(StatusCode::kDeadlineExceeded, "the bus does not answer")); });
}

void BusService::CheckOwnPid() {
  const Status sent = connection_->Call(
      AskBus("GetConnectionUnixProcessID", connection_->unique_name()), [this](const BusReply& reply) {
        const auto* pid = reply.value.ok() ? std::get_if<uint32_t>(&*reply.value) : nullptr;
        if (pid != nullptr && *pid == static_cast<uint32_t>(getpid())) return FindOwner();
        if (pid == nullptr && reply.error != "org.freedesktop.DBus.Error.UnixProcessIdUnknown")
          return FailAll(Annotate(reply.value.status(), "ask the bus for our own pid"));
        FailAll(Error(StatusCode::kFailedPrecondition,
                      "the bus knows the node agent, whose pid is {}, by {}, so that it is in another pid namespace; "
                      "run the node agent in the host's pid namespace",
                      getpid(), pid == nullptr ? "no pid" : fmt::format("pid {}", *pid)));
      });
  if (!sent.ok()) FailAll(sent);
}

void BusService::FindOwner() {
  const Status sent = connection_->Call(AskBus("GetNameOwner", name_), [this](const BusReply& reply) {
    const auto* owner = reply.value.ok() ? std::get_if<std::string>(&*reply.value) : nullptr;
    if (owner == nullptr) {
      return FailAll(OwnerIsGone(reply.error) ? Error(StatusCode::kUnavailable, "it is not on the bus at this moment")
                                              : Annotate(reply.value.status(), "ask the bus who it is"));
    }
    settling_.reset();
    owner_ = *owner;
    Pump();
  });
  if (!sent.ok()) FailAll(sent);
}

void BusService::Send(const AskedPtr& asked) {
  asked->sent = clock_.MonoNow();
  under_way_.push_back(asked);
  const Status sent = connection_->Call({.destination = owner_,
                                         .path = asked->question.path,
                                         .interface = asked->question.interface,
                                         .member = asked->question.member,
                                         .arguments = asked->question.arguments},
                                        [this, asked](BusReply reply) { OnReply(asked, std::move(reply)); });
  if (!sent.ok()) Lose(sent);
}

void BusService::OnReply(const AskedPtr& asked, BusReply reply) {
  // Whatever else was sent to that owner is lost too.
  if (OwnerIsGone(reply.error)) return Lose(reply.value.status());
  std::erase(under_way_, asked);
  const std::weak_ptr<int> alive = alive_;
  Answer(*asked, std::move(reply));
  if (!alive.expired()) Pump();
}

void BusService::Lose(const Status& why) {
  if (owner_.empty()) return FailAll(why);
  connection_.reset();
  owner_.clear();
  const std::weak_ptr<int> alive = alive_;
  AnswerAll(std::exchange(under_way_, {}), Error(StatusCode::kAborted, "{}", Message(why)));
  if (!alive.expired()) Pump();
}

void BusService::FailAll(const Status& why) {
  connection_.reset();
  settling_.reset();
  owner_.clear();
  std::deque<AskedPtr> all = std::exchange(under_way_, {});
  all.insert(all.end(), queue_.begin(), queue_.end());
  queue_.clear();
  AnswerAll(all, why);
}

void BusService::AnswerAll(const std::deque<AskedPtr>& all, const Status& why) {
  const std::weak_ptr<int> alive = alive_;
  for (const AskedPtr& asked : all) {
    if (alive.expired()) return;
    Answer(*asked, {.value = why, .error = {}});
  }
}

void BusService::Answer(Asked& asked, BusReply reply) {
  if (!asked.done) return;
  if (!reply.value.ok())
    reply.value =
        Annotate(reply.value.status(), "ask {} on the system bus {} for {}", name_, socket_path_, Text(asked.question));
  std::move(std::exchange(asked.done, nullptr))(std::move(reply));
}

}  // namespace lanyard
