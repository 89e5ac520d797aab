#include "workload_api/denial_log.h"

#include "node_agent/base/log.h"

namespace lanyard {

void DenialLog::Write(const Call& call, const Status& why, std::string_view found) {
  ++denials_;
  const PeerProcess& peer = call.connection()->peer;
  // What was found is part of the key: denials of two containers of one uid are two denials.
  const auto silent =
      limiter_.Allow(peer.uid, fmt::format("{} {} {}", call.method(), CodeName(why.code()), found), clock_.MonoNow());
  if (!silent) return;
  LANYARD_LOG_WARN("denied {} to pid {} uid {}: {}{}{}{}", call.method(), peer.process->pid(), peer.uid, Message(why),
                   found.empty() ? "" : "; found ", found,
                   *silent == 0 ? "" : fmt::format("; {} more equal denials went unwritten", *silent));
}

}  // namespace lanyard
