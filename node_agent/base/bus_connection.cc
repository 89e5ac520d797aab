#include "node_agent/base/bus_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-bus.h>

#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "node_agent/base/fd.h"
#include "node_agent/base/trusted_socket.h"
#include "node_agent/base/uv_handle.h"

namespace lanyard {
namespace {

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using BusPtr = std::unique_ptr<sd_bus, Unref>;
using MessagePtr = std::unique_ptr<sd_bus_message, Unref>;

constexpr std::string_view kBusItself = "org.freedesktop.DBus";

Result<UniqueFd> ConnectToBus(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTrusted(path));
  ASSIGN_OR_RETURN(const ucred listener, CheckListener(fd.get()));
  if (listener.pid != 0) return fd;
  return Error(StatusCode::kFailedPrecondition,
               "the bus was made outside the node agent's pid namespace, so that it knows processes by other pids; "
               "run the node agent in the host's pid namespace");
}

Result<BusValue> ReadValue(sd_bus_message* message) {
  char type = 0;
  const char* contents = nullptr;
  int got = sd_bus_message_peek_type(message, &type, &contents);
  if (got > 0 && type == SD_BUS_TYPE_VARIANT) {
    got = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, contents);
    if (got > 0) got = sd_bus_message_peek_type(message, &type, &contents);
  }
  if (got < 0) return ErrnoStatus(-got, "read the answer");
  if (got > 0 && (type == SD_BUS_TYPE_STRING || type == SD_BUS_TYPE_OBJECT_PATH)) {
    const char* text = nullptr;
    got = sd_bus_message_read_basic(message, type, static_cast<void*>(&text));
    if (got > 0) return BusValue(std::string(text));
  } else if (got > 0 && type == SD_BUS_TYPE_UINT32) {
    uint32_t number = 0;
    got = sd_bus_message_read_basic(message, type, &number);
    if (got > 0) return BusValue(number);
  } else if (got > 0 && type == SD_BUS_TYPE_ARRAY && std::string_view(contents) == "y") {
    const void* bytes = nullptr;
    size_t size = 0;
    got = sd_bus_message_read_array(message, SD_BUS_TYPE_BYTE, &bytes, &size);
    const auto* first = static_cast<const uint8_t*>(bytes);
    if (got >= 0) return BusValue(size == 0 ? std::vector<uint8_t>() : std::vector<uint8_t>(first, first + size));
  }
  if (got < 0) return ErrnoStatus(-got, "read the answer");
  return Error(StatusCode::kInternal, "the answer has the signature \"{}\"", sd_bus_message_get_signature(message, 1));
}

BusReply ReadReply(sd_bus_message* message, const std::string& destination) {
  const char* sent_by = sd_bus_message_get_sender(message);
  const std::string_view sender = sent_by == nullptr ? "" : sent_by;
  if (const sd_bus_error* error = sd_bus_message_get_error(message)) {
    if (sender != destination && sender != kBusItself)
      return {.value = Error(StatusCode::kInternal, "{} answered in place of {}", sender, destination), .error = {}};
    const std::string text = error->message == nullptr ? "" : fmt::format(" ({})", error->message);
    return {.value = Error(StatusCode::kUnavailable, "{}{}", error->name, text), .error = error->name};
  }
  if (sender != destination)
    return {.value = Error(StatusCode::kInternal, "{} answered in place of {}", sender, destination), .error = {}};
  return {.value = ReadValue(message), .error = {}};
}

class SdBusConnection : public BusConnection {
 public:
  SdBusConnection(EventLoop& loop, Events events) : loop_(loop), events_(std::move(events)) {}

