#include "workload_api/client/x509_source.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "node_agent/base/fd.h"
#include "pki/verifier.h"
#include "tests/unit/workload_api/client/workload_api_peer.h"

namespace lanyard::testing {
namespace {

using ::testing::HasSubstr;

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

// A socket at `path` that a test itself accepts from.
UniqueFd Listen(const std::string& path) {
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  EXPECT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(listener.get(), 16), 0);
  return listener;
}

// Carries what there is from one socket to the other; false when one of them is over.
bool Carry(int from, int to) {
  char bytes[16384];
  pollfd readable{from, POLLIN, 0};
  if (poll(&readable, 1, 10) <= 0) return true;
  const ssize_t got = recv(from, bytes, sizeof bytes, 0);
  return got > 0 && send(to, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
}

class X509SourceTest : public ::testing::Test {
 protected:
  std::shared_ptr<X509Source> Source(X509SourceOptions options = {}) {
    return Get(X509Source::Create(Get(WorkloadClient::Create(api_.endpoint())), std::move(options)));
  }
  X509SVID Message(const X509Svid& svid, const std::string& hint = "") const {
    return SvidMessage(svid, authority_.bundle, hint);
  }
  void SayOne(const X509Svid& svid) { api_.Say({Message(svid)}, {authority_.bundle}); }
  // The authority's list of these.
  Crl List(std::uint64_t number, const std::vector<X509Svid>& revoked = {}) const {
    CrlContent content{number, Now() - minutes(1), Now() + hours(1), {}};
    for (const X509Svid& svid : revoked) content.revoked.push_back({svid.serial_hex(), Now(), svid.not_after()});
    return Get(authority_.issuer.SignCrl(content));
  }
  // What a handshake would make of a peer.
  static Status Verify(const X509Source& source, const X509Svid& peer) {
    const auto now = Get(source.Snapshot());
    return VerifyX509Svid(peer.chain(), now->bundles, Now(), KeyPurpose::kAny, &now->revocation).status();
  }
  // The bundle stream ends, and does not come back; only that is waited for.
  void BreakBundleStream(const X509Source& source) {
    api_.Say([](WorkloadApiPeer::Said& said) { said.bundle_status = {grpc::StatusCode::UNAVAILABLE, "bundles away"}; });
    ASSERT_TRUE(Eventually([&] { return !source.Connection().ok(); }));
  }
  // Waits until `done` holds of what the source says.
  template <class Done>
  bool Eventually(Done done) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!done() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return done();
  }

  const Authority authority_;
  const X509Svid agent_ = authority_.Issue("/agent"), tool_ = authority_.Issue("/tool");
  WorkloadApiPeer api_;
};

TEST_F(X509SourceTest, IsTheFirstIdentityAndKnowsTheBundles) {
  const Authority partner("partner.example");
  api_.Say({Message(agent_), Message(tool_)}, {authority_.bundle, partner.bundle});
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  EXPECT_EQ(Get(source->Svid()).id(), agent_.id());
  const auto snapshot = Get(source->Snapshot());
  EXPECT_EQ(snapshot->identities.size(), 2U);
  EXPECT_EQ(snapshot->bundles.all().size(), 2U);
  EXPECT_FALSE(source->ChecksRevocation(Td()));
  EXPECT_TRUE(source->Connection().ok());
}

TEST_F(X509SourceTest, IsTheIdentityThatWasAskedForByIdOrByHint) {
  api_.Say({Message(agent_, "internal"), Message(tool_, "external")}, {authority_.bundle});
  const auto by_id = Source({.id = tool_.id(), .hint = ""}), by_hint = Source({.id = {}, .hint = "external"});
  ASSERT_TRUE(by_id->WaitReady(kPatience).ok());
  ASSERT_TRUE(by_hint->WaitReady(kPatience).ok());
  EXPECT_EQ(Get(by_id->Svid()).id(), tool_.id());
  EXPECT_EQ(Get(by_hint->Svid()).id(), tool_.id());
}

TEST_F(X509SourceTest, IsNobodyElseWhenTheIdentityThatWasAskedForIsNotThere) {
  SayOne(agent_);
  ASSERT_TRUE(Source()->WaitReady(kPatience).ok());
  const auto other = Source({.id = tool_.id(), .hint = ""});
  EXPECT_THAT(
      other->WaitReady(milliseconds(300)),
      FailsWith(StatusCode::kNotFound, "no X.509-SVID spiffe://example.org/tool; there is spiffe://example.org/agent"));
}

TEST_F(X509SourceTest, FollowsARotation) {
  SayOne(agent_);
  const auto source = Source();
  const auto first = Get(source->WaitNewer(0, kPatience));
  const X509Svid next = authority_.Issue("/agent");
  SayOne(next);
  ASSERT_TRUE(Eventually([&] { return Get(source->Svid()).serial_hex() == next.serial_hex(); }));
  EXPECT_GT(Get(source->Snapshot())->version, first->version);
  EXPECT_EQ(first->identities[0].svid.serial_hex(), agent_.serial_hex());  // what a reader holds does not change
}

TEST_F(X509SourceTest, IsReadyWhenTheAgentGrantsWhatItDeniedBefore) {
  api_.Refuse({grpc::StatusCode::PERMISSION_DENIED, "no identity issued"});
  const auto source = Source();
  EXPECT_THAT(source->WaitReady(milliseconds(50)), FailsWith(StatusCode::kPermissionDenied, "no identity issued"));
  EXPECT_THAT(source->WaitReady(kPatience, IfDenied::kReturn),
              FailsWith(StatusCode::kPermissionDenied, "Workload API at unix:"));
  SayOne(agent_);
  EXPECT_TRUE(source->WaitReady(kPatience).ok());
}

TEST_F(X509SourceTest, LosesAtOnceWhatTheAgentTakesBackAndGetsItAgain) {
  api_.Say({Message(agent_), Message(tool_)}, {authority_.bundle});
  const auto source = Source({.id = tool_.id(), .hint = ""});
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  SayOne(agent_);
  EXPECT_TRUE(Eventually([&] { return source->Svid().status().code() == StatusCode::kNotFound; }));
  api_.Refuse({grpc::StatusCode::PERMISSION_DENIED, "no identity issued"});
  EXPECT_TRUE(Eventually([&] { return source->Svid().status().code() == StatusCode::kPermissionDenied; }));
  EXPECT_TRUE(Get(source->Snapshot())->identities.empty());
  SayOne(tool_);
  EXPECT_TRUE(source->WaitReady(kPatience).ok());
}

TEST_F(X509SourceTest, KeepsWhatItHasWhileTheAgentIsAwayAndComesBackByItself) {
  SayOne(agent_);
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  api_.Stop();
  ASSERT_TRUE(Eventually([&] { return source->Connection().code() == StatusCode::kUnavailable; }));
  EXPECT_TRUE(source->Svid().ok());
  const X509Svid next = authority_.Issue("/agent");
  SayOne(next);
  api_.Start();
  EXPECT_TRUE(Eventually([&] { return Get(source->Svid()).serial_hex() == next.serial_hex(); }));
  EXPECT_TRUE(Eventually([&] { return source->Connection().ok(); }));
}

TEST_F(X509SourceTest, AnExpiredIdentityIsNotShownAnyMoreAndTheErrorSaysSinceWhenTheAgentIsAway) {
  SayOne(authority_.Issue("/agent", Now() - minutes(1), Now() + seconds(2)));
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  api_.Stop();
  ASSERT_TRUE(Eventually([&] { return !source->Svid().ok(); }));
  EXPECT_TRUE(Eventually([&] { return !source->Connection().ok(); }));
  EXPECT_THAT(source->Svid(),
              FailsWith(StatusCode::kUnavailable, "own X.509-SVID spiffe://example.org/agent expired at"));
  EXPECT_THAT(source->Svid(), FailsWith(StatusCode::kUnavailable, "was not renewed: "));
  SayOne(agent_);
  api_.Start();
  EXPECT_TRUE(source->WaitReady(kPatience).ok());
}

TEST_F(X509SourceTest, ASocketThatIsNotThereIsNamedInTheError) {
  const auto source = Get(X509Source::Create(Get(WorkloadClient::Create("unix:///nowhere/w.sock"))));
  EXPECT_THAT(source->WaitReady(milliseconds(500)),
              FailsWith(StatusCode::kUnavailable, "Workload API at unix:///nowhere/w.sock"));
}

TEST_F(X509SourceTest, ABusyApiThatTakesSecondsToTalkIsReached) {
  SayOne(agent_);
  const lanyard::TempDir directory;
  const std::string path = directory.Path("w.sock");
  const UniqueFd listener = Listen(path);
  // Hands the first connection on to the API, late: whoever has given it up meanwhile is not let in again
  std::jthread relay([&](const std::stop_token& stop) {
    const UniqueFd client(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::this_thread::sleep_for(seconds(2));
    const UniqueFd api(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = Address(api_.endpoint().substr(std::string("unix://").size()));
    EXPECT_EQ(connect(api.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    while (!stop.stop_requested() && Carry(client.get(), api.get()) && Carry(api.get(), client.get())) {
    }
  });
  const auto source = Get(X509Source::Create(Get(WorkloadClient::Create("unix://" + path))));
  EXPECT_TRUE(source->WaitReady(kPatience).ok());
  relay.request_stop();
}

TEST_F(X509SourceTest, ASilentApiIsAnErrorAndClosingDoesNotWaitForIt) {
  const lanyard::TempDir directory;
  const std::string path = directory.Path("w.sock");
  const UniqueFd listener = Listen(path);  // nobody accepts
  const auto source = Get(X509Source::Create(Get(WorkloadClient::Create("unix://" + path))));
  EXPECT_THAT(source->WaitReady(milliseconds(200)), FailsWith(StatusCode::kUnavailable, "nothing has come yet"));
  const auto begin = std::chrono::steady_clock::now();
  source->Close();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatience / 2);
}

TEST_F(X509SourceTest, WhatIsNoWorkloadApiIsAnError) {
  const lanyard::TempDir directory;
  const std::string path = directory.Path("w.sock");
  const UniqueFd listener = Listen(path);
  std::jthread garbage([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const UniqueFd peer(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      constexpr std::string_view kText = "SSH-2.0-nobody\r\nthis is no HTTP/2\r\n\r\n";
      static_cast<void>(send(peer.get(), kText.data(), kText.size(), MSG_NOSIGNAL));
    }
  });
  {
    const auto source = Get(X509Source::Create(Get(WorkloadClient::Create("unix://" + path))));
    EXPECT_FALSE(source->WaitReady(milliseconds(500)).ok());
    EXPECT_THAT(source->Svid(), FailsWith(StatusCode::kUnavailable, "Workload API at unix:"));
  }
  garbage.request_stop();
  shutdown(listener.get(), SHUT_RDWR);  // wakes accept
}

TEST_F(X509SourceTest, AMessageThatDoesNotHoldTogetherIsNotUsed) {
  SayOne(agent_);
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  api_.Say([&](WorkloadApiPeer::Said& said) {
    said.svids.mutable_svids(0)->set_x509_svid_key(SvidMessage(tool_, authority_.bundle).x509_svid_key());
  });
  ASSERT_TRUE(Eventually([&] { return source->Connection().code() == StatusCode::kDataLoss; }));
  EXPECT_EQ(Get(source->Svid()).serial_hex(), agent_.serial_hex());
  EXPECT_THAT(source->Connection(), FailsWith(StatusCode::kDataLoss, "SVID \"spiffe://example.org/agent\""));
}

TEST_F(X509SourceTest, NobodyAsksAgainWhenTheCallItselfIsWrong) {
  api_.Refuse({grpc::StatusCode::INVALID_ARGUMENT, "not like this"});
  const auto source = Source();
  EXPECT_THAT(source->WaitReady(kPatience), FailsWith(StatusCode::kInvalidArgument, "not like this"));
  ASSERT_TRUE(Eventually([&] { return api_.calls() == 2; }));
  EXPECT_FALSE(Eventually([&, end = std::chrono::steady_clock::now() + milliseconds(600)] {
                 return api_.calls() > 2 || std::chrono::steady_clock::now() > end;
               }) &&
               api_.calls() > 2);
}

TEST_F(X509SourceTest, AnApiWithoutFetchX509BundlesIsUsedByWhatComesWithTheIdentities) {
  api_.Say({Message(agent_)}, {authority_.bundle});
  api_.Say(
      [](WorkloadApiPeer::Said& said) { said.bundle_status = grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "none"); });
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  const auto snapshot = Get(source->Snapshot());
  EXPECT_EQ(snapshot->bundles.all().size(), 1U);
  EXPECT_TRUE(source->Connection().ok()) << source->Connection();
  EXPECT_THAT(source->WaitNewer(snapshot->version, milliseconds(50)),
              FailsWith(StatusCode::kDeadlineExceeded, "nothing new within 50 ms"));
}

TEST_F(X509SourceTest, AFederatedAuthorityWithAnUnusualKeySpoilsNoMessage) {
  const OpensslCli cli;
  cli.MakeKey("ca", "ED25519");
  cli.MakeCertificate("ca", "", kCaExtensions);
  const Certificate unusual = ReadCertificate(cli, "ca");
  api_.Say({Message(agent_)}, {authority_.bundle});
  api_.Say([&](WorkloadApiPeer::Said& said) {
    (*said.bundles.mutable_bundles())["spiffe://partner.example"] = unusual.der();
    (*said.svids.mutable_federated_bundles())["spiffe://partner.example"] = unusual.der();
  });
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok()) << source->Connection();
  const auto snapshot = Get(source->Snapshot());
  const Bundle* partner = snapshot->bundles.Find(Td("partner.example"));
  ASSERT_NE(partner, nullptr);
  EXPECT_THAT(partner->x509_authorities(), ::testing::ElementsAre(unusual));
}

TEST_F(X509SourceTest, ATrustDomainThatHadListsIsCheckedByTheNextSourceOfTheClientToo) {
  const auto client = Get(WorkloadClient::Create(api_.endpoint()));
  api_.Say({Message(agent_)}, {authority_.bundle}, {List(1)});
  {
    const auto job = Get(X509Source::Create(client));
    ASSERT_TRUE(job->WaitReady(kPatience).ok());
    EXPECT_TRUE(Verify(*job, tool_).ok());
  }
  SayOne(agent_);  // and no lists any more
  const auto next = Get(X509Source::Create(client));
  ASSERT_TRUE(next->WaitReady(kPatience).ok());
  EXPECT_TRUE(next->ChecksRevocation(Td()));
  EXPECT_THAT(Verify(*next, tool_), FailsWith(StatusCode::kUnauthenticated, "no revocation list of its issuer"));
}

TEST_F(X509SourceTest, ARevocationThatComesWithTheIdentitiesCountsWhileTheBundleStreamIsDown) {
  api_.Say({Message(agent_)}, {authority_.bundle}, {List(1)});
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  BreakBundleStream(*source);
  EXPECT_TRUE(Verify(*source, tool_).ok());
  api_.Say([&](WorkloadApiPeer::Said& said) { said.svids.set_crl(0, List(2, {tool_}).der()); });
  ASSERT_TRUE(Eventually([&] { return !Verify(*source, tool_).ok(); }));
  EXPECT_THAT(Verify(*source, tool_), FailsWith(StatusCode::kUnauthenticated, "it is revoked"));
}

TEST_F(X509SourceTest, ARootThatTheIdentitiesNoLongerComeWithIsGoneWhileTheBundleStreamIsDown) {
  const Authority partner("partner.example");
  api_.Say({Message(agent_)}, {authority_.bundle, partner.bundle});
  api_.Say([&](WorkloadApiPeer::Said& said) {
    (*said.svids.mutable_federated_bundles())[partner.trust_domain.id()] = partner.bundle.X509Der();
  });
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  BreakBundleStream(*source);
  EXPECT_TRUE(Verify(*source, partner.Issue("/peer")).ok());
  api_.Say([](WorkloadApiPeer::Said& said) { said.svids.clear_federated_bundles(); });
  EXPECT_TRUE(Eventually([&] { return Get(source->Snapshot())->bundles.all().size() == 1; }));
}

TEST_F(X509SourceTest, AnOlderMessageWithTheIdentitiesTakesNoRevocationBackWhileTheBundleStreamIsDown) {
  api_.Say({Message(agent_)}, {authority_.bundle}, {List(2, {tool_})});
  api_.Say([&](WorkloadApiPeer::Said& said) { said.svids.set_crl(0, List(1).der()); });
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  BreakBundleStream(*source);
  const X509Svid next = authority_.Issue("/agent");
  api_.Say([&](WorkloadApiPeer::Said& said) { *said.svids.mutable_svids(0) = Message(next); });
  ASSERT_TRUE(Eventually([&] { return Get(source->Svid()).serial_hex() == next.serial_hex(); }));
  EXPECT_THAT(Verify(*source, tool_), FailsWith(StatusCode::kUnauthenticated, "it is revoked"));
}

TEST_F(X509SourceTest, WhenTheBundleStreamIsBackItsMessagesAloneDecide) {
  const Authority partner("partner.example");
  api_.Say({Message(agent_)}, {authority_.bundle, partner.bundle}, {List(1)});
  const auto source = Source();
  ASSERT_TRUE(source->WaitReady(kPatience).ok());
  BreakBundleStream(*source);
  api_.Say([&](WorkloadApiPeer::Said& said) { said.svids.set_crl(0, List(2, {tool_}).der()); });
  ASSERT_TRUE(Eventually([&] { return !Verify(*source, tool_).ok(); }));
  EXPECT_EQ(Get(source->Snapshot())->bundles.all().size(), 1U);
  api_.Say([](WorkloadApiPeer::Said& said) { said.bundle_status = grpc::Status::OK; });
  ASSERT_TRUE(Eventually([&] { return source->Connection().ok(); }));
  EXPECT_TRUE(Verify(*source, tool_).ok());
  EXPECT_EQ(Get(source->Snapshot())->bundles.all().size(), 2U);
}

TEST_F(X509SourceTest, CloseWakesWhoeverWaitsAndEndsEverything) {
  api_.Refuse({grpc::StatusCode::PERMISSION_DENIED, "no identity issued"});
  const auto source = Source();
  Status waited;
  std::jthread waiter([&] { waited = source->WaitReady(milliseconds::max()); });
  ASSERT_TRUE(Eventually([&] { return api_.calls() >= 2; }));
  source->Close();
  waiter.join();
  EXPECT_THAT(waited, FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(source->Svid(), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(source->Snapshot(), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(source->Connection(), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  source->Close();
}

TEST_F(X509SourceTest, ASourceThatIsClosedLeavesTheOthersOfItsClientOpen) {
  SayOne(agent_);
  const auto client = Get(WorkloadClient::Create(api_.endpoint()));
  const auto one = Get(X509Source::Create(client)), other = Get(X509Source::Create(client));
  ASSERT_TRUE(other->WaitReady(kPatience).ok());
  one->Close();
  const X509Svid next = authority_.Issue("/agent");
  SayOne(next);
  EXPECT_TRUE(Eventually([&] { return Get(other->Svid()).serial_hex() == next.serial_hex(); }));
}

TEST_F(X509SourceTest, AThousandSourcesOfOneClientShareOneConnection) {
  SayOne(agent_);
  const auto client = Get(WorkloadClient::Create(api_.endpoint()));
  std::vector<std::shared_ptr<X509Source>> sources;
  for (int i = 0; i < 1000; ++i) sources.push_back(Get(X509Source::Create(client)));
  for (const auto& source : sources) EXPECT_TRUE(source->WaitReady(kPatience).ok());
  EXPECT_EQ(api_.connections(), 1U);
  EXPECT_EQ(api_.calls(), 2);  // identities and bundles, once each
}

TEST(WorkloadClientTest, RefusesAnEndpointThatIsNone) {
  EXPECT_THAT(WorkloadClient::Create("http://example.org"), Refused("the scheme must be unix"));
  EXPECT_THAT(WorkloadClient::Create("tcp://localhost:80"), Refused("an IP address and a port"));
  EXPECT_TRUE(WorkloadClient::Create("tcp://127.0.0.1:8081").ok());
  EXPECT_TRUE(WorkloadClient::Create("tcp://[::1]:8081").ok());
  EXPECT_THAT(X509Source::Create(nullptr), Refused("no client"));
}

}  // namespace
}  // namespace lanyard::testing
