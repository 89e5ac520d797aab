#include "attestors/kubelet_pods.h"

#include <simdjson.h>

#include <optional>

namespace lanyard {
namespace {

using simdjson::error_code;
using simdjson::ondemand::array;
using simdjson::ondemand::object;
using simdjson::ondemand::raw_json_string;
using simdjson::ondemand::value;

// Parsers return simdjson's error, INCORRECT_TYPE where something is of another kind than it should be. What a parser
// does not look at is skipped by the library.

#define TRY(expression)                                                      \
  if (const error_code failed = (expression); failed != simdjson::SUCCESS) { \
    return failed;                                                           \
  }

error_code ReadText(value from, std::string& to) {
  std::string_view text;
  TRY(from.get_string().get(text));
  to.assign(text);
  return simdjson::SUCCESS;
}

// `read(member)` for each member of an object that is one of its name; null is as if it was not there.
template <class Read>
error_code ReadObject(value from, Read read) {
  object members;
  TRY(from.get_object().get(members));
  for (auto member : members) {
    raw_json_string name;
    value content;
    TRY(member.key().get(name));
    TRY(member.value().get(content));
    bool null = false;
    TRY(content.is_null().get(null));
    if (!null) TRY(read(name, content));
  }
  return simdjson::SUCCESS;
}

template <class Item, class Read>
error_code ReadList(value from, std::vector<Item>& to, Read read) {
  array items;
  TRY(from.get_array().get(items));
  for (auto item : items) {
    value content;
    TRY(item.get(content));
    TRY(read(content, to.emplace_back()));
  }
  return simdjson::SUCCESS;
}

error_code ReadLabels(value from, std::vector<std::pair<std::string, std::string>>& to) {
  object members;
  TRY(from.get_object().get(members));
  for (auto member : members) {
    std::string_view name;
    value content;
    TRY(member.unescaped_key().get(name));
    auto& label = to.emplace_back(name, "");
    TRY(member.value().get(content));
    TRY(ReadText(content, label.second));
  }
  return simdjson::SUCCESS;
}

error_code ReadOwner(value from, KubeletOwner& owner) {
  return ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "kind") return ReadText(content, owner.kind);
    if (name == "name") return ReadText(content, owner.name);
    if (name == "uid") return ReadText(content, owner.uid);
    return simdjson::SUCCESS;
  });
}

error_code ReadMetadata(value from, KubeletPod& pod) {
  return ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "name") return ReadText(content, pod.name);
    if (name == "namespace") return ReadText(content, pod.name_space);
    if (name == "uid") return ReadText(content, pod.uid);
    if (name == "labels") return ReadLabels(content, pod.labels);
    if (name == "ownerReferences") return ReadList(content, pod.owners, ReadOwner);
    return simdjson::SUCCESS;
  });
}

error_code ReadSpec(value from, KubeletPod& pod) {
  return ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "nodeName") return ReadText(content, pod.node);
    if (name == "serviceAccountName") return ReadText(content, pod.service_account);
    return simdjson::SUCCESS;
  });
}

error_code ReadContainer(value from, KubeletContainer& container) {
  TRY(ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "containerID") return ReadText(content, container.id);
    if (name == "name") return ReadText(content, container.name);
    if (name == "image") return ReadText(content, container.image);
    if (name == "imageID") return ReadText(content, container.image_id);
    return simdjson::SUCCESS;
  }));
  // "containerd://ID": the runtime's name tells nothing that the id does not.
  if (const size_t scheme = container.id.find("://"); scheme != std::string::npos) container.id.erase(0, scheme + 3);
  return simdjson::SUCCESS;
}

error_code ReadStatus(value from, KubeletPod& pod) {
  return ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "containerStatuses") return ReadList(content, pod.containers, ReadContainer);
    if (name == "initContainerStatuses") return ReadList(content, pod.init_containers, ReadContainer);
    if (name == "ephemeralContainerStatuses") return ReadList(content, pod.ephemeral_containers, ReadContainer);
    return simdjson::SUCCESS;
  });
}

error_code ReadPod(value from, KubeletPod& pod) {
  return ReadObject(from, [&](raw_json_string name, value content) {
    if (name == "metadata") return ReadMetadata(content, pod);
    if (name == "spec") return ReadSpec(content, pod);
    if (name == "status") return ReadStatus(content, pod);
    return simdjson::SUCCESS;
  });
}

// Sets `listed` when there is a list, maybe an empty one: Go writes that as null, too.
error_code ReadPodList(simdjson::ondemand::document& document, std::vector<KubeletPod>& pods, bool& listed) {
  object members;
  TRY(document.get_object().get(members));
  for (auto member : members) {
    raw_json_string name;
    value content;
    TRY(member.key().get(name));
    TRY(member.value().get(content));
    if (name == "kind") {
      std::string kind;
      TRY(ReadText(content, kind));
      if (kind != "PodList") return simdjson::INCORRECT_TYPE;
    }
    if (name != "items") continue;
    listed = true;
    bool null = false;
    TRY(content.is_null().get(null));
    if (!null) TRY(ReadList(content, pods, ReadPod));
  }
  // Only at the end there is no location.
  return document.current_location().error() ? simdjson::SUCCESS : simdjson::TRAILING_CONTENT;
}

#undef TRY

}  // namespace

Result<KubeletPods> KubeletPods::Read(WipedString& answer) {
  answer.reserve(answer.size() + simdjson::SIMDJSON_PADDING);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  error_code failed =
      parser.iterate(simdjson::padded_string_view(answer.data(), answer.size(), answer.capacity())).get(document);
  KubeletPods pods;
  bool listed = false;
  if (failed == simdjson::SUCCESS) failed = ReadPodList(document, pods.pods_, listed);
  if (failed != simdjson::SUCCESS)
    return Error(StatusCode::kInvalidArgument, "the kubelet's answer is no list of pods: {}",
                 simdjson::error_message(failed));
  if (!listed) return Error(StatusCode::kInvalidArgument, "the kubelet's answer is no list of pods: it has no items");
  pods.MakeIndex();
  return pods;
}

void KubeletPods::MakeIndex() {
  for (const KubeletPod& pod : pods_) {
    for (const auto* containers : {&pod.containers, &pod.init_containers, &pod.ephemeral_containers}) {
      for (const KubeletContainer& container : *containers) {
        if (container.id.empty()) continue;
        const auto [index, fresh] = by_container_.try_emplace(container.id, Index{{&pod, &container}});
        if (!fresh) index->second.ambiguous = true;
      }
    }
  }
}

Result<KubeletPods::Place> KubeletPods::Find(std::string_view container_id) const {
  const auto found = by_container_.find(container_id);
  if (found == by_container_.end()) return Place();
  if (found->second.ambiguous)
    return Error(StatusCode::kFailedPrecondition, "the kubelet says of two containers that they have the id {}",
                 container_id);
  return found->second.place;
}

}  // namespace lanyard
