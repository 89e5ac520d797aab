// A CRL keeper with a CA of either kind and a state store that fails when a test says so.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/crl_keeper.h"
#include "tests/support/fake_records.h"
#include "tests/support/openssl_cli.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {

struct CrlTestBase : ::testing::Test {
  TempDir temp;
  World world;
  FakeStateStore store{world.loop};
  std::optional<DataDirLock> lock = DataDirLock::Acquire(temp.Path("data")).value();
  CaOptions options{.trust_domain = ExampleOrg(), .ca_ttl = 600s, .usual_leaf_ttl = 60s};
  RevocationState at_start;
  std::unique_ptr<CaKeeper> ca;
  std::unique_ptr<CrlKeeper> crls;
  int changes = 0;

  ~CrlTestBase() override {
    crls.reset();
    ca.reset();
    world.Settle();  // what is under way has alarms on the clock, which goes before the loop
  }

  void StartCrls(const std::string& issuer_root_crl = "") {
    auto started = CrlKeeper::Start(
        {.issuer_root_crl = issuer_root_crl}, ca->source(), [this] { return ca->issuers(); }, at_start, store,
        world.loop, world.clock);
    ASSERT_TRUE(started.ok()) << started.status();
    crls = *std::move(started);
    crls->OnChange([this] { ++changes; });
  }
  void Start() {
    auto made = MakeEmbeddedCa(options, *lock, world.loop, world.clock);
    ASSERT_TRUE(made.ok()) << made.status();
    ca = *std::move(made);
    StartCrls(options.given ? options.given->issuer_root_crl : "");
  }
  // The agent is killed and comes back: it knows what the store had.
  void Restart() {
    crls.reset();
    ca.reset();
    world.Settle();
    at_start.revoked.insert(at_start.revoked.end(), store.revoked.begin(), store.revoked.end());
    for (const auto& [authority, numbers] : store.crl_numbers) at_start.crl_numbers[authority] = numbers.back();
    Start();
  }

  std::vector<Crl> Lists() {
    std::vector<Crl> lists;
    const auto current = crls->Current();
    EXPECT_TRUE(current.ok()) << current.status();
    if (!current.ok() || *current == nullptr) return lists;
    for (const std::string& der : (*current)->lists) lists.push_back(Crl::FromDer(der).value());
    return lists;
  }
  // The only one there is.
  Crl List() {
    const std::vector<Crl> lists = Lists();
    if (lists.size() != 1) {
      ADD_FAILURE() << lists.size() << " lists";
      std::abort();
    }
    return lists.front();
  }
  std::string CaId() { return ca->Show().at(0).id; }
  RevokedSerial Revoked(const std::string& serial, std::chrono::seconds life = 3600s) {
    const WallTime now = world.clock.WallNow();
    return {.authority = CaId(), .serial = serial, .not_after = now + life, .revoked_at = now};
  }
  Status Revoke(const RevokedSerial& revoked) {
    std::optional<Status> answer;
    crls->Revoke(revoked, [&](Status status) { answer = std::move(status); });
    EXPECT_FALSE(answer) << "answered before Revoke() returned";
    world.Settle();
    return answer.value_or(Error(StatusCode::kInternal, "no answer"));
  }
  static std::vector<std::string> Serials(const Crl& crl) {
    std::vector<std::string> serials;
    for (const CrlFields::Entry& entry : crl.fields().entries) serials.push_back(entry.serial_hex);
    return serials;
  }
  static std::uint64_t Number(const Crl& crl) {
    return std::stoull(crl.fields().number_hex.value_or("0"), nullptr, 16);
  }
  X509Svid Issue(const std::string& name = "refund", std::chrono::seconds ttl = 60s) {
    std::optional<Result<X509Svid>> answer;
    ca->source().Issue({.entry = MakeEntry(name), .ttl = ttl},
                       [&](Result<X509Svid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return answer->value();
  }
};

// With an intermediate that openssl has certified, whose clock is today's.
struct GivenIssuerCrlTest : CrlTestBase {
  static constexpr char kCaExtensions[] =
      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
      "authorityKeyIdentifier=keyid\n";
  OpensslCli openssl;

  GivenIssuerCrlTest() {
    world.clock.JumpWall(
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - world.clock.WallNow()) + 5s);
    openssl.MakeCertificate("root", "", kCaExtensions, "/O=Upstream/CN=root");
    openssl.MakeCertificate("one", "root", kCaExtensions, "/O=Upstream/CN=one", "20");
    temp.MakeDir("given", 0700);
    options.given = {temp.Path("given/issuer.pem"), temp.Path("given/issuer.key"), temp.Path("given/roots.pem"), ""};
    Give("one");
    Put(options.given->upstream_roots, openssl.Read("root.crt"), 0644);
  }
  // As a deployment tool does: a new file in place of the old one.
  static void Put(const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(path + ".new", std::ios::binary) << text;
    chmod((path + ".new").c_str(), mode);
    std::filesystem::rename(path + ".new", path);
  }
  void Give(const std::string& name) {
    Put(options.given->issuer_cert, openssl.Read(name + ".crt"), 0644);
    Put(options.given->issuer_key, openssl.Read(name + ".key"), 0600);
  }
  // A list by OpenSSL in issuer_root_crl.
  void GiveRootCrl(const std::string& pem) {
    options.given->issuer_root_crl = temp.Path("given/root.crl");
    Put(options.given->issuer_root_crl, pem, 0644);
  }
  // What `openssl verify` says of a leaf with the lists that are handed out.
  OpensslCli::Outcome Verify(const X509Svid& svid, const std::string& check = "-crl_check_all") {
    std::string lists, tail;
    for (const Crl& crl : Lists()) lists += crl.ToPem();
    for (const Certificate& certificate : svid.chain()) tail += certificate.ToPem();
    openssl.Write("leaf.pem", svid.leaf().ToPem());
    openssl.Write("tail.pem", tail);
    openssl.Write("lists.pem", lists);
    return openssl.Try("verify " + check + " -CAfile root.crt -untrusted tail.pem -CRLfile lists.pem leaf.pem");
  }
};

}  // namespace lanyard::testing
