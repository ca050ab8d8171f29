#include "app/option_table.h"

#include <algorithm>
#include <array>
#include <deque>

#include <fmt/format.h>

#include "app/option_values.h"
#include "engine/format/qstore_writer.h"

namespace qi {
namespace {

using O = Options;
using S = std::string;
constexpr auto kModes = OptionGroup::kModes;
constexpr auto kEvery = OptionGroup::kEveryMode;
constexpr auto kUi = OptionGroup::kInterface;
constexpr std::optional<Mode> kAny;

constexpr std::array kOptionTable = {
    OptionSpec{"--list", "", "PATH", "one row per weight, from headers alone", kModes, Mode::kList,
               kAny, false, [](O& o, const S&) { o.mode = Mode::kList; }},
    OptionSpec{"--stats", "", "PATH", "one row per weight, after reading every value", kModes,
               Mode::kStats, kAny, false, [](O& o, const S&) { o.mode = Mode::kStats; }},
    OptionSpec{"--verify", "", "PATH", "one row per fault found; nothing and exit 0 when sound",
               kModes, Mode::kVerify, kAny, false, [](O& o, const S&) { o.mode = Mode::kVerify; }},
    OptionSpec{"--show", "NAME", "PATH",
               "everything about one weight: metadata, statistics, histogram, first values", kModes,
               Mode::kShow, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kShow;
                 o.show_name = v;
               }},
    OptionSpec{"--diff", "", "A B",
               "one row per weight: only-in, shape, dtype, error of B against A", kModes,
               Mode::kDiff, kAny, false, [](O& o, const S&) { o.mode = Mode::kDiff; }},
    OptionSpec{"--convert", "OUT", "PATH",
               "write the logical weights as --to TYPE into OUT (.safetensors, .gguf)", kModes,
               Mode::kConvert, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kConvert;
                 o.convert_output = not_empty("--convert", v);
               }},
    OptionSpec{"--quantize", "OUT", "PATH",
               "write a checkpoint folder of --to SCHEME, or a GGUF of --to TYPE", kModes,
               Mode::kQuantize, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kQuantize;
                 o.quantize_output = not_empty("--quantize", v);
               }},
    OptionSpec{"--encode", "OUT", "PATH",
               "write the model's files into OUT (.qstore), without loss, in one or more precisions",
               kModes, Mode::kEncode, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kEncode;
                 o.encode_output = not_empty("--encode", v);
               }},
    OptionSpec{"--decode", "OUT_DIR", "IN",
               "write the files of --level NAME of a container back, bit for bit", kModes,
               Mode::kDecode, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kDecode;
                 o.decode_output = not_empty("--decode", v);
               }},
    OptionSpec{"--sweep", "FAMILY[,FAMILY...]", "PATH",
               "measure weights x configurations of methods; rows are kept and printed", kModes,
               Mode::kSweep, kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kSweep;
                 o.families = listed("--sweep", v);
               }},
    OptionSpec{"--eval", "KIND[,KIND...]", "PATH",
               "what the model makes of a text (ppl, kld) or of questions (task)", kModes, Mode::kEval,
               kAny, false,
               [](O& o, const S& v) {
                 o.mode = Mode::kEval;
                 o.kinds = listed("--eval", v);
               }},
    OptionSpec{"--results", "", "", "the rows that sweeps left in the results database", kModes,
               Mode::kResults, kAny, false, [](O& o, const S&) { o.mode = Mode::kResults; }},
    OptionSpec{"--help", "", "[TOPIC]", "this overview, or a TOPIC of it", kModes, Mode::kHelp,
               kAny, false, [](O& o, const S&) { o.mode = Mode::kHelp; }},
    OptionSpec{"--version", "", "", "versions of qinspect and what it is built from", kModes,
               Mode::kVersion, kAny, false, [](O& o, const S&) { o.mode = Mode::kVersion; }},

    OptionSpec{"--csv", "", "", "RFC 4180 rows with a header line, raw numbers", kEvery, kAny, kAny,
               false, [](O& o, const S&) { o.csv = true; }},
    OptionSpec{"--json", "", "", "one JSON document {\"schema\":1,\"rows\":[...]}", kEvery, kAny,
               kAny, false, [](O& o, const S&) { o.json = true; }},
    OptionSpec{"--output", "FILE", "", "the table goes to FILE (whole or not at all)", kEvery, kAny,
               kAny, false, [](O& o, const S& v) { o.output = not_empty("--output", v); }},
    OptionSpec{"--force", "", "", "overwrite an existing output file", kEvery, kAny, kAny, false,
               [](O& o, const S&) { o.force = true; }},
    OptionSpec{"--tensors", "GLOB", "",
               "only weights whose name matches (repeatable; !GLOB excludes)", kEvery, kAny, kAny,
               true, [](O& o, const S& v) { o.tensors.push_back(not_empty("--tensors", v)); }},
    OptionSpec{"--parts", "", "", "--list: the stored tensors instead of the weights", kEvery, kAny,
               Mode::kList, false, [](O& o, const S&) { o.parts = true; }},
    OptionSpec{"--exact", "", "", "--stats: ratio_zstd and ratio_lz4 over all bytes, not a sample",
               kEvery, kAny, Mode::kStats, false, [](O& o, const S&) { o.exact = true; }},
    OptionSpec{"--to", "TYPE", "",
               "--convert: F32, BF16, F16, or for GGUF a ggml type; --quantize: a scheme or ggml type",
               kEvery, kAny, Mode::kConvert, false,
               [](O& o, const S& v) { o.target = not_empty("--to", v); }, Mode::kQuantize},
    OptionSpec{"--checksums-only", "", "", "--verify: of a container, without the decoders", kEvery,
               kAny, Mode::kVerify, false, [](O& o, const S&) { o.checksums_only = true; }},
    OptionSpec{"--low", "PATH", "",
               "--encode: a lower precision, a checkpoint, or computed: int8, gptq:BITS:GROUP (repeatable)", kEvery, kAny,
               Mode::kEncode, true,
               [](O& o, const S& v) { o.low_sources.push_back(not_empty("--low", v)); }},
    OptionSpec{"--base", "FILE", "",
               "--encode: store the difference to this container; --eval: kld's; else where it lies now",
               kEvery,
               kAny, kAny, false,
               [](O& o, const S& v) { o.base = not_empty("--base", v); }},
    OptionSpec{"--effort", "fast|ratio", "", "--encode: what counts more (default: fast)", kEvery,
               kAny, Mode::kEncode, false,
               [](O& o, const S& v) { o.effort_ratio = second_of("--effort", v, "fast", "ratio"); }},
    OptionSpec{"--block", "WEIGHTS", "", "--encode: weights a block (default 262144)", kEvery, kAny,
               Mode::kEncode, false,
               [](O& o, const S& v) {
                 o.block_weights =
                     number_between("--block", v, kMinBlockWeights, kMaxBlockWeights);
               }},
    OptionSpec{"--level", "NAME", "", "--decode: a level's name, high, low or all", kEvery, kAny,
               Mode::kDecode, false,
               [](O& o, const S& v) { o.level = not_empty("--level", v); }},
    OptionSpec{"--redo", "", "", "--sweep, --eval: measure also what the database has", kEvery, kAny,
               Mode::kSweep, false, [](O& o, const S&) { o.redo = true; }, Mode::kEval},
    OptionSpec{"--all-weights", "", "", "--sweep: not the matrices of the layers alone", kEvery,
               kAny, Mode::kSweep, false, [](O& o, const S&) { o.all_weights = true; }},
    OptionSpec{"--dry-run", "", "",
               "--sweep, --quantize: what it comes to, predicted sizes and memory alone", kEvery,
               kAny, Mode::kSweep, false, [](O& o, const S&) { o.dry_run = true; },
               Mode::kQuantize},
    OptionSpec{"--calibration", "FILE", "",
               "--sweep, --quantize: what gptq, awq, smoothquant, spqr look at: a text, or token ids (.json)",
               kEvery, kAny, Mode::kSweep, false,
               [](O& o, const S& v) { o.calibration = not_empty("--calibration", v); },
               Mode::kQuantize},
    OptionSpec{"--nsamples", "N", "", "--sweep, --quantize: sequences of it at most (default 128)", kEvery,
               kAny, Mode::kSweep, false,
               [](O& o, const S& v) {
                 o.calibration_samples = number_between("--nsamples", v, 1, 1U << 24);
               }, Mode::kQuantize},
    OptionSpec{"--num_calibration_samples", "N", "", "--sweep, --quantize: the same as --nsamples", kEvery,
               kAny, Mode::kSweep, false,
               [](O& o, const S& v) {
                 o.calibration_samples =
                     number_between("--num_calibration_samples", v, 1, 1U << 24);
               }, Mode::kQuantize},
    OptionSpec{"--max_sequence_length", "N", "",
               "--sweep, --quantize: tokens a sequence (default 2048, or the model's limit)", kEvery, kAny,
               Mode::kSweep, false,
               [](O& o, const S& v) {
                 o.calibration_length = number_between("--max_sequence_length", v, 1, 1U << 24);
               }, Mode::kQuantize},
    OptionSpec{"--with", "KIND[,KIND...]", "",
               "--sweep: evaluate each configuration on the whole model, with --eval's options",
               kEvery, kAny, Mode::kSweep, false,
               [](O& o, const S& v) { o.kinds = listed("--with", v); }},
    OptionSpec{"--text", "FILE", "", "--eval: the text, UTF-8", kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.text = not_empty("--text", v); }},
    OptionSpec{"--protocol", "hf|llama.cpp", "",
               "--eval: windows side by side, or the second half of each scored (default: hf)",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) {
                 o.llama_cpp_protocol = second_of("--protocol", v, "hf", "llama.cpp");
               }},
    OptionSpec{"--context", "N", "",
               "--eval: tokens a window (default 2048, llama.cpp 512, or the model's limit)", kEvery,
               kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.context = number_between("--context", v, 2, 1U << 24); }},
    OptionSpec{"--stride", "N", "", "--eval: tokens from window to window (default: --context)",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.stride = number_between("--stride", v, 1, 1U << 24); }},
    OptionSpec{"--bos", "auto|none", "",
               "--eval: the token that begins a text, as the tokenizer has it, or none", kEvery, kAny,
               Mode::kEval, false,
               [](O& o, const S& v) { o.no_bos = second_of("--bos", v, "auto", "none"); }},
    OptionSpec{"--task", "FILE", "", "--eval: questions, JSONL: HellaSwag, PIQA, ARC, GSM8K, choices",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.task = not_empty("--task", v); }},
    OptionSpec{"--shots-file", "FILE", "", "--eval: examples of the same form, before every question",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.shots_file = not_empty("--shots-file", v); }},
    OptionSpec{"--shots", "N", "", "--eval: the first N of them (default 5)", kEvery, kAny,
               Mode::kEval, false,
               [](O& o, const S& v) { o.shots = number_between("--shots", v, 0, 1000); }},
    OptionSpec{"--tokenizer", "PATH", "",
               "--eval: a folder, tokenizer.json or GGUF with the tokenizer",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.tokenizer = not_empty("--tokenizer", v); }},
    OptionSpec{"--save-logits", "FILE", "",
               "--eval: keep the base's likeliest tokens (ppl: the model's) for a later --base",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.save_logits = not_empty("--save-logits", v); }},
    OptionSpec{"--save-top", "N", "", "--eval: so many of each position (default 64)", kEvery, kAny,
               Mode::kEval, false,
               [](O& o, const S& v) { o.save_top = number_between("--save-top", v, 1, 1U << 20); }},
    OptionSpec{"--nll", "FILE", "", "--eval: a CSV row for each token that counts", kEvery, kAny,
               Mode::kEval, false,
               [](O& o, const S& v) { o.nll_output = not_empty("--nll", v); }},
    OptionSpec{"--kv", "f32|f16", "", "--eval: how keys and values are held (default: f32)", kEvery,
               kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.kv_f16 = second_of("--kv", v, "f32", "f16"); }},
    OptionSpec{"--activations", "f32|q8", "",
               "--eval: what stored weights are multiplied with (default: f32)", kEvery, kAny,
               Mode::kEval, false,
               [](O& o, const S& v) {
                 o.activations_q8 = second_of("--activations", v, "f32", "q8");
               }},
    OptionSpec{"--prompts", "FILE", "", "--eval: speed's prompts, one a line (default: random)",
               kEvery, kAny, Mode::kEval, false,
               [](O& o, const S& v) { o.prompts = not_empty("--prompts", v); }},
    OptionSpec{"--limit", "N", "", "--eval: the first N windows or questions alone", kEvery, kAny, Mode::kEval,
               false,
               [](O& o, const S& v) { o.limit = number_between("--limit", v, 1, 1U << 31); }},
    OptionSpec{"--family", "FAMILY[,...]", "", "--results: of these methods alone", kEvery, kAny,
               Mode::kResults, false,
               [](O& o, const S& v) { o.families = listed("--family", v); }},
    OptionSpec{"--run", "N", "", "--results: of this run alone", kEvery, kAny, Mode::kResults,
               false, [](O& o, const S& v) { o.run = number_between("--run", v, 1, 1U << 31); }},
    OptionSpec{"--model", "GLOB", "", "--results: of models with such a name alone", kEvery, kAny,
               Mode::kResults, false,
               [](O& o, const S& v) { o.model = not_empty("--model", v); }},
    OptionSpec{"--best-under", "BPW", "",
               "--results: of each weight the best of at most BPW bits a weight", kEvery, kAny,
               Mode::kResults, false,
               [](O& o, const S& v) { o.best_under = positive_number("--best-under", v); }},
    OptionSpec{"--evaluations", "", "", "--results: of evaluations, not of weights", kEvery, kAny,
               Mode::kResults, false, [](O& o, const S&) { o.evaluations = true; }},
    OptionSpec{"--pareto", "", "", "--results: of each weight what nothing smaller is as good as",
               kEvery, kAny, Mode::kResults, false, [](O& o, const S&) { o.pareto = true; }},
    OptionSpec{"--plot", "", "",
               "--results: whole configurations as a plot over bits a weight: perplexity, or SNR",
               kEvery, kAny, Mode::kResults, false, [](O& o, const S&) { o.plot = true; }},
    OptionSpec{"--dtype", "bf16|f16", "", "of prototype directories whose name does not tell",
               kEvery, kAny, kAny, false,
               [](O& o, const S& v) { o.prototype_dtype = prototype_dtype(v); }},
    OptionSpec{"--db", "FILE", "", "results database (default $XDG_DATA_HOME/qinspect/results.db)",
               kEvery, kAny, kAny, false,
               [](O& o, const S& v) { o.database = not_empty("--db", v); }},
    OptionSpec{"--threads", "N", "", "worker threads (default: all cores)", kEvery, kAny, kAny,
               false,
               [](O& o, const S& v) { o.threads = number_between("--threads", v, 1, 1024); }},
    OptionSpec{"--quiet", "", "", "no progress and no notes on stderr", kEvery, kAny, kAny, false,
               [](O& o, const S&) { o.quiet = true; }},
    OptionSpec{"--verbose", "", "", "more notes on stderr", kEvery, kAny, kAny, false,
               [](O& o, const S&) { o.verbose = true; }},

    OptionSpec{"--color", "auto|always|never", "", "colour (NO_COLOR is honoured)", kUi, kAny, kAny,
               false, [](O& o, const S& v) { o.color = color_mode(v); }},
    OptionSpec{"--theme", "default|dark|light", "",
               "colours for any background, a dark or a light one", kUi, kAny, kAny, false,
               [](O& o, const S& v) { o.theme = theme_name(v); }},
    OptionSpec{"--ascii", "", "", "no line drawing, no blocks, no other characters beyond ASCII",
               kUi, kAny, kAny, false, [](O& o, const S&) { o.ascii = true; }},
    OptionSpec{"--no-mouse", "", "", "leave the mouse to the terminal", kUi, kAny, kAny, false,
               [](O& o, const S&) { o.no_mouse = true; }},
    OptionSpec{"--refresh", "HZ", "", "screen updates a second at most (default 30)", kUi, kAny,
               kAny, false,
               [](O& o, const S& v) { o.refresh_hz = number_between("--refresh", v, 1, 120); }},
    OptionSpec{"--no-analyze", "", "", "start no analysis by itself", kUi, kAny, kAny, false,
               [](O& o, const S&) { o.no_analyze = true; }},
};

