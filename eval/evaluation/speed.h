// How fast a model answers: prompts are run and continued greedily, the end of the text ignored, so
// that every run has the tokens that were asked for. The measures and their names are those of
// speed_measures(). Times are of this machine now: they are measured, not known. Refuses prompts
// that do not fit into the model's context (kUsage). One thread at a time; the model's work is
// shared by its own threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "eval/transformer/transformer.h"

namespace qi {

class EvalContext;

struct SpeedPlan {
  std::vector<std::vector<std::int32_t>> prompts;
  std::size_t generated = 64;  // tokens after each prompt
  /// Tokens of the mixes: the prompt's and the generated ones.
  struct Mix {
    std::string_view name;
    std::size_t prompt = 0;
    std::size_t generated = 0;
  };
  std::vector<Mix> mixes;
  KvType kv = KvType::kF32;
};

/// `prompts` prompts of the same numbers of pseudo-random tokens on every machine.
std::vector<std::vector<std::int32_t>> random_prompts(std::uint64_t vocab, std::size_t prompts,
                                                      std::size_t tokens);

/// Five prompts (random ones of up to 128 tokens, unless `prompts` are given), 64 tokens after
/// each, and the mixes, as far as they fit into the model's context and, by what a first look at
/// the model's speed says, into `seconds` (0: however long it takes). Given prompts are never cut.
/// Nothing: cancelled. Throws kUsage for prompts that leave no room in the context.
std::optional<SpeedPlan> plan_speed(const Transformer& transformer,
                                    std::vector<std::vector<std::int32_t>> prompts, KvType kv,
                                    double seconds);

struct SpeedMeasure {
  std::string_view name;
  double value = 0;  // ms, of a token where speed_measures() says so; tokens a second
  std::optional<double> standard_error;
  std::uint64_t tokens = 0;  // run or generated in `seconds`
  double seconds = 0;
};

/// A measure's name and what it is, with its unit, for people.
struct SpeedMeasureInfo {
  std::string_view name;
  std::string_view description;
};
/// All that measure_speed() hands out, in that order.
std::span<const SpeedMeasureInfo> speed_measures();

struct SpeedEvents {
  std::function<void(const SpeedMeasure& measure)> on_measure;
  /// Tokens run and generated, of all there will be. May be empty.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;
};

/// False: cancelled (Workers::cancel). Throws as Transformer.
bool measure_speed(const Transformer& transformer, const SpeedPlan& plan,
                   const SpeedEvents& events);

/// The kind "speed": the measures, "load" (ms from opening to the first token, files in memory),
/// "memory" and "memory.private" (bytes: the most that was resident, what no file backs).
bool evaluate_speed(EvalContext& context);

}  // namespace qi
