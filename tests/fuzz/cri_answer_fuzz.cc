// Whatever a runtime answers over the CRI is read wholly or refused: a text as the JSON of a verbose answer, bytes as
// the message about a container, whose environment is in such a text.
#include "attestors/cri_answer.h"

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

void CheckEnvironment(std::string_view text) {
  const auto environment = ReadCriEnvironment(text);
  if (!environment.ok()) return RequireTold(environment.status(), StatusCode::kInvalidArgument);
  const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  const auto& process = parsed["runtimeSpec"]["process"];
  const auto variables = process.find("env");
  if (variables == process.end() || variables->is_null()) return Require(environment->empty());
  Require(variables->size() == environment->size());
  for (size_t i = 0; i < environment->size(); ++i) {
    Require((*variables)[i].get_ref<const std::string&>() == (*environment)[i].expose());
  }
}

void CheckContainer(std::string_view bytes) {
  ::runtime::v1::ContainerStatusResponse answer;
  if (!answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const std::string id = answer.status().id();
  RequireTold(ReadCriContainer(answer, id + "x", CriDetail::kVerbose).status(), StatusCode::kUnavailable);
  const auto container = ReadCriContainer(answer, id, CriDetail::kVerbose);
  if (!container.ok()) return RequireTold(container.status(), StatusCode::kUnavailable);
  Require(container->has_value() == (answer.status().state() == ::runtime::v1::CONTAINER_RUNNING));
  if (!container->has_value()) return;
  Require((*container)->labels.size() == static_cast<size_t>(answer.status().labels_size()));
  for (const auto& [name, value] : (*container)->labels) Require(answer.status().labels().at(name) == value);
  Require(!(*container)->environment.ok() || answer.info().contains("info"));
  if (!(*container)->environment.ok()) RequireTold((*container)->environment.status());
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = lanyard::AsText(data, size);
  lanyard::CheckEnvironment(text);
  lanyard::CheckContainer(text);
  return 0;
}