/// The table with every option of the families' grids, each once, before those of the screen.
std::vector<OptionSpec> with_grids() {
  static std::deque<std::string> texts;  // what the views of the table point to
  std::vector<OptionSpec> table(kOptionTable.begin(), kOptionTable.end());
  std::vector<OptionSpec> grids;
  for (const MethodFamily& family : method_families()) {
    for (const GridOption& option : family.options) {
      const std::string name = fmt::format("--{}", option.name);
      const auto named = [&](const OptionSpec& spec) { return spec.name == name; };
      if (std::any_of(grids.begin(), grids.end(), named)) continue;
      const bool is_file = option.values == "FILE";
      const std::string values = option.values.empty() ? "" : is_file ? "FILE" : "LIST";
      std::string help = fmt::format("{}: {}", family.name, option.help);
      if (!option.values.empty() && !is_file) help += fmt::format(": {}", option.values);
      if (!option.defaults.empty()) help += fmt::format(" [{}]", option.defaults);
      grids.push_back({texts.emplace_back(name), texts.emplace_back(values), "",
                       texts.emplace_back(help), OptionGroup::kGrid, kAny, Mode::kSweep, false,
                       nullptr, Mode::kQuantize});
    }
  }
  const auto screen = std::find_if(table.begin(), table.end(), [](const OptionSpec& spec) {
    return spec.group == OptionGroup::kInterface;
  });
  table.insert(screen, grids.begin(), grids.end());
  return table;
}

}  // namespace

std::span<const OptionSpec> option_table() {
  static const std::vector<OptionSpec> table = with_grids();
  return table;
}

std::string_view mode_word(Mode mode) {
  for (const OptionSpec& spec : kOptionTable) {
    if (spec.mode == mode) return spec.name.substr(2);
  }
  return "browse";
}

}  // namespace qi
