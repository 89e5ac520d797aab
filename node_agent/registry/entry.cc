#include "node_agent/registry/entry.h"

namespace lanyard {

Result<Environment> ParseEnvironment(std::string_view name) {
  for (const Environment environment : {Environment::kDevelopment, Environment::kStaging, Environment::kProduction}) {
    if (name == EnvironmentName(environment)) return environment;
  }
  return Error(StatusCode::kInvalidArgument, "unknown environment '{}': use development, staging or production", name);
}

std::string_view EnvironmentName(Environment environment) {
  switch (environment) {
    case Environment::kDevelopment:
      return "development";
    case Environment::kStaging:
      return "staging";
    case Environment::kProduction:
      break;
  }
  return "production";
}

Result<ToolEffect> ParseToolEffect(std::string_view name) {
  for (const ToolEffect effect :
       {ToolEffect::kRead, ToolEffect::kWrite, ToolEffect::kExternal, ToolEffect::kPrivileged}) {
    if (name == ToolEffectName(effect)) return effect;
  }
  return Error(StatusCode::kInvalidArgument, "unknown effect '{}': use read, write, external or privileged", name);
}

std::string_view ToolEffectName(ToolEffect effect) {
  switch (effect) {
    case ToolEffect::kRead:
      return "read";
    case ToolEffect::kWrite:
      return "write";
    case ToolEffect::kExternal:
      return "external";
    case ToolEffect::kPrivileged:
      break;
  }
  return "privileged";
}

}  // namespace lanyard
