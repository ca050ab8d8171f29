// Which process is meant, also after it died: its pid and the clock tick it started at. Refuses
// nothing. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

/// Clock ticks from boot to the start of process `pid`; nothing when there is none.
std::optional<std::uint64_t> process_start(std::uint64_t pid);
/// "1234-567890": this process.
std::string process_mark();
/// Whether the process of a mark still runs on this machine; false for what is no mark.
bool process_alive(std::string_view mark);

}  // namespace qi
