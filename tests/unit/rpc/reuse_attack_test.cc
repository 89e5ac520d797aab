// The attack on fd numbers: processes that connect, send requests and close at once, over and over, so that numbers
// come round while requests are still on their way. Each request says which process sent it; the server must never see
// another one.
#include <cstdio>

#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

struct Seen {
  uint64_t calls = 0;
  uint64_t wrong = 0;
};

class PidCheck : public CallHandler {
 public:
  PidCheck(Call& call, Seen& seen) : call_(call), seen_(seen) { Compare(); }
  ~PidCheck() override { Compare(); }
  void OnMessage(grpc::ByteBuffer) override {
    Compare();
    call_.Finish(OkStatus());
  }

 private:
  void Compare() {
    const auto pids = call_.Metadata("x-pid");
    ++seen_.calls;
    if (pids.size() != 1 || pids[0] != std::to_string(call_.connection()->peer.process->pid())) ++seen_.wrong;
  }

  Call& call_;
  Seen& seen_;
};

class ReuseAttackTest : public RpcTest {
 protected:
  void Attack(int connections_of_each) {
    Seen seen;
    Methods methods;
    methods["/lanyard.test.Echo/Pid"] = [&](Call& call) { return std::make_unique<PidCheck>(call, seen); };
    Serve(std::move(methods));
    const long sent = WhileServing([&] {
      FILE* attack = popen(
          (std::string(LANYARD_RAW_CLIENT) + " attack " + path() + " " + std::to_string(connections_of_each)).c_str(),
          "re");
      long requests = 0;
      if (fscanf(attack, "%ld", &requests) != 1) requests = -1;
      pclose(attack);
      return requests;
    });
    EXPECT_GT(sent, connections_of_each * 8 * 10 / 2);
    EXPECT_GT(seen.calls, 0u) << "nothing was tried";
    EXPECT_EQ(seen.wrong, 0u) << "of " << seen.calls;
    std::printf("%ld requests sent, %lu became calls, looked at %lu times\n", sent,
                static_cast<unsigned long>(server_->stats().calls), static_cast<unsigned long>(seen.calls));
    server_.reset();
  }
};

TEST_F(ReuseAttackTest, NoRequestIsEverTakenForAnotherProcesss) {
  Attack(500);
}

TEST_F(ReuseAttackTest, NorWhenNumbersComeRoundAfterAFewConnections) {
  const int low = resources_.fds.low();
  resources_.fds = FdWindow(low, low + 40);
  Attack(300);
}

}  // namespace
}  // namespace lanyard
