// What runs are remembered by of the machine and of this process. Any thread.
#pragma once

#include <cstdint>
#include <string>

namespace qi {

/// "AMD EPYC 7B13, 8 threads, x86_64".
std::string machine_text();

/// The most memory this process had resident so far; 0 where the system does not say.
std::uint64_t peak_memory_bytes();
/// What it has resident now that is in no file; 0 where the system does not say.
std::uint64_t private_memory_bytes();

}  // namespace qi
