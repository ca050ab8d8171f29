// The interactive program: opens a path in the background and lets a person browse it, until they
// quit, a signal comes or the terminal goes away. Call it once, on the main thread, before other
// threads exist (it blocks signals for all of them).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/io/error.h"
#include "engine/tensor/dtype.h"
#include "views/theme.h"

namespace qi {

struct UiOptions {
  std::string path = ".";
  double refresh_hz = 30;  // frames a second at most
  ColorMode color = ColorMode::kAuto;
  bool ascii = false;
  bool mouse = true;
  bool analyze = true;
  unsigned threads = 0;              // 0: all cores
  std::string database;              // empty: the default place
  std::vector<std::string> tensors;  // --tensors globs
  std::optional<DType> prototype_dtype;
  std::string theme = "default";
  std::string columns;       // of the Model screen, as the config file says; empty: it does not
  std::string columns_file;  // where the choice of columns is remembered; empty: nowhere
  std::vector<Warning> warnings;  // of the config file
};

/// The process's exit status: 0, 130 after Ctrl-C or SIGINT, 143, 129, or 1 when the
/// terminal is lost. Throws Error (kIo) when there is no usable terminal. May end the process by
/// itself (status as above) when background work does not stop within a quarter of a second.
int run_ui(const UiOptions& options);

}  // namespace qi
