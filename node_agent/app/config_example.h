// The whole default configuration as a file that people can start from.
//
// Values are taken from the defaults of Config itself, and a test parses the text and compares, so that it cannot say
// anything else than what the agent does.
//
// Thread: any.
#pragma once

#include <string>

namespace lanyard {

// Every key that is supported, with its comment; trust_domain is example.org.
std::string ConfigExample();

}  // namespace lanyard
