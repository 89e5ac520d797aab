// What the tests of the state room share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <string>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard::testing {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

inline std::string Text(const Status& status) {
  return std::string(Message(status));
}

}  // namespace lanyard::testing
