// Writes the table that a screen shows to a file, CSV or JSON by its ending. Whole or not at all;
// an existing file only when forced. UI thread.
#pragma once

#include <string>

#include "engine/io/atomic_file.h"
#include "views/text_table.h"

namespace qi {

/// Throws Error: kUsage for another ending or a file that exists, else as AtomicFile does.
void export_table(const TextTable& table, const std::string& path, const OutputOptions& options);

}  // namespace qi
