#include "attestors/docker_answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "attestors/json_variables.h"
#include "pki/hex.h"
#include "pki/strict_json.h"

namespace lanyard {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 32;

Status Malformed(std::string_view what) {
  return Error(StatusCode::kInvalidArgument, "the engine's answer has no {} of the kind that is expected", what);
}

// The member of that name; null where it is missing. Engines write empty lists and maps as null, or leave them out.
const Json* Member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && !found->is_null() ? &*found : nullptr;
}

Result<const Json*> Object(const Json& object, const char* name) {
  const Json* member = Member(object, name);
  if (member == nullptr || !member->is_object()) return Malformed(name);
  return member;
}

// An empty text where it is missing.
Result<std::string> Text(const Json& object, const char* name) {
  const Json* member = Member(object, name);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return Malformed(name);
  return member->get_ref<const std::string&>();
}

Status CheckCount(const Json& list, const char* name) {
  if (list.size() <= kMaxDockerTexts) return OkStatus();
  return Error(StatusCode::kResourceExhausted, "the container has {} {}, and no more than {} are looked at",
               list.size(), name, kMaxDockerTexts);
}

Status ReadLabels(const Json& config, DockerContainer& container) {
  const Json* labels = Member(config, "Labels");
  if (labels == nullptr) return OkStatus();
  if (!labels->is_object()) return Malformed("Config.Labels");
  RETURN_IF_ERROR(CheckCount(*labels, "labels"));
  for (const auto& [name, value] : labels->items()) {
    if (!value.is_string()) return Malformed("Config.Labels");
    container.labels.emplace_back(name, value.get_ref<const std::string&>());
  }
  return OkStatus();
}

Status TakeEnv(Json& config, DockerContainer& container) {
  const auto env = config.find("Env");
  if (env == config.end()) return OkStatus();
  Result<std::vector<SecretBytes>> variables = TakeVariables(*env);
  if (!variables.ok()) return Malformed("Config.Env");
  RETURN_IF_ERROR(CheckCount(*env, "environment variables"));
  container.env = *std::move(variables);
  return OkStatus();
}

Status ReadMounts(const Json& answer, DockerContainer& container) {
  const Json* mounts = Member(answer, "Mounts");
  if (mounts == nullptr) return OkStatus();
  if (!mounts->is_array()) return Malformed("Mounts");
  RETURN_IF_ERROR(CheckCount(*mounts, "mounts"));
  for (const Json& mount : *mounts) {
    if (!mount.is_object()) return Malformed("Mounts");
    ASSIGN_OR_RETURN(std::string source, Text(mount, "Source"));
    if (source.starts_with('/')) container.mounted.push_back(std::move(source));  // not so for what lies in memory
  }
  return OkStatus();
}

bool IsDigest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.starts_with(kPrefix) && IsLowerHex(text.substr(kPrefix.size()), 64);
}

}  // namespace

Result<DockerContainer> ReadDockerAnswer(std::string_view answer, std::string_view id) {
  Result<Json> parsed = ParseJsonObject(answer, {.bytes = kMaxDockerAnswer, .depth = kMaxDepth});
  if (!parsed.ok()) return Annotate(parsed.status(), "read the engine's answer");
  DockerContainer container;
  const auto config = parsed->find("Config");
  if (config == parsed->end() || !config->is_object()) return Malformed("Config");
  RETURN_IF_ERROR(TakeEnv(*config, container));  // first, so that nothing that follows leaves them in memory

  const std::string* answered = StringMember(*parsed, "Id");
  if (answered == nullptr) return Malformed("Id");
  if (*answered != id) return Error(StatusCode::kFailedPrecondition, "the engine's answer is about another container");
  ASSIGN_OR_RETURN(const Json* state, Object(*parsed, "State"));
  const Json* running = Member(*state, "Running");
  if (running == nullptr || !running->is_boolean()) return Malformed("State.Running");
  container.running = running->get<bool>();

  RETURN_IF_ERROR(ReadLabels(*config, container));
  RETURN_IF_ERROR(ReadMounts(*parsed, container));
  ASSIGN_OR_RETURN(container.image, Text(*config, "Image"));
  ASSIGN_OR_RETURN(container.image_digest, Text(*parsed, "Image"));
  if (!container.image_digest.empty() && !IsDigest(container.image_digest)) return Malformed("Image");
  return container;
}

}  // namespace lanyard
