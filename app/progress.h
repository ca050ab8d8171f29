// Progress of a batch mode on stderr: a live bar on a terminal, else a line at most every five
// seconds; nothing with --quiet. Owns the line it draws and clears it when it goes.
// One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace qi {

struct ProgressState {
  std::uint64_t done = 0;   // bytes or elements
  std::uint64_t total = 0;  // the same unit
  std::uint64_t units_done = 0;
  std::uint64_t units_total = 0;  // 0: not shown
  double rate = 0;                // of `done`, a second; 0: not known
  std::optional<double> eta_s;
  std::string note = {};  // what there is to say so far; at the end of the line
};

/// "stats 118/291  41%  1.90 GB/s  ETA 0:41", with a bar of `bar_cells` cells where there is room.
/// `rate_unit` is "B/s" for bytes.
std::string progress_line(const std::string& title, const ProgressState& state, int bar_cells,
                          bool ascii, bool bytes);

class Progress {
 public:
  /// `bytes`: done and total are bytes; else counts of numbers.
  Progress(std::string title, bool quiet, bool ascii, bool bytes = true);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Draws when enough time has passed since the last time.
  void update(const ProgressState& state);
  /// The same where rate and ETA are not known: they are taken from the time since the start.
  void update(std::uint64_t done, std::uint64_t total, std::string note = {});
  /// Takes the bar away before other text is printed.
  void clear();

 private:
  std::string title_;
  bool quiet_;
  bool ascii_;
  bool bytes_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace qi
