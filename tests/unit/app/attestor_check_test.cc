#include "node_agent/app/attestor_check.h"

#include <gmock/gmock.h>

namespace lanyard {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::shared_ptr<const Registry> RegistryOf(std::vector<const char*> selectors) {
  Entry entry{.id = SpiffeId::Parse("spiffe://example.org/a").value()};
  for (const char* selector : selectors) entry.selectors.push_back(Selector::Parse(selector).value());
  return Registry::Build({{std::make_shared<const Entry>(std::move(entry)), {"r.yaml", 2, 5}}});
}

TEST(AttestorCheckTest, NamesAnEntryThatNeedsAnAttestorThatIsOff) {
  for (const char* type : {"docker", "containerd", "systemd"}) {
    const std::string selector = fmt::format("{}:id:x.service", type);
    EXPECT_THAT(UnattestedEntries(*RegistryOf({"unix:uid:1", selector.c_str()}), {}),
                ElementsAre(AllOf(StartsWith("r.yaml:2:5: spiffe://example.org/a"), HasSubstr(selector),
                                  HasSubstr(fmt::format("attestors: {{{}: {{}}}}", type)))));
  }
  EXPECT_THAT(UnattestedEntries(*RegistryOf({"k8s:ns:shop"}), {}), ElementsAre(HasSubstr("{kubernetes: {}}")));
}

TEST(AttestorCheckTest, NamesAnEntryThatNeedsTheExecutableWhereItIsNotLookedAt) {
  const auto registry = RegistryOf({"unix:uid:1", "unix:path:/usr/bin/a"});
  EXPECT_THAT(UnattestedEntries(*registry, {.unix_executable = false}), ElementsAre(HasSubstr("executable: true")));
  EXPECT_THAT(UnattestedEntries(*registry, {}), IsEmpty());
}

TEST(AttestorCheckTest, NamesAnEntryThatNeedsTheApiServerWhereItIsNotAsked) {
  const auto registry = RegistryOf({"k8s:sa:a", "k8s:ns-label:team:refunds"});
  KubernetesOptions kubernetes;
  EXPECT_THAT(UnattestedEntries(*registry, {.kubernetes = kubernetes}),
              ElementsAre(AllOf(HasSubstr("ns-label:team:refunds"), HasSubstr("kubernetes: {api_server:"))));
  kubernetes.api_address = "10.96.0.1";
  EXPECT_THAT(UnattestedEntries(*registry, {.kubernetes = kubernetes}), IsEmpty());
}

TEST(AttestorCheckTest, SaysNothingOfAttestorsThatAreOn) {
  const auto registry = RegistryOf({"docker:label:a:b", "systemd:id:a.service", "containerd:label:a:b", "k8s:ns:a"});
  EXPECT_THAT(UnattestedEntries(*registry, {.systemd = SystemdOptions(),
                                            .docker = DockerOptions(),
                                            .containerd = ContainerdOptions(),
                                            .kubernetes = KubernetesOptions()}),
              IsEmpty());
}

}  // namespace
}  // namespace lanyard
