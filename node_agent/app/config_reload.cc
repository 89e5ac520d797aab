#include "node_agent/app/config_reload.h"

#include <functional>
#include <utility>

namespace lanyard {
namespace {

enum class Takes { kEffectAtOnce, kRestart };

struct Setting {
  std::string key;
  Takes takes;
  std::function<bool(const Config&, const Config&)> differs;
  std::function<void(const Config& from, Config& to)> copy;
};

// `field` gives the setting of a Config, const or not.
template <class Field>
Setting Make(std::string key, Takes takes, Field field) {
  return {std::move(key), takes, [field](const Config& a, const Config& b) { return !(field(a) == field(b)); },
          [field](const Config& from, Config& to) { field(to) = field(from); }};
}

#define LANYARD_SETTING(takes, path) Make(#path, takes, [](auto& config) -> auto& { return config.path; })

const std::vector<Setting>& Settings() {
  static const std::vector<Setting> settings = {
      LANYARD_SETTING(Takes::kRestart, trust_domain),
      LANYARD_SETTING(Takes::kEffectAtOnce, environment),
      LANYARD_SETTING(Takes::kRestart, data_dir),
      LANYARD_SETTING(Takes::kRestart, workload_socket),
      LANYARD_SETTING(Takes::kRestart, admin_socket),
      Make("identity_source.embedded_ca", Takes::kRestart, [](auto& config) -> auto& { return config.embedded_ca; }),
      LANYARD_SETTING(Takes::kEffectAtOnce, svid.x509_ttl),
      LANYARD_SETTING(Takes::kEffectAtOnce, svid.jwt_ttl),
      LANYARD_SETTING(Takes::kEffectAtOnce, svid.key_type),
      LANYARD_SETTING(Takes::kRestart, oidc.issuer),
      Make("attestors.unix.executable", Takes::kRestart,
           [](auto& config) -> auto& { return config.attestors.unix_executable; }),
      LANYARD_SETTING(Takes::kRestart, attestors.systemd),
      LANYARD_SETTING(Takes::kRestart, attestors.docker),
      LANYARD_SETTING(Takes::kRestart, attestors.containerd),
      LANYARD_SETTING(Takes::kRestart, attestors.kubernetes),
      Make("registry.paths", Takes::kEffectAtOnce, [](auto& config) -> auto& { return config.registry_paths; }),
      LANYARD_SETTING(Takes::kRestart, audit.path),
      LANYARD_SETTING(Takes::kEffectAtOnce, audit.checkpoints_to),
      LANYARD_SETTING(Takes::kEffectAtOnce, audit.checkpoint_interval),
      LANYARD_SETTING(Takes::kEffectAtOnce, audit.sync),
      Make("audit.rotate_at", Takes::kEffectAtOnce, [](auto& config) -> auto& { return config.audit.rotate_bytes; }),
      LANYARD_SETTING(Takes::kEffectAtOnce, audit.keep_files),
      LANYARD_SETTING(Takes::kEffectAtOnce, endpoints.metrics),
      LANYARD_SETTING(Takes::kEffectAtOnce, endpoints.health),
      LANYARD_SETTING(Takes::kEffectAtOnce, endpoints.bundle),
      LANYARD_SETTING(Takes::kEffectAtOnce, federation.trust_domains),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_caller.connections),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_caller.connections_per_second),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_caller.calls_per_second),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_caller.calls_in_flight),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_caller.streams),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_identity.calls_per_second),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.per_identity.streams),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.attestation_timeout),
      LANYARD_SETTING(Takes::kEffectAtOnce, limits.reattestation_interval),
      LANYARD_SETTING(Takes::kEffectAtOnce, log.level),
      LANYARD_SETTING(Takes::kRestart, log.format),
  };
  return settings;
}

#undef LANYARD_SETTING

}  // namespace

ConfigReload ReloadConfig(const Config& running, const Config& read) {
  ConfigReload reload{.in_force = running, .taken_over = {}, .need_restart = {}};
  for (const Setting& setting : Settings()) {
    if (!setting.differs(running, read)) continue;
    if (setting.takes == Takes::kRestart) {
      reload.need_restart.push_back(setting.key);
    } else {
      setting.copy(read, reload.in_force);
      reload.taken_over.push_back(setting.key);
    }
  }
  return reload;
}

}  // namespace lanyard
