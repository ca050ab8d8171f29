// The batch entry: from the command line to the exit status. The one place of the program, beside
// the UI's open and the edge of a job, where errors are caught. Called once, by main().
#pragma once

namespace qi {

/// Runs the program; what main() returns. Never throws.
int run(int argc, char** argv) noexcept;

}  // namespace qi
