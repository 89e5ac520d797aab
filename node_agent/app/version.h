// Which Lanyard this is.
#pragma once

#include <string_view>

namespace lanyard {

inline constexpr std::string_view kVersion = LANYARD_VERSION;  // of the CMake project

}  // namespace lanyard
