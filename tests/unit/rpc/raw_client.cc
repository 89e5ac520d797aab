// A client that knows no manners. rpc_raw_client MODE SOCKET [COUNT]:
//   attack       8 processes, COUNT times each: connect, ten requests that carry the own pid; then in turn: close at
//   once,
//                wait for the server's first byte, wait for answers. Prints how many requests were sent.
//   leave-child  connects, leaves a child that holds the connection, exits. The child prints "ended" when the
//   connection has. exit         connects and exits.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int Connect(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

// RFC 9113 §4.1: 24 bits of length, type, flags, stream.
std::string Frame(unsigned char type, unsigned char flags, unsigned stream, const std::string& payload) {
  std::string frame;
  for (int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}

// RFC 7541 §6.2.2: literal header field without indexing, new name. All strings here are shorter than 127 bytes.
std::string Literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}

std::string TenRequests() {
  std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, "");  // SETTINGS
  const std::string headers = Literal(":method", "POST") + Literal(":scheme", "http") +
                              Literal(":path", "/lanyard.test.Echo/Pid") + Literal(":authority", "localhost") +
                              Literal("te", "trailers") + Literal("content-type", "application/grpc") +
                              Literal("x-pid", std::to_string(getpid()));
  for (unsigned stream = 1; stream < 20; stream += 2) {
    bytes += Frame(1, 4, stream, headers);                       // HEADERS, END_HEADERS
    bytes += Frame(0, 1, stream, std::string("\0\0\0\0\0", 5));  // DATA: an empty message, END_STREAM
  }
  return bytes;
}

enum class Patience { kNone, kFirstByte, kAnswers };

// What a server says at first has fewer bytes than this; with a few answers it has more.
constexpr size_t kSomeAnswers = 400;

long AttackOnce(const char* path, Patience patience, const std::string& bytes) {
  const int fd = Connect(path);
  if (fd < 0) return 0;
  const bool sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
  if (patience == Patience::kFirstByte) poll(&readable, 1, 1000);
  if (patience == Patience::kAnswers) {
    char answer[4096];
    for (size_t seen = 0; seen < kSomeAnswers && poll(&readable, 1, 200) == 1;) {
      const ssize_t some = recv(fd, answer, sizeof answer, 0);
      if (some <= 0) break;
      seen += static_cast<size_t>(some);
    }
  }
  close(fd);
  return sent ? 10 : 0;
}

int Attack(const char* path, int count) {
  int report[2];
  if (pipe(report) != 0) return 1;
  for (int child = 0; child < 8; ++child) {
    if (fork() != 0) continue;
    const std::string bytes = TenRequests();
    long requests = 0;
    for (int i = 0; i < count; ++i) requests += AttackOnce(path, static_cast<Patience>(i % 3), bytes);
    if (write(report[1], &requests, sizeof(requests)) < 0) _exit(1);
    pause();  // stays who it is until all is counted
    _exit(0);
  }
  long total = 0;
  for (int child = 0; child < 8; ++child) {
    long requests = 0;
    if (read(report[0], &requests, sizeof(requests)) == sizeof(requests)) total += requests;
  }
  std::printf("%ld\n", total);
  std::fflush(stdout);
  usleep(500000);  // what is on its way arrives while its sender still lives
  kill(0, SIGTERM);
  return 0;
}

int LeaveChild(const char* path) {
  const int fd = Connect(path);
  if (fd < 0) return 1;
  if (fork() != 0) {
    usleep(200000);  // long enough to be accepted and identified
    return 0;
  }
  pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
  char byte;
  if (poll(&ended, 1, 20000) == 1 && recv(fd, &byte, 1, 0) <= 0) {
    std::puts("ended");
  } else {
    std::puts("still open");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string mode = argv[1];
  if (mode == "attack" && argc == 4) {
    setpgid(0, 0);
    return Attack(argv[2], std::atoi(argv[3]));
  }
  if (mode == "leave-child") return LeaveChild(argv[2]);
  if (mode == "exit") return Connect(argv[2]) < 0;
  return 2;
}
