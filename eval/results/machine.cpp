#include "eval/results/machine.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <thread>

#include <fmt/format.h>

namespace qi {

std::string machine_text() {
  std::string processor;
  std::ifstream facts("/proc/cpuinfo");
  for (std::string line; std::getline(facts, line);) {
    if (!line.starts_with("model name")) continue;
    processor = line.substr(std::min(line.find(':') + 2, line.size())) + ", ";
    break;
  }
  struct utsname name {};
  uname(&name);
  return fmt::format("{}{} threads, {}", processor, std::thread::hardware_concurrency(),
                     name.machine);
}

std::uint64_t peak_memory_bytes() {
  struct rusage usage {};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::uint64_t private_memory_bytes() {
  constexpr std::string_view kName = "RssAnon:";
  std::ifstream facts("/proc/self/status");
  for (std::string line; std::getline(facts, line);) {
    if (line.starts_with(kName)) return std::stoull(line.substr(kName.size())) * 1024;
  }
  return 0;
}

}  // namespace qi
