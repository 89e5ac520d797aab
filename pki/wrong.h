// How parsers of this room refuse: what was given does not follow its standard.
//
// Thread: any. Private to this room.
#pragma once

#include <utility>

#include "node_agent/base/status.h"

namespace lanyard {

// InvalidArgument with this text.
template <class... Args>
Status Wrong(fmt::format_string<Args...> format, Args&&... args) {
  return Error(StatusCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

}  // namespace lanyard
