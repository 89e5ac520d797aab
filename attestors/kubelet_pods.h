// What a kubelet says about the pods of its node: the answer to GET /pods, a v1 PodList.
//
// Of several kilobytes for each pod only what selectors are made of is taken; the rest (variables with passwords among
// it) is skipped where it stands. What is taken is kept until the kubelet is asked again.
//
// Thread: any; immutable once read. No error quotes the answer.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

struct KubeletContainer {
  std::string id;  // 64 hexadecimal digits, without the runtime's name; empty: not made yet
  std::string name;
  std::string image;     // as the runtime names it
  std::string image_id;  // with its digest
};

struct KubeletOwner {
  std::string kind;
  std::string name;
  std::string uid;
};

struct KubeletPod {
  std::string name;
  std::string name_space;
  std::string uid;
  std::string node;
  std::string service_account;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<KubeletOwner> owners;
  std::vector<KubeletContainer> containers;
  std::vector<KubeletContainer> init_containers;
  std::vector<KubeletContainer> ephemeral_containers;
};

class KubeletPods {
 public:
  struct Place {
    const KubeletPod* pod = nullptr;  // null: no pod has this container
    const KubeletContainer* container = nullptr;
  };

  // No pods.
  KubeletPods() = default;
  KubeletPods(KubeletPods&&) = default;
  KubeletPods& operator=(KubeletPods&&) = default;

  // `answer` gets room behind its end, for the parser. InvalidArgument when it is no list of pods.
  static Result<KubeletPods> Read(WipedString& answer);

  // Valid as long as this is. FailedPrecondition when two containers have this id.
  Result<Place> Find(std::string_view container_id) const;
  const std::vector<KubeletPod>& pods() const { return pods_; }

 private:
  struct Index {
    Place place;
    bool ambiguous = false;
  };

  void MakeIndex();

  std::vector<KubeletPod> pods_;
  std::unordered_map<std::string_view, Index> by_container_;  // of ids in pods_
};

}  // namespace lanyard
