#include "app/help.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "app/eval_rows.h"
#include "app/option_table.h"
#include "app/result_rows.h"
#include "app/weight_rows.h"
#include "engine/checkpoint/quant_scheme.h"
#include "engine/io/error.h"
#include "engine/stats/statistics.h"
#include "engine/text/width.h"
#include "eval/evaluation/speed.h"

namespace qi {
namespace {

constexpr std::size_t kNameWidth = 32;

std::string option_line(const OptionSpec& spec) {
  std::string name(spec.name);
  for (const std::string_view word : {spec.value, spec.operands}) {
    if (!word.empty()) name += fmt::format(" {}", word);
  }
  return fmt::format("  {:<{}} {}\n", name, kNameWidth, spec.help);
}

}  // namespace

std::string wrapped_text(std::string_view text, int width, std::size_t indent) {
  std::string out;
  int used = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const int cells = display_width(word);
    if (used > 0 && used + 1 + cells > width) {
      out += "\n" + std::string(indent, ' ');
      used = 0;
    }
    if (used > 0) out += ' ';
    out += word;
    used += cells + (used > 0 ? 1 : 0);
  }
  return out;
}

namespace {

std::string group_lines(OptionGroup group) {
  std::string out;
  for (const OptionSpec& spec : option_table()) {
    if (spec.group == group) out += option_line(spec);
  }
  return out;
}

std::string overview() {
  std::string out = "qinspect - what is inside the weight files of language models\n\n";
  out += fmt::format("  {:<{}} {}\n", "qinspect [PATH]", kNameWidth,
                     "browse PATH (default: .) in the terminal");
  out += group_lines(OptionGroup::kModes);
  out += "\nOptions\n" + group_lines(OptionGroup::kEveryMode);
  out += "\nGrids of --sweep (lists: a,b,c; every list multiplies)\n" +
         group_lines(OptionGroup::kGrid);
  out += "\nScreen\n" + group_lines(OptionGroup::kInterface);
  out +=
      "\nPATH is a .safetensors, .gguf or .qstore file, a model folder, or a QStore prototype\n"
      "directory.\n";
  out += fmt::format("Topics of --help: {}\n", fmt::join(help_topics(), ", "));
  return out;
}

std::string column_lines(std::span<const Column> columns) {
  std::string names;
  std::string out;
  for (const Column& column : columns) {
    if (!names.empty()) names += ',';
    names += column.name;
  }
  // Broken at commas to fit a terminal.
  std::size_t begin = 0;
  while (begin < names.size()) {
    std::size_t end = names.size();
    if (end - begin > 90) end = names.rfind(',', begin + 90) + 1;
    out += fmt::format("  {}\n", names.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

std::string list_topic() {
  return "qinspect --list [--parts] PATH\n\n"
         "One row per logical weight, from headers alone: a quantized matrix and its scales, zero\n"
         "points and permutations are one row with the true shape; `parts` counts the stored\n"
         "tensors, `bytes` and `bits_per_weight` count all of them. --parts lists the stored "
         "tensors\n"
         "themselves. Sizes are bytes; `shape` is outermost first; an empty cell does not "
         "apply.\n\n"
         "Columns of --csv and --json:\n" +
         column_lines(list_columns()) + "  --parts adds: weight,part\n";
}

std::string stats_topic() {
  std::string out =
      "qinspect --stats [--exact] PATH\n\n"
      "One row per logical weight after reading every value. Columns are those of --list and:\n\n";
  for (const StatColumn& column : stat_columns()) {
    constexpr std::size_t kIndent = 28;
    out += fmt::format("  {:<13} {:<11} {}\n", column.name, column.unit,
                       wrapped_text(column.formula, 100 - kIndent, kIndent));
  }
  out +=
      "\nOf containers also, in bits/weight:\n\n"
      "  h_given_next    entropy of the numbers given the next lower level: h_residual where that "
      "is\n"
      "                  LLM.int8(); else of the chain model: a weight's cell is what rounds to "
      "its\n"
      "                  lower code; cells are told apart by how many numbers they hold; summed "
      "are\n"
      "                  log2 of the numbers of the cell, or of a slice of it with the order-0\n"
      "                  entropy of which slice, whichever is less for the block's cells of a "
      "size\n"
      "  bits_spent      what the level's own bytes of the weight take in the file, grids and all\n"
      "  h_given_lowest  as h_given_next, given the lowest level, where that is another one\n"
      "  bits_zstd, bits_huffman, bits_planes, bits_chain\n"
      "                  what the numbers alone take, the codes or 16-bit floats: by zstd level "
      "3,\n"
      "                  Huffman, planes with one table a weight, and as the container has them\n"
      "  bits_grids      what scales, zero points and group indexes take in the file\n"
      "The last six are there for weights of chains.\n"
      "\nAn empty cell does not apply to the weight. ratio_zstd and ratio_lz4 come from evenly\n"
      "spaced blocks of at most 4 MiB a weight; --exact takes all bytes. Results are kept in the\n"
      "database (--db) by file identity, so that a second run shows them at once.\n";
  return out;
}

std::string verify_topic() {
  return "qinspect --verify [--checksums-only] PATH\n\n"
         "Reads every payload byte and decodes it (of a container: checks every checksum, then\n"
         "decodes, which --checksums-only leaves out). One row per fault found; nothing and exit 0 "
         "when\n"
         "sound, else exit 2. A malformed file also gives its error line on stderr.\n\n"
         "Columns:\n" +
         column_lines(verify_columns());
}

std::string show_topic() {
  return "qinspect --show NAME PATH\n\n"
         "Everything about the weight NAME: what --list and --stats say, its stored tensors, the\n"
         "histogram of its values, its first values, and the metadata of its file. CSV has the\n"
         "columns field,value; JSON is one nested object.\n";
}

std::string diff_topic() {
  return "qinspect --diff A B\n\n"
         "Compares two models of any two formats by dequantized values; A is the reference. Knows\n"
         "the names of Hugging Face and GGUF and the rotary order of attn_q and attn_k rows.\n"
         "status is same, differs, only_a, only_b, shape, or not comparable. Exit 2 unless all "
         "are\n"
         "same. snr_db = 10*log10(sum x^2 / sum e^2), relative_error = |e| / |x| (Frobenius).\n\n"
         "Columns:\n" +
         column_lines(diff_columns());
}

std::string convert_topic() {
  return "qinspect --convert OUT --to TYPE PATH\n\n"
         "Writes the logical weights, dequantized, as one safetensors file OUT; TYPE is F32, BF16\n"
         "or F16 (rounded to nearest even). An OUT that ends in .gguf is a whole model for\n"
         "llama.cpp, and TYPE any ggml type or mixture: see --help quantize. OUT appears whole or\n"
         "not at all; --force replaces an existing file, never a file that is read.\n";
}

std::string quantize_topic() {
  std::string out =
      "qinspect --quantize OUT --to SCHEME PATH [--calibration FILE]\n\n"
      "Writes the model of PATH (safetensors, floats) as a complete checkpoint folder OUT: shards\n"
      "and index, config.json with quantization_config, tokenizer files. Linear layers of the\n"
      "blocks are quantized; all else and, of schemes without a method, what --tensors does not\n"
      "select stay as they are. What was written is read back and\n"
      "compared, bit for bit, before OUT gets its name. An interrupted run leaves OUT.partial "
      "with\n"
      "the finished blocks: the same command goes on from there, --force begins anew. A folder is\n"
      "never replaced. --dry-run says what it comes to: weights, about how many bytes, memory.\n\n"
      "Schemes\n";
  for (const QuantScheme& scheme : quant_schemes()) {
    out += fmt::format("  {:<15} {}\n", scheme.name, scheme.summary);
    if (scheme.family.empty()) continue;
    out += fmt::format("  {:<15} needs --calibration; takes", "");
    std::string_view between = " --";
    for (const char c : scheme.free_options) {
      out += between;
      between = {};
      if (c == ',') {
        between = ", --";
      } else {
        out += c;
      }
    }
    out += '\n';
  }
  return out +
         "\nOUT.gguf: one file for llama.cpp, SCHEME being F32, F16, BF16, a ggml type (Q8_0, "
         "Q4_K)\n"
         "or a mixture (Q4_K_M), whose types are chosen as llama-quantize does; --imatrix FILE "
         "weighs\n"
         "errors. PATH is a Hugging Face folder (its keys, vocabulary and rotary order are made\n"
         "anew) or a GGUF, whose keys are taken over. Matrices that --tensors does not select "
         "keep\n"
         "their type.\n";
}

std::string encode_topic() {
  return "qinspect --encode OUT.qstore PATH [--low PATH|int8]...\n\n"
         "Stores the model of PATH without loss: its files with weights, their index and every\n"
         "other regular file directly in the folder (no sub-folders, no links but of weights). A\n"
         "--low adds a precision, from high to low: a checkpoint folder or file, or int8, which "
         "is\n"
         "LLM.int8() of PATH computed here. Matrices that stand in both cost hardly more than the\n"
         "high one alone. --effort ratio is smaller and slower, --block WEIGHTS the unit of "
         "random\n"
         "access. --base OTHER.qstore stores tensors as the difference to those of that name in\n"
         "another container, where that is smaller; it is then needed for reading, beside this\n"
         "file or where --base says. What was written is decoded and compared with the sources\n"
         "before OUT gets its name; OUT appears whole or not at all.\n\n"
         "A prototype directory is encoded anew, as the safetensors checkpoints of its two\n"
         "precisions; row scales are computed. A level is named after its source, or int8; the\n"
         "second of a name ends in -2. The format is described in engine/format/QSTORE.md.\n";
}

std::string decode_topic() {
  return "qinspect --decode OUT_DIR --level NAME IN.qstore\n\n"
         "Writes the files of one level back, bit for bit, into the new folder OUT_DIR. NAME is a\n"
         "level's name (--list shows them), high or low for the first and the last, or all, which\n"
         "writes OUT_DIR/<level>/ for each. Digests of all tensors and files are checked first; a\n"
         "damaged container gives no folder. --tensors GLOB restores only those weights, as\n"
         "OUT_DIR/model.safetensors: of a damaged container all that is sound. Block types that\n"
         "safetensors does not know become bytes (U8) and are named in its metadata.\n";
}

std::string sweep_topic() {
  std::string out =
      "qinspect --sweep FAMILY[,FAMILY...] PATH [grid options]\n\n"
      "Measures the matrices of the layers (--all-weights: every weight; --tensors GLOB: those) "
      "in\n"
      "every configuration of the families' grids: exact bytes, errors, and the time of each\n"
      "direction on one core. Each finished row is in the results database (--db) at once; the "
      "same\n"
      "sweep again does only what is missing (--redo: all of it), whatever the model, its files "
      "and\n"
      "tensors are called by then. Several processes may share the work by sharing the "
      "database.\n"
      "A row that fails has status error and says why. After the rows, one with tensor * for "
      "each\n"
      "configuration: bytes, numbers and times are sums; mse, relative_error, snr_db, psnr_db "
      "and\n"
      "cosine are means weighted by numbers, rmse the root of that mse; model_bytes adds all "
      "other\n"
      "weights as stored. --dry-run shows the grid, predicted sizes and memory.\n\n"
      "gptq, awq, smoothquant and spqr look at a text: --calibration FILE (UTF-8, given to the "
      "model's\n"
      "tokenizer; FILE.json: one array of token ids, or arrays of them, which are joined). It is "
      "cut "
      "into\n"
      "at most --nsamples (128) sequences of --max_sequence_length tokens (2048, or the model's "
      "limit),\n"
      "which do not overlap and stand at even distances over the text. They quantize every linear "
      "layer\n"
      "of the blocks, one block after the other, whichever weights rows are wanted of. "
      "output_error:\n"
      "‖XW - XW'‖ / ‖XW‖ over the text, X as the method saw it; smoothquant's with activations "
      "rounded\n"
      "to 8 bits, too, over 512 tokens or more. average_bits: as SpQR's paper counts them (16 bits "
      "an\n"
      "outlier and 16 its column); bits_per_weight counts all that is stored.\n\n"
      "Families\n";
  for (const MethodFamily& family : method_families()) {
    out += fmt::format("  {:<12} {}\n", family.name, family.description);
    for (const GridOption& option : family.options) {
      std::string line(option.help);
      if (!option.values.empty()) line += fmt::format(": {}", option.values);
      if (!option.defaults.empty()) line += fmt::format(" [{}]", option.defaults);
      out += fmt::format("    --{:<18} {}\n", option.name, wrapped_text(line, 74, 25));
    }
  }
  return out + "\nColumns of --csv and --json:\n" + column_lines(result_columns()) +
         "--dry-run:\n" + column_lines(forecast_columns());
}

std::string speed_lines() {
  std::string out = fmt::format("    {:<28} {}\n", "speed.load",
                                "ms from opening to the first token, the files being in memory");
  for (const SpeedMeasureInfo& measure : speed_measures()) {
    out += fmt::format("    speed.{:<22} {}\n", measure.name, measure.description);
  }
  return out + fmt::format("    {:<28} {}\n    {:<28} {}\n", "speed.memory",
                           "bytes that were resident at most, mapped pages too",
                           "speed.memory.private", "bytes resident that no file backs");
}

std::string eval_topic() {
  return "qinspect --eval ppl,speed --text FILE PATH\n\n"
         "Runs a language model over a text, on the CPU, from its weights as they are stored:\n"
         "Llama 2 and 3, Mistral, Qwen 2, 2.5 and 3, Gemma 2 and 3.\n"
         "  ppl  perplexity: exp of the mean negative log-likelihood (nats) of the tokens that "
         "count\n"
         "  speed  load time, memory, prefill and decode, latency of 5 prompts one by one and side "
         "by\n"
         "         side, mixes; about a minute at most, shorter for small models\n" +
         speed_lines() +
         "\n"
         "  --protocol hf         windows of --context tokens (2048, or the model's limit), each\n"
         "                        from position 0; what does not fill a window is left out; with\n"
         "                        --stride N they overlap and each token counts once\n"
         "  --protocol llama.cpp  windows of 512 that begin with BOS; their second half counts\n"
         "  --bos none            no token begins the text, whatever the tokenizer says\n"
         "  --nll FILE            columns window,position,token,nll\n"
         "  --limit N             the first N windows alone\n"
         "  --kv f16              keys and values as llama.cpp holds them\n"
         "  --activations q8      weights of 8 bits or less are multiplied with numbers of 8 bits\n"
         "  --prompts FILE        speed: a prompt a line, the first five; else random tokens\n\n"
         "Finished windows are kept in the results database: an interrupted run goes on where it\n"
         "was, a finished one is found; --redo measures again.\n\n"
         "Columns of --csv and --json:\n" +
         column_lines(eval_columns());
}

std::string results_topic() {
  return "qinspect --results [--family NAME,...] [--run N] [--model GLOB] [--tensors GLOB]\n\n"
         "The rows of all sweeps in the results database (--db), run after run, with the columns "
         "of\n"
         "--sweep. --best-under BPW keeps of each weight of each model, and of each model's "
         "totals,\n"
         "the row with the highest snr_db among those of at most BPW bits a weight; --pareto "
         "those\n"
         "than which no other is at most as large and at least as good. For both, of equal rows "
         "the\n"
         "newest run's counts. --tensors '\\*' shows totals alone.\n\n"
         "Columns of --csv and --json:\n" +
         column_lines(result_columns());
}

std::string error_topic() {
  std::string out =
      "Exit status\n"
      "  0    done\n"
      "  1    failed while running\n"
      "  2    --verify or --diff found something, or an input is malformed\n"
      "  64   wrong usage\n"
      "  129  SIGHUP, 130 SIGINT, 143 SIGTERM; 141 standard output closed by its reader\n\n"
      "An error is one line on stderr:\n"
      "  qinspect: FILE: what is wrong (byte OFFSET): what was expected [CLASS]\n"
      "FILE is the file at fault, OFFSET counts from its start. CLASS and its exit status:\n";
  for (int code = 0; code <= static_cast<int>(ErrorCode::kUsage); ++code) {
    const auto error = static_cast<ErrorCode>(code);
    out += fmt::format("  {:<14} {}\n", class_word(error), exit_status(error));
  }
  return out;
}

std::string completion() {
  std::string words;
  std::string with_file;
  std::string with_word;
  for (const OptionSpec& spec : option_table()) {
    words += fmt::format("{} ", spec.name);
    if (spec.value == "FILE" || spec.value == "OUT") with_file += fmt::format("{}|", spec.name);
    if (spec.value.find('|') == std::string_view::npos) continue;
    std::string choices(spec.value);
    std::replace(choices.begin(), choices.end(), '|', ' ');
    with_word +=
        fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$current\")); return ;;\n",
                    spec.name, choices);
  }
  if (!with_file.empty()) with_file.pop_back();
  return fmt::format(
      "# bash completion of qinspect: source <(qinspect --help completion)\n"
      "_qinspect() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}\n"
      "  case $before in\n"
      "{}"
      "    --to) COMPREPLY=($(compgen -W \"F32 BF16 F16\" -- \"$current\")); return ;;\n"
      "    --help) COMPREPLY=($(compgen -W \"{}\" -- \"$current\")); return ;;\n"
      "    {}) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
      "  esac\n"
      "  case $current in\n"
      "    -*) COMPREPLY=($(compgen -W \"{}\" -- \"$current\")) ;;\n"
      "    *) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
      "  esac\n"
      "}}\n"
      "complete -o filenames -F _qinspect qinspect\n",
      with_word, fmt::join(help_topics(), " "), with_file, words);
}

struct Topic {
  std::string_view name;
  std::string (*text)();
};
constexpr std::array kTopics = {
    Topic{"list", list_topic},         Topic{"stats", stats_topic},
    Topic{"verify", verify_topic},     Topic{"show", show_topic},
    Topic{"diff", diff_topic},         Topic{"convert", convert_topic},
    Topic{"quantize", quantize_topic}, Topic{"encode", encode_topic},
    Topic{"decode", decode_topic},     Topic{"sweep", sweep_topic},
    Topic{"eval", eval_topic},         Topic{"results", results_topic},
    Topic{"errors", error_topic},      Topic{"keys", keys_topic},
    Topic{"config", config_topic},     Topic{"completion", completion},
};

}  // namespace

std::vector<std::string_view> help_topics() {
  std::vector<std::string_view> names;
  for (const Topic& topic : kTopics) names.push_back(topic.name);
  return names;
}

std::string help_text(std::string_view topic) {
  if (topic.empty()) return overview();
  for (const Topic& known : kTopics) {
    if (known.name == topic) return known.text();
  }
  throw Error(ErrorCode::kUsage, fmt::format("no help about {}", topic),
              fmt::format("one of {}", fmt::join(help_topics(), ", ")));
}

}  // namespace qi
