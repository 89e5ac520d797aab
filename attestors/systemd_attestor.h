// Selectors of type "systemd": the unit that a process belongs to, as systemd itself says over D-Bus.
//
//   id             the unit's primary name, also where it was started by an alias: "refund.service"
//   fragment_path  its unit file
//   slice          the slice that it lies in
//   invocation_id  its present run, anew at each start
//
// systemd finds the unit by the cgroup that the process is in, going upwards, so that a cgroup that a user makes below
// user@1000.service belongs to that service whatever its name is. A process that is in no unit has no selectors.
// Whatever else keeps the answer from being known is an error, also a bus or systemd that is away for a moment.
//
// It is asked by pid (systemd 252 takes no pidfd). What makes that safe: the process still runs afterwards and is in
// the cgroups that it was in before (AttestorSet), so the pid was its own all the time; and systemd names the same unit
// again after it has told the unit's properties.
//
// Lifetime: loop and clock outlive it. Thread: loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "attestors/attestor.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"

namespace lanyard {

struct SystemdOptions {
  std::string bus_socket = "/run/dbus/system_bus_socket";
  std::chrono::milliseconds timeout = std::chrono::seconds(2);  // of one attestation

  bool operator==(const SystemdOptions&) const = default;
};

std::unique_ptr<Attestor> MakeSystemdAttestor(const SystemdOptions& options, EventLoop& loop, Clock& clock);

}  // namespace lanyard
