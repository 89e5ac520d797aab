#include "tests/bench/stream_client.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace lanyard::bench {
namespace {

enum FrameType : unsigned char {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8
};
enum FrameFlag : unsigned char { kAck = 1, kEndStream = 1, kEndHeaders = 4 };
constexpr size_t kFrameHead = 9;
constexpr size_t kWindow = 65'535;  // of a connection and a stream, until somebody says otherwise (RFC 9113 §6.9.2)

std::string Number(uint32_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xff);
  return text;
}

std::string Frame(FrameType type, int flags, uint32_t stream, std::string_view payload) {
  return Number(static_cast<uint32_t>(payload.size()), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         Number(stream, 4) + std::string(payload);
}

// A header field without indexing and without Huffman code (RFC 7541 §6.2.2).
std::string Literal(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) + static_cast<char>(value.size()) +
         std::string(value);
}

std::string Preface() {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, "");
}

std::string CallFrames(const Call& call, uint32_t stream) {
  const std::string path = "/SpiffeWorkloadAPI/" + std::string(call.method);
  const std::string message =
      std::string(1, '\0') + Number(static_cast<uint32_t>(call.request.size()), 4) + std::string(call.request);
  return Frame(kHeaders, kEndHeaders, stream,
               Literal(":method", "POST") + Literal(":scheme", "http") + Literal(":path", path) +
                   Literal(":authority", "localhost") + Literal("content-type", "application/grpc") +
                   Literal("te", "trailers") + Literal("workload.spiffe.io", "true")) +
         Frame(kData, kEndStream, stream, message);
}

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

Result<StreamClient> StreamClient::Open(const std::string& path, Call call) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error(StatusCode::kInvalidArgument, "{} is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  StreamClient client(UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  if (!client.fd_) return ErrnoStatus(errno, "make a socket");
  if (connect(client.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, fmt::format("connect to {}", path));
  }
  client.stream_ = 1;
  client.over_ = false;
  client.Send(Preface() + CallFrames(call, client.stream_));
  return client;
}

void StreamClient::Begin(Call call) {
  stream_ += 2;
  over_ = false;
  data_.clear();
  Send(CallFrames(call, stream_));
}

bool StreamClient::Read() {
  if (TakeMessage()) return true;
  if (over_) return false;
  char piece[65536];
  const ssize_t length = recv(fd(), piece, sizeof piece, MSG_DONTWAIT);
  if (length <= 0) {
    if (length == 0 || (errno != EAGAIN && errno != EINTR)) Lose();
    return false;
  }
  received_.append(piece, static_cast<size_t>(length));
  while (TakeFrame()) continue;
  return TakeMessage();
}

// A message: one byte that says whether it is compressed, its length in four, and itself.
bool StreamClient::TakeMessage() {
  constexpr size_t kHead = 5;
  if (data_.size() < kHead) return false;
  const size_t size = BigEndian(std::string_view(data_).substr(1, 4));
  if (data_.size() < kHead + size) return false;
  message_.assign(data_, kHead, size);
  data_.erase(0, kHead + size);
  if (data_.empty()) data_.shrink_to_fit();
  return true;
}

bool StreamClient::TakeFrame() {
  if (received_.size() < kFrameHead) return false;
  const size_t size = BigEndian(std::string_view(received_).substr(0, 3));
  if (received_.size() < kFrameHead + size) return false;
  const auto type = static_cast<unsigned char>(received_[3]);
  const auto flags = static_cast<unsigned char>(received_[4]);
  const bool ours = BigEndian(std::string_view(received_).substr(5, 4)) == stream_;
  const std::string_view payload = std::string_view(received_).substr(kFrameHead, size);
  if (type == kSettings && (flags & kAck) == 0) {
    Send(Frame(kSettings, kAck, 0, ""));
  } else if (type == kPing && (flags & kAck) == 0) {
    Send(Frame(kPing, kAck, 0, payload));
  } else if (type == kData) {
    if (ours) data_ += payload;
    Acknowledge(size);
  }
  if (type == kGoAway) Lose();
  const bool ends = type == kResetStream || ((type == kData || type == kHeaders) && (flags & kEndStream) != 0);
  if (ends && ours) over_ = true;
  received_.erase(0, kFrameHead + size);
  if (received_.empty()) received_.shrink_to_fit();
  return true;
}

void StreamClient::Acknowledge(size_t bytes) {
  unacknowledged_ += bytes;
  if (unacknowledged_ < kWindow / 4) return;
  const std::string more = Number(static_cast<uint32_t>(std::exchange(unacknowledged_, 0)), 4);
  Send(Frame(kWindowUpdate, 0, 0, more) + Frame(kWindowUpdate, 0, stream_, more));
}

void StreamClient::Send(std::string_view bytes) {
  if (send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) Lose();
}

}  // namespace lanyard::bench
