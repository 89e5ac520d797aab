// A list of pods, whatever it says: every container that is listed is found by its id in the pod that lists it, or is
// an error because another has the same; what is refused is told without a word of the list.
#include "attestors/kubelet_pods.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

void CheckPods(std::string_view text) {
  WipedString answer(text);
  const Result<KubeletPods> pods = KubeletPods::Read(answer);
  if (!pods.ok()) {
    RequireTold(pods.status());
    return Require(Message(pods.status()).size() < 300);
  }
  for (const KubeletPod& pod : pods->pods()) {
    for (const auto* containers : {&pod.containers, &pod.init_containers, &pod.ephemeral_containers}) {
      for (const KubeletContainer& container : *containers) {
        if (container.id.empty()) continue;
        Require(text.find(container.id) != std::string_view::npos || text.find('\\') != std::string_view::npos);
        const Result<KubeletPods::Place> place = pods->Find(container.id);
        if (place.ok()) {
          Require(place->pod == &pod && place->container == &container);
        } else {
          RequireTold(place.status());
        }
      }
    }
  }
  Require(pods->Find("no such container")->pod == nullptr);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckPods(lanyard::AsText(data, size));
  return 0;
}
