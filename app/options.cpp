#include "app/options.h"

#include <utility>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/option_table.h"
#include "app/option_values.h"
#include "engine/io/error.h"
#include "eval/evaluation/eval_kind.h"

namespace qi {
namespace {

void check_paths(Options& options) {
  const std::size_t count = options.paths.size();
  for (const std::string& path : options.paths) {
    if (path.empty()) usage("PATH is empty");
  }
  switch (options.mode) {
    case Mode::kBrowse:
      if (count == 0) options.paths = {"."};
      break;
    case Mode::kHelp:
      if (count > 1) usage("--help takes one TOPIC");
      if (count == 1) options.help_topic = options.paths[0];
      options.paths.clear();
      return;
    case Mode::kVersion:
      if (count > 0) usage("--version takes no PATH");
      return;
    case Mode::kResults:
      if (count > 0) usage("--results takes no PATH", "--model GLOB");
      return;
    case Mode::kDiff:
      if (count != 2) usage(fmt::format("--diff with {} paths", count), "A and B");
      return;
    default:
      if (count == 0) usage(fmt::format("--{} without PATH", mode_word(options.mode)));
      break;
  }
  if (options.paths.size() > 1) {
    usage(fmt::format("{} paths: {} and {}", count, options.paths[0], options.paths[1]),
          "one PATH");
  }
}

void check_kind(const std::string& name, const Options& options) {
  const EvalKind* const kind = find_evaluation_kind(name);
  if (kind == nullptr) {
    std::vector<std::string_view> names;
    for (const EvalKind& each : evaluation_kinds()) names.push_back(each.name);
    usage("no evaluation is called " + name, fmt::format("{}", fmt::join(names, ", ")));
  }
  const auto need = [&](bool needed, const std::string& given, std::string_view option) {
    if (!needed || !given.empty()) return;
    const bool sweeps = options.mode == Mode::kSweep;
    usage(fmt::format("{} {} without {}", sweeps ? "--with" : "--eval", name, option));
  };
  need(kind->needs_text, options.text, "--text FILE");
  // A sweep's configurations are held against the model as it is stored.
  need(kind->needs_base && options.mode != Mode::kSweep, options.base, "--base MODEL");
  need(kind->needs_task, options.task, "--task FILE");
}

void check_together(const Options& options, const std::vector<const OptionSpec*>& given) {
  const OptionSpec* mode = nullptr;
  for (const OptionSpec* spec : given) {
    if (!spec->mode) continue;
    if (mode != nullptr) {
      usage(fmt::format("{} and {} do not go together", mode->name, spec->name), "one mode");
    }
    mode = spec;
  }
  const bool sweep_evaluates = options.mode == Mode::kSweep && !options.kinds.empty();
  for (const OptionSpec* spec : given) {
    const bool of_one_model = spec->name == "--nll" || spec->name.substr(0, 6) == "--save";
    if (sweep_evaluates && spec->only_with == Mode::kEval && !of_one_model) continue;
    // Levels that are quantized on the way to a container.
    const bool of_calibration = spec->only_with == Mode::kSweep &&
                                spec->or_with == Mode::kQuantize && spec->apply != nullptr &&
                                !spec->value.empty();
    if (options.mode == Mode::kEncode && !options.low_sources.empty() && of_calibration) continue;
    if (spec->only_with && *spec->only_with != options.mode && spec->or_with != options.mode) {
      const bool sweeps = options.mode == Mode::kSweep && *spec->only_with == Mode::kEval;
      usage(fmt::format("{} without --{}", spec->name,
                        sweeps && !of_one_model ? "with" : mode_word(*spec->only_with)));
    }
  }
  if (options.csv && options.json) usage("--csv and --json do not go together");
  if (options.quiet && options.verbose) usage("--quiet and --verbose do not go together");
  if (options.all_weights && !options.tensors.empty()) {
    usage("--all-weights and --tensors do not go together");
  }
  if (options.mode == Mode::kConvert && options.target.empty()) {
    usage("--convert without --to TYPE");
  }
  if (options.plot && (options.csv || options.json || options.evaluations || options.pareto ||
                       options.best_under)) {
    throw Error(ErrorCode::kUsage, "--plot with rows", "the plot alone, or rows");
  }
  if (options.mode == Mode::kQuantize && options.target.empty()) {
    usage("--quantize without --to SCHEME");
  }
  for (const std::string& name : options.kinds) check_kind(name, options);
  if (options.shots.value_or(0) > 0 && options.shots_file.empty()) {
    usage("--shots without --shots-file FILE");
  }
  if (options.mode == Mode::kDecode && options.level.empty()) {
    usage("--decode without --level NAME");
  }
}

}  // namespace

Options parse_options(const std::vector<std::string>& arguments, Options defaults) {
  Options options = std::move(defaults);
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();  // refused below, in our words
  app.option_defaults()->always_capture_default(false);
  std::vector<CLI::Option*> parsed;
  const std::span<const OptionSpec> table = option_table();
  for (const OptionSpec& spec : table) {
    CLI::Option* option = nullptr;
    if (spec.value.empty()) {
      option = app.add_flag(std::string(spec.name));
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      option->disable_flag_override();
    } else {
      option = app.add_option(std::string(spec.name), CLI::callback_t());
      // Exactly one value: a path that follows is PATH.
      option->type_size(1)->expected(1)->allow_extra_args(false);
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    parsed.push_back(option);
  }
  std::vector<std::string> paths;
  app.add_option("PATH", paths);
  try {
    // CLI11 takes them last to first.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& problem) {
    usage(problem.what());
  }
  for (const std::string& unknown : app.remaining()) {
    if (unknown != "--") usage("unknown option " + unknown);
  }
  options.paths = std::move(paths);
  std::vector<const OptionSpec*> given;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const OptionSpec& spec = table[i];
    if (parsed[i]->count() == 0) continue;
    given.push_back(&spec);
    const std::string grid_name(spec.name.substr(2));
    if (spec.value.empty()) {
      spec.apply == nullptr ? void(options.grid[grid_name]) : spec.apply(options, {});
      continue;
    }
    if (!spec.repeatable && parsed[i]->count() > 1) {
      usage(fmt::format("{} is given {} times", spec.name, parsed[i]->count()), "once");
    }
    for (const std::string& value : parsed[i]->results()) {
      if (spec.apply == nullptr) {
        // A file's name may hold commas.
        options.grid[grid_name] = spec.value == "FILE" ? std::vector{not_empty(spec.name, value)}
                                                       : listed(spec.name, value);
      } else {
        spec.apply(options, value);
      }
    }
  }
  check_together(options, given);
  check_paths(options);
  return options;
}

}  // namespace qi