  Status Start(UniqueFd socket) {
    // sd-bus closes its descriptor when the other end goes; libuv's must stay open until it lets go.
    poll_fd_ = UniqueFd(fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
    if (!poll_fd_) return ErrnoStatus(errno, "duplicate the socket");
    sd_bus* bus = nullptr;
    if (const int made = sd_bus_new(&bus); made < 0) return ErrnoStatus(-made, "make a bus");
    bus_.reset(bus);
    if (const int taken = sd_bus_set_fd(bus, socket.get(), socket.get()); taken < 0)
      return ErrnoStatus(-taken, "take over the socket");
    IGNORE_ERROR(socket.release(), "the bus owns it now");
    if (const int client = sd_bus_set_bus_client(bus, 1); client < 0) return ErrnoStatus(-client, "set up the bus");
    if (const int started = sd_bus_start(bus); started < 0) return ErrnoStatus(-started, "greet the bus");
    if (const int good = uv_poll_init(loop_.native(), poll_.get(), poll_fd_.get()); good < 0)
      return ErrnoStatus(-good, "watch the socket");
    return Watch();
  }

  Status Call(const BusCall& call, Done done) override {
    MessagePtr message;
    sd_bus_message* made = nullptr;
    int good = sd_bus_message_new_method_call(bus_.get(), &made, call.destination.c_str(), call.path.c_str(),
                                              call.interface.c_str(), call.member.c_str());
    if (good >= 0) {
      message.reset(made);
      // A service that is not there is not to be started.
      good = sd_bus_message_set_auto_start(made, 0);
    }
    for (const auto& argument : call.arguments) {
      if (good < 0) break;
      const auto* text = std::get_if<std::string>(&argument);
      good = text != nullptr ? sd_bus_message_append_basic(made, SD_BUS_TYPE_STRING, text->c_str())
                             : sd_bus_message_append_basic(made, SD_BUS_TYPE_UINT32, &std::get<uint32_t>(argument));
    }
    auto waiting = std::make_unique<Waiting>(Waiting{*this, call.destination, std::move(done)});
    Waiting* const place = waiting.get();
    if (good >= 0) good = sd_bus_call_async(bus_.get(), nullptr, made, OnReply, place, UINT64_MAX);
    if (good < 0) return ErrnoStatus(-good, "send");
    waiting_.emplace(place, std::move(waiting));
    return Watch();
  }

  const std::string& unique_name() const override { return unique_name_; }

 private:
  struct Waiting {
    SdBusConnection& connection;
    std::string destination;
    Done done;
  };

  static int OnReply(sd_bus_message* message, void* place, sd_bus_error* /*answer to a method call*/) {
    auto* waiting = static_cast<Waiting*>(place);
    SdBusConnection& connection = waiting->connection;
    const auto found = connection.waiting_.find(waiting);
    connection.answers_.emplace_back(ReadReply(message, waiting->destination), std::move(waiting->done));
    connection.waiting_.erase(found);
    return 1;
  }

  // Waits for what sd-bus waits for, which changes with whatever is sent and received.
  Status Watch() {
    const int events = sd_bus_get_events(bus_.get());
    if (events < 0) return ErrnoStatus(-events, "talk to the bus");
    const int wanted = ((events & POLLIN) != 0 ? UV_READABLE : 0) | ((events & POLLOUT) != 0 ? UV_WRITABLE : 0);
    if (wanted == std::exchange(watched_, wanted)) return OkStatus();
    const int good = uv_poll_start(poll_.get(), wanted, [](uv_poll_t* handle, int status, int /*events*/) {
      if (auto* self = Owner<SdBusConnection>(handle)) self->OnSocket(status);
    });
    return good < 0 ? ErrnoStatus(-good, "watch the socket") : OkStatus();
  }

  void OnSocket(int status) {
    int more = status < 0 ? status : 1;
    while (more > 0) more = sd_bus_process(bus_.get(), nullptr);
    const Status watched = more < 0 ? ErrnoStatus(-more, "talk to the bus") : Watch();
    if (!watched.ok()) return Break(watched);

    // Nothing of sd-bus is under way any more: a callback may do what it likes, also destroy this.
    const std::weak_ptr<int> alive = alive_;
    if (!ready_ && sd_bus_is_ready(bus_.get()) > 0) {
      ready_ = true;
      const char* name = nullptr;
      if (const int named = sd_bus_get_unique_name(bus_.get(), &name); named < 0)
        return Break(ErrnoStatus(-named, "learn our own name"));
      unique_name_ = name;
      auto ready = std::move(events_.ready);
      ready();
    }
    while (!alive.expired() && !answers_.empty()) {
      auto [reply, done] = std::move(answers_.front());
      answers_.erase(answers_.begin());
      std::move(done)(std::move(reply));
    }
  }

  void Break(const Status& why) {
    poll_.Close();
    auto broken = std::move(events_.broken);
    broken(why);
  }

  EventLoop& loop_;
  Events events_;
  UniqueFd poll_fd_;
  UvHandle<uv_poll_t> poll_{this};  // closed before its descriptor
  BusPtr bus_;
  int watched_ = 0;
  bool ready_ = false;
  std::string unique_name_;
  std::unordered_map<const Waiting*, std::unique_ptr<Waiting>> waiting_;
  std::vector<std::pair<BusReply, Done>> answers_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

Result<std::unique_ptr<BusConnection>> BusConnection::Open(const std::string& socket_path, EventLoop& loop,
                                                           Events events) {
  Result<UniqueFd> socket = ConnectToBus(socket_path);
  if (!socket.ok()) return socket.status();
  auto connection = std::make_unique<SdBusConnection>(loop, std::move(events));
  RETURN_IF_ERROR(connection->Start(*std::move(socket)));
  return connection;
}

std::optional<std::string> BusPathLabel(const std::string& path, const std::string& prefix) {
  // sd_bus_path_decode(3) also takes what lies deeper, and the prefix itself.
  if (path.size() <= prefix.size() || path.find('/', prefix.size() + 1) != std::string::npos) return std::nullopt;
  char* label = nullptr;
  if (sd_bus_path_decode(path.c_str(), prefix.c_str(), &label) <= 0) return std::nullopt;
  std::string text(label);
  free(label);
  return text;
}

}  // namespace lanyard
