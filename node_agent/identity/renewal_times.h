// When an SVID is renewed, as arithmetic.
//
// `random` is a draw from [0, 1) each time.
//
// Thread: any; pure.
#pragma once

#include <chrono>

#include "node_agent/base/clock.h"

namespace lanyard {

// Half of what is left of the life, give or take a tenth of that half: between 45 % and 55 %. Not within the next
// second, so that an SVID that ends with its issuer is not renewed ever faster.
WallTime RenewalTime(WallTime now, WallTime not_after, double random);

// What falls due within this time after another renewal is renewed along: a tenth of its life, which is as wide as the
// jitter, so that what was issued together is renewed together.
std::chrono::nanoseconds BatchWindow(std::chrono::nanoseconds life);

// How long to wait after `failures` in a row (at least one): 1 s, doubling to 30 s, less up to a quarter.
std::chrono::nanoseconds RetryWait(int failures, double random);

// How long after another authority has begun to sign an SVID of the old one is renewed: within 5 s, and a tenth of its
// life.
std::chrono::nanoseconds NewSignerWait(std::chrono::nanoseconds life, double random);

}  // namespace lanyard
