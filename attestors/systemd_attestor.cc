#include "attestors/systemd_attestor.h"

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "node_agent/base/bus_service.h"

namespace lanyard {
namespace {

constexpr const char* kName = "org.freedesktop.systemd1";
constexpr const char* kUnits = "/org/freedesktop/systemd1/unit";

// The D-Bus interface of a unit's type, where its Slice is. Units of other types have no processes.
std::optional<std::string> InterfaceOf(std::string_view unit) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kTypes = {{{".service", "Service"},
                                                                                    {".scope", "Scope"},
                                                                                    {".slice", "Slice"},
                                                                                    {".socket", "Socket"},
                                                                                    {".mount", "Mount"},
                                                                                    {".swap", "Swap"}}};
  for (const auto& [suffix, interface] : kTypes) {
    if (unit.ends_with(suffix)) return fmt::format("{}.{}", kName, interface);
  }
  return std::nullopt;
}

std::string Hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

template <class T>
const T* Get(const std::optional<BusValue>& value) {
  return value ? std::get_if<T>(&*value) : nullptr;
}

// One process looked up: its unit, then what is wanted of that unit and the unit once more, all sent at once. systemd
// takes the questions of one connection in their order.
class Lookup : public Attestor::Attempt {
 public:
  Lookup(BusService& systemd, std::shared_ptr<const Subject> subject, Attestor::Done done)
      : systemd_(systemd), subject_(std::move(subject)), done_(std::move(done)) {}

  void Start() {
    heard_ = {};
    tickets_.clear();
    tickets_.push_back(systemd_.Ask(UnitOfProcess(), [this](BusReply reply) { OnUnit(std::move(reply)); }));
  }

 private:
  struct Heard {
    std::string path;  // of the unit's object
    std::string id;
    std::optional<BusValue> invocation, fragment, slice;
    std::optional<BusValue> invocation_again, unit_again;
    size_t missing = 0;
  };

  bool Wants(std::string_view kind) const { return subject_->wanted().Has("systemd", kind); }
  pid_t pid() const { return subject_->peer().process->pid(); }

  BusQuestion UnitOfProcess() const {
    return {.path = "/org/freedesktop/systemd1",
            .interface = fmt::format("{}.Manager", kName),
            .member = "GetUnitByPID",
            .arguments = {static_cast<uint32_t>(pid())}};
  }

  BusQuestion Property(std::string interface, const char* name) const {
    return {.path = heard_.path,
            .interface = "org.freedesktop.DBus.Properties",
            .member = "Get",
            .arguments = {std::move(interface), std::string(name)}};
  }

  void Ask(BusQuestion question, std::optional<BusValue>& into) {
    ++heard_.missing;
    tickets_.push_back(systemd_.Ask(std::move(question), [this, &into](BusReply reply) {
      if (!reply.value.ok()) return Fail(reply.value.status());
      into = *std::move(reply.value);
      if (--heard_.missing == 0) Conclude();
    }));
  }

  void OnUnit(BusReply reply) {
    if (reply.error == "org.freedesktop.systemd1.NoUnitForPID") return Finish(Findings{});
    if (!reply.value.ok()) return Fail(reply.value.status());
    const auto* path = std::get_if<std::string>(&*reply.value);
    // The object's path is made of the unit's primary name.
    const std::optional<std::string> id = path != nullptr ? BusPathLabel(*path, kUnits) : std::nullopt;
    const std::optional<std::string> own_interface = id ? InterfaceOf(*id) : std::nullopt;
    if (!id || !own_interface) {
      return Fail(Error(StatusCode::kInternal, "systemd says that the unit of pid {} is \"{}\"", pid(),
                        path != nullptr ? *path : ""));
    }
    heard_.path = *path;
    heard_.id = *id;
    const std::string interface = fmt::format("{}.Unit", kName);
    if (Wants("invocation_id")) Ask(Property(interface, "InvocationID"), heard_.invocation);
    if (Wants("fragment_path")) Ask(Property(interface, "FragmentPath"), heard_.fragment);
    if (Wants("slice")) Ask(Property(*own_interface, "Slice"), heard_.slice);
    // The name alone was said in one piece, of one moment.
    if (heard_.missing == 0) return Conclude();
    if (Wants("invocation_id")) Ask(Property(interface, "InvocationID"), heard_.invocation_again);
    Ask(UnitOfProcess(), heard_.unit_again);
  }

  void Conclude() {
    if (const auto* path = Get<std::string>(heard_.unit_again); heard_.unit_again && (!path || *path != heard_.path))
      return Fail(Error(StatusCode::kUnavailable, "pid {} left {} while it was attested; ask again", pid(), heard_.id));
    if (heard_.invocation != heard_.invocation_again)
      return Fail(Error(StatusCode::kUnavailable, "{} was started anew while it was attested; ask again", heard_.id));
    Findings findings;
    const auto add = [&](std::string_view kind, const std::string& value) {
      if (FitsInSelector(value)) findings.selectors.push_back({"systemd", fmt::format("{}:{}", kind, value)});
    };
    if (Wants("id")) add("id", heard_.id);
    if (const auto* path = Get<std::string>(heard_.fragment)) add("fragment_path", *path);
    if (const auto* slice = Get<std::string>(heard_.slice)) add("slice", *slice);
    if (const auto* bytes = Get<std::vector<uint8_t>>(heard_.invocation)) add("invocation_id", Hex(*bytes));
    Finish(std::move(findings));
  }

  // What went away with the question is asked once more, from the beginning.
  void Fail(const Status& why) {
    if (why.code() == StatusCode::kAborted && !std::exchange(again_, true)) return Start();
    Finish(why.code() == StatusCode::kAborted ? Error(StatusCode::kUnavailable, "{}", Message(why)) : why);
  }

  void Finish(Result<Findings> findings) {
    tickets_.clear();
    Attestor::Done done = std::move(done_);
    std::move(done)(std::move(findings));  // may destroy this
  }

  BusService& systemd_;
  const std::shared_ptr<const Subject> subject_;
  Attestor::Done done_;
  bool again_ = false;
  Heard heard_;
  std::vector<std::unique_ptr<BusService::Ticket>> tickets_;
};

class SystemdAttestor : public Attestor {
 public:
  SystemdAttestor(const SystemdOptions& options, EventLoop& loop, Clock& clock)
      : timeout_(options.timeout), systemd_(options.bus_socket, kName, loop, clock) {}

  std::string_view type() const override { return "systemd"; }
  std::optional<std::chrono::milliseconds> service_limit() const override { return timeout_; }

  std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline /*deadline*/, Done done) override {
    // Read before systemd is asked, so that the AttestorSet finds out when the process moves meanwhile.
    static_cast<void>(subject->cgroups());
    auto lookup = std::make_unique<Lookup>(systemd_, std::move(subject), std::move(done));
    lookup->Start();
    return lookup;
  }

 private:
  const std::chrono::milliseconds timeout_;
  BusService systemd_;
};

}  // namespace

std::unique_ptr<Attestor> MakeSystemdAttestor(const SystemdOptions& options, EventLoop& loop, Clock& clock) {
  return std::make_unique<SystemdAttestor>(options, loop, clock);
}

}  // namespace lanyard
