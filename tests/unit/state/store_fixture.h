// A store in a directory of its own, and what tests do to its files. Whatever reads the files is another process:
// SQLite in this one would lose its locks when a descriptor of them is closed.
#pragma once

#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "node_agent/state/sqlite_store.h"
#include "tests/unit/state/state_fixture.h"

namespace lanyard::testing {

inline const std::string kHash(64, 'a');

inline IssuedSerial Serial(int number, WallTime not_after = FakeClock().WallNow() + 1h) {
  return {.authority = "0a0b",
          .serial = fmt::format("{:04x}", number),
          .spiffe_id = fmt::format("spiffe://example.org/workload/{}", number),
          .not_after = not_after};
}

inline RevokedSerial Revoked(int number, WallTime not_after = FakeClock().WallNow() + 1h) {
  return {.authority = "0a0b",
          .serial = fmt::format("{:04x}", number),
          .not_after = not_after,
          .revoked_at = FakeClock().WallNow()};
}

// What a command prints; its errors too.
inline std::string Run(const std::string& command) {
  std::string output;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(("exec 2>&1; " + command).c_str(), "r"), &pclose);
  char buffer[4096];
  while (pipe != nullptr) {
    const size_t got = fread(buffer, 1, sizeof buffer, pipe.get());
    if (got == 0) break;
    output.append(buffer, got);
  }
  while (output.ends_with('\n')) output.pop_back();
  return output;
}

// One answer of the sqlite3 program, from a process of its own.
inline std::string Sqlite(const std::string& path, const std::string& sql) {
  return Run(fmt::format("sqlite3 '{}' \"{}\"", path, sql));
}

// Another program that holds the database locked, so that the store's thread waits in the middle of a batch.
class Blocker {
 public:
  explicit Blocker(const std::string& path) : pipe_(popen(fmt::format("sqlite3 '{}' >/dev/null", path).c_str(), "w")) {
    Say("BEGIN IMMEDIATE;\n.shell touch '" + path + ".blocked'\n");
    while (!std::filesystem::exists(path + ".blocked")) usleep(1000);
    std::filesystem::remove(path + ".blocked");
  }
  ~Blocker() { pclose(pipe_); }

 private:
  void Say(const std::string& text) {
    fputs(text.c_str(), pipe_);
    fflush(pipe_);
  }
  FILE* pipe_;
};

// A store and all that it borrows.
struct Agent {
  explicit Agent(const std::string& directory, SqliteOptions with = {})
      : lock(DataDirLock::Acquire(directory)), options(with) {}

  Status Open() {
    if (!lock.ok()) return lock.status();
    auto opened = SqliteStore::Open(*lock, options, loop, clock);
    if (!opened.ok()) return opened.status();
    store = *std::move(opened);
    return OkStatus();
  }

  // Waits for the answer.
  Status Record(IssuedSerial issued) {
    std::optional<Status> answer;
    store->RecordIssued(std::move(issued), [&](Status status) { answer = std::move(status); });
    return Await(answer);
  }
  Status Revoke(RevokedSerial revoked) {
    std::optional<Status> answer;
    store->RecordRevoked(std::move(revoked), [&](Status status) { answer = std::move(status); });
    return Await(answer);
  }
  Status UseNumber(const std::string& authority, uint64_t number) {
    std::optional<Status> answer;
    store->UseCrlNumber(authority, number, [&](Status status) { answer = std::move(status); });
    return Await(answer);
  }
  Status Flush() {
    std::optional<Status> answer;
    store->Flush([&](Status status) { answer = std::move(status); });
    return Await(answer);
  }
  Status Await(const std::optional<Status>& answer) {
    if (!RunUntil(loop, [&] { return answer.has_value(); })) return Error(StatusCode::kDeadlineExceeded, "no answer");
    return *answer;
  }

  Result<DataDirLock> lock;
  SqliteOptions options;
  FakeClock clock;
  EventLoop loop;
  std::unique_ptr<SqliteStore> store;
};

class StoreTest : public ::testing::Test {
 protected:
  std::string Path(std::string_view name = "state.db") const {
    return temp_.Path(std::string("data/") + std::string(name));
  }
  std::unique_ptr<Agent> NewAgent(SqliteOptions options = {}) { return std::make_unique<Agent>(directory_, options); }
  // Opens and closes a store, so that there is a database.
  void MakeDatabase(int serials = 0) {
    auto agent = NewAgent();
    ASSERT_TRUE(agent->Open().ok());
    for (int i = 0; i < serials; ++i) agent->store->RecordIssued(Serial(i), [](Status) {});
  }
  // Opens a store in a child, runs `body` with it, and kills the child while the store is open.
  void InAChildThatIsKilled(SqliteOptions options, const std::function<bool(Agent&)>& body) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      Agent agent(directory_, options);
      const char answer = agent.Open().ok() && body(agent) ? 'y' : 'n';
      if (write(ready[1], &answer, 1) == 1) pause();
      _exit(1);
    }
    close(ready[1]);
    char answer = 0;
    EXPECT_EQ(read(ready[0], &answer, 1), 1);
    close(ready[0]);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_EQ(answer, 'y');
  }
  std::string Bytes(std::string_view name = "state.db") const {
    std::ifstream in(Path(name), std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  }
  mode_t Mode(std::string_view name) const {
    struct stat info {};
    EXPECT_EQ(stat(Path(name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  }

  const TempDir temp_;
  const std::string directory_ = temp_.MakeDir("data", 0700);
};

}  // namespace lanyard::testing
