// What was copied, as a file too: a terminal that knows no clipboard says nothing about it. Only
// the person's own account may read it. UI thread; a small file, which is not synced.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qi {

/// The most that is offered to the terminal: some cut longer sequences short, or print the rest.
constexpr std::size_t kMostClipboard = 100'000;  // bytes

/// $XDG_RUNTIME_DIR/qinspect-clipboard, else state_path("clipboard").
std::string clipboard_path();
/// Replaces the file by `text`, readable by its owner alone; its folder is made. False: it cannot
/// be written.
bool keep_copy(const std::string& path, std::string_view text);

}  // namespace qi
