#include "attestors/cri_answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "attestors/json_variables.h"
#include "node_agent/base/printable.h"
#include "pki/hex.h"
#include "pki/strict_json.h"

namespace lanyard {
namespace {

constexpr JsonLimits kInfoLimits{.bytes = size_t{4} * 1024 * 1024, .depth = 32};

// The member `name` that is an object; null when there is none.
nlohmann::json* ObjectMember(nlohmann::json* object, const char* name) {
  if (object == nullptr) return nullptr;
  const auto member = object->find(name);
  return member != object->end() && member->is_object() ? &*member : nullptr;
}

const char* StateName(::runtime::v1::ContainerState state) {
  return state == ::runtime::v1::CONTAINER_EXITED ? "has exited" : "is in no known state";
}

Result<std::vector<SecretBytes>> TakeEnvironment(::runtime::v1::ContainerStatusResponse& answer) {
  const auto info = answer.mutable_info()->find("info");
  if (info == answer.mutable_info()->end()) {
    return Error(StatusCode::kUnavailable,
                 "the runtime's verbose answer has no \"info\", so that its environment cannot be known");
  }
  Result<std::vector<SecretBytes>> environment = ReadCriEnvironment(info->second);
  for (auto& [key, text] : *answer.mutable_info()) WipeMemory(text.data(), text.size());
  return environment;
}

}  // namespace

Result<std::optional<CriContainer>> ReadCriContainer(::runtime::v1::ContainerStatusResponse answer, std::string_view id,
                                                     CriDetail detail) {
  ::runtime::v1::ContainerStatus& status = *answer.mutable_status();
  if (status.id() != id) {
    return Error(StatusCode::kUnavailable, "the runtime answered for another container, {}",
                 Printable(std::string_view(status.id()).substr(0, 64)));
  }
  if (status.state() == ::runtime::v1::CONTAINER_CREATED) return std::nullopt;
  if (status.state() != ::runtime::v1::CONTAINER_RUNNING) {
    return Error(StatusCode::kUnavailable, "it {}, says the runtime", StateName(status.state()));
  }
  CriContainer container;
  for (auto& [key, value] : *status.mutable_labels()) container.labels.emplace_back(key, std::move(value));
  container.image = std::move(*status.mutable_image()->mutable_image());
  container.image_ref = std::move(status.image_id().empty() ? *status.mutable_image_ref() : *status.mutable_image_id());
  for (auto& mount : *status.mutable_mounts()) {
    // A mount that is not of the host's files has none: an image, for example.
    if (!mount.host_path().empty()) container.mounted_host_paths.push_back(std::move(*mount.mutable_host_path()));
  }
  if (detail == CriDetail::kVerbose) container.environment = TakeEnvironment(answer);
  return std::optional(std::move(container));
}

Result<std::vector<SecretBytes>> ReadCriEnvironment(std::string_view info) {
  Result<nlohmann::json> parsed = ParseJsonObject(info, kInfoLimits);
  if (!parsed.ok()) return Annotate(parsed.status(), "read the runtime's verbose answer");
  nlohmann::json* process = ObjectMember(ObjectMember(&*parsed, "runtimeSpec"), "process");
  if (process == nullptr) {
    return Error(StatusCode::kInvalidArgument, "read the runtime's verbose answer: it has no runtimeSpec.process");
  }
  const auto variables = process->find("env");
  if (variables == process->end()) return std::vector<SecretBytes>();  // a process may have none
  Result<std::vector<SecretBytes>> environment = TakeVariables(*variables);
  if (!environment.ok()) return Annotate(environment.status(), "read runtimeSpec.process.env of the runtime's answer");
  return environment;
}

Result<std::string> ReadCriImageDigest(const ::runtime::v1::ImageStatusResponse& answer) {
  if (!answer.has_image()) return Error(StatusCode::kNotFound, "the runtime does not have its image any more");
  constexpr std::string_view kPrefix = "sha256:";
  std::string_view hex = answer.image().id();
  if (hex.starts_with(kPrefix)) hex.remove_prefix(kPrefix.size());  // containerd writes it, CRI-O does not
  if (!IsLowerHex(hex, 64))
    return Error(StatusCode::kInvalidArgument, "the runtime's id of its image is not a SHA-256 digest");
  return fmt::format("{}{}", kPrefix, hex);
}

}  // namespace lanyard
