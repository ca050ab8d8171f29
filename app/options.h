// What the user asked for, as the table of options (option_table.h) says it. Refuses everything
// that the table does not name, and options that do not go together (kUsage). Pure but for reading
// the environment variable NO_COLOR; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/methods/method.h"
#include "engine/tensor/dtype.h"
#include "views/theme.h"

namespace qi {

enum class Mode : std::uint8_t {
  kBrowse,
  kList,
  kStats,
  kVerify,
  kShow,
  kDiff,
  kConvert,
  kQuantize,
  kEncode,
  kDecode,
  kSweep,
  kEval,
  kResults,
  kHelp,
  kVersion,
};

struct Options {
  Mode mode = Mode::kBrowse;
  std::vector<std::string> paths;  // PATH, or A and B
  std::string show_name;           // --show NAME
  std::string convert_output;      // --convert OUT
  std::string quantize_output;     // --quantize OUT
  std::string target;              // --to TYPE or SCHEME
  std::string encode_output;       // --encode OUT
  std::string decode_output;       // --decode OUT_DIR
  std::string help_topic;          // empty: the overview

  bool csv = false;
  bool json = false;
  std::string output;  // empty: standard output
  bool force = false;
  std::vector<std::string> tensors;
  std::optional<DType> prototype_dtype;
  std::string database;  // empty: the default place
  unsigned threads = 0;  // 0: all cores
  bool quiet = false;
  bool verbose = false;

  bool parts = false;           // --list: the stored tensors
  bool exact = false;           // --stats: lz4 and zstd over all bytes
  bool checksums_only = false;  // --verify: of a container

  std::string base;                      // of containers: the one they stand on; kld's
  std::string level;                     // --decode: a name, high, low or all
  std::vector<std::string> low_sources;  // --encode: paths, or int8
  std::uint64_t block_weights = 0;       // --encode; 0: the default
  bool effort_ratio = false;             // --encode: smaller, not faster

  std::vector<std::string> families;  // --sweep; --family of --results
  GridOptions grid;                   // --sweep: what was given of the families' grids
  bool redo = false;
  bool all_weights = false;
  bool dry_run = false;
  std::optional<std::int64_t> run;  // --results, as those below
  std::string model;                // a glob
  std::optional<double> best_under;
  bool pareto = false;
  bool plot = false;
  bool evaluations = false;

  std::string calibration;                // --sweep: a text or token ids
  std::uint64_t calibration_samples = 0;  // 0: the default
  std::uint64_t calibration_length = 0;   // tokens; 0: as the model has it

  std::vector<std::string> kinds;  // --eval, --sweep --with
  std::string text;
  std::string tokenizer;
  std::string save_logits;
  std::string task;
  std::string shots_file;
  std::optional<std::uint64_t> shots;
  std::uint64_t save_top = 0;  // 0: the default
  std::string nll_output;
  bool llama_cpp_protocol = false;
  bool no_bos = false;
  bool kv_f16 = false;
  bool activations_q8 = false;
  std::string prompts;
  std::uint64_t context = 0;  // 0: as the protocol and the model have it
  std::uint64_t stride = 0;
  std::uint64_t limit = 0;  // windows; 0: all

  ColorMode color = ColorMode::kAuto;
  bool ascii = false;
  bool no_mouse = false;
  unsigned refresh_hz = 30;
  bool no_analyze = false;
  std::string theme = "default";
  std::string columns;  // config file alone: of the model's table, "a,b,c"
};

/// `arguments` without the program's name; `defaults`: what holds unless they say otherwise. Throws
/// Error kUsage.
Options parse_options(const std::vector<std::string>& arguments, Options defaults = {});

}  // namespace qi
