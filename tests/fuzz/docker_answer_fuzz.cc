// What an engine says about a container, whatever it says: what is read is about the container that was asked about, is
// within the limits and stands in the answer; what is refused is told without a word of the container's own texts.
#include <nlohmann/json.hpp>

#include "attestors/docker_answer.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

// The id that the seeds are about.
constexpr std::string_view kId = "0d07e20d0ecc089364f28f236076267b6fefb3ccb38dd444cb14f4774a6fd98d";

bool HasText(const nlohmann::json& list, std::string_view text) {
  for (const auto& one : list) {
    if (one.is_string() && one.get_ref<const std::string&>() == text) return true;
  }
  return false;
}

void CheckAnswer(std::string_view text) {
  const Result<DockerContainer> container = ReadDockerAnswer(text, kId);
  if (!container.ok()) {
    RequireTold(container.status());
    return Require(Message(container.status()).size() < 300);
  }
  const nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  Require(answer.is_object() && answer.at("Id") == kId && answer.at("State").at("Running") == container->running);
  const nlohmann::json& config = answer.at("Config");
  Require(container->labels.size() <= kMaxDockerTexts && container->env.size() <= kMaxDockerTexts &&
          container->mounted.size() <= kMaxDockerTexts);
  for (const auto& [name, value] : container->labels) Require(config.at("Labels").at(name) == value);
  for (const SecretBytes& variable : container->env) Require(HasText(config.at("Env"), variable.expose()));
  Require(container->env.empty() || container->env.size() == config.at("Env").size());
  for (const std::string& mounted : container->mounted) Require(mounted.starts_with('/'));
  Require(container->image_digest.empty() || container->image_digest.size() == 71);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckAnswer(lanyard::AsText(data, size));
  return 0;
}
