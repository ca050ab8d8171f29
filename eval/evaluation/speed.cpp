#include "eval/evaluation/speed.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;
using Tokens = std::vector<std::int32_t>;

constexpr std::size_t kPrompts = 5;
constexpr std::size_t kPromptTokens = 128;
constexpr std::size_t kGeneratedTokens = 64;
constexpr std::size_t kFewestTokens = 4;
// Of the mixes: a long prompt and one token, four fifths prompt, a short one and hundreds.
constexpr std::size_t kMixTokens = 512;

constexpr std::array<SpeedMeasureInfo, 15> kSpeedMeasures = {{
    {"prefill", "ms a token of the prompts, one prompt at a time"},
    {"decode", "ms a generated token, one prompt at a time"},
    {"sequential", "ms a prompt with all its generated tokens, one prompt at a time"},
    {"sequential.first_token", "ms until the first token is there"},
    {"sequential.p50", "ms a generated token, half of them"},
    {"sequential.p95", "ms a generated token, 95 % of them"},
    {"sequential.p99", "ms a generated token, 99 % of them"},
    {"batch", "ms of all prompts with all their generated tokens, side by side"},
    {"batch.first_token", "ms until all first tokens are there"},
    {"batch.step", "ms a step, which generates a token of each"},
    {"throughput", "generated tokens a second, side by side, without the prompts"},
    {"throughput.total", "tokens of prompts and generated ones a second, side by side"},
    {"mix.prompt", "ms a token: a long prompt, one generated token"},
    {"mix.80_20", "ms a token: four fifths prompt, one fifth generated"},
    {"mix.generate", "ms a token: a short prompt, hundreds of generated tokens"},
}};

double seconds_since(steady_clock::time_point begin) {
  return duration<double>(steady_clock::now() - begin).count();
}

double time_sum(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

/// The mean of `factor` · x, and its standard error where there are two at least.
SpeedMeasure mean_time(std::string_view name, std::span<const double> x, double factor) {
  SpeedMeasure out;
  out.name = name;
  const auto n = static_cast<double>(x.size());
  const double mean = time_sum(x) / n;
  double squares = 0;
  for (const double value : x) squares += (value - mean) * (value - mean);
  out.value = factor * mean;
  if (x.size() > 1) out.standard_error = factor * std::sqrt(squares / (n - 1) / n);
  out.seconds = time_sum(x);
  return out;
}

/// The least time that `share` of all take at most.
SpeedMeasure quantile_of(std::string_view name, std::vector<double> x, double share) {
  std::sort(x.begin(), x.end());
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(x.size())));
  return {name, 1e3 * x[std::max<std::size_t>(rank, 1) - 1], std::nullopt, x.size(), time_sum(x)};
}

/// Prompts that were run and continued side by side.
struct Generation {
  std::vector<double> prefill;  // seconds, of each prompt
  double first_token = 0;       // until the first tokens of all are there
  std::vector<double> steps;    // of every step behind them
  double all() const { return first_token + time_sum(steps); }
};

class Speedometer {
 public:
  Speedometer(const Transformer& transformer, KvType kv) : transformer_(transformer), kv_(kv) {}

  /// `generated` tokens after each prompt; nothing: cancelled.
  std::optional<Generation> generate(std::span<const Tokens> prompts, std::size_t generated) {
    Generation out;
    std::vector<KvCache> caches;
    std::vector<KvCache*> places;
    for (const Tokens& prompt : prompts) {
      caches.emplace_back(transformer_.architecture(), prompt.size() + generated, kv_,
                          KvLayers::kAll);
    }
    for (KvCache& cache : caches) places.push_back(&cache);
    std::vector<float> last, states;
    const auto begin = steady_clock::now();
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto before = steady_clock::now();
      if (!transformer_.run(prompts[i], caches[i], states)) return std::nullopt;
      const auto state = states.end() - static_cast<std::ptrdiff_t>(hidden());
      last.insert(last.end(), state, states.end());
      out.prefill.push_back(seconds_since(before));
      count(prompts[i].size());
    }
    Tokens tokens;
    if (!likeliest_tokens(transformer_, last, tokens)) return std::nullopt;
    out.first_token = seconds_since(begin);
    count(prompts.size());
    for (std::size_t i = 1; i < generated; ++i) {
      const auto before = steady_clock::now();
      if (!transformer_.run(tokens, places, states)) return std::nullopt;
      if (!likeliest_tokens(transformer_, states, tokens)) return std::nullopt;
      out.steps.push_back(seconds_since(before));
      count(prompts.size());
    }
    return out;
  }

  std::function<void(std::size_t tokens)> count = [](std::size_t) {};

 private:
  std::size_t hidden() const { return transformer_.architecture().hidden; }

  const Transformer& transformer_;
  KvType kv_;
};

std::size_t tokens_of(std::span<const Tokens> prompts) {
  std::size_t all = 0;
  for (const Tokens& prompt : prompts) all += prompt.size();
  return all;
}

/// `tokens`, or the share of them that there is time and room for.
std::size_t fitted(std::size_t tokens, double share) {
  const auto some = static_cast<std::size_t>(static_cast<double>(tokens) * share);
  return std::clamp(some, std::min(tokens, kFewestTokens), tokens);
}

}  // namespace

std::span<const SpeedMeasureInfo> speed_measures() {
  return kSpeedMeasures;
}

std::vector<Tokens> random_prompts(std::uint64_t vocab, std::size_t prompts, std::size_t tokens) {
  std::uint64_t state = 1;
  std::vector<Tokens> out(prompts);
  for (Tokens& prompt : out) {
    for (std::size_t i = 0; i < tokens; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      prompt.push_back(static_cast<std::int32_t>((state >> 33) % vocab));
    }
  }
  return out;
}

std::optional<SpeedPlan> plan_speed(const Transformer& transformer, std::vector<Tokens> prompts,
                                    KvType kv, double seconds) {
  const std::uint64_t context = transformer.architecture().context;
  const std::size_t room = context == 0 ? kMixTokens : std::min<std::size_t>(context, kMixTokens);
  SpeedPlan plan;
  plan.kv = kv;
  const bool given = !prompts.empty();
  std::size_t longest = std::clamp<std::size_t>(room / 2, 1, kPromptTokens);
  if (given) {
    for (std::size_t i = 0; prompts.size() < kPrompts; ++i) prompts.push_back(prompts[i]);
    prompts.resize(kPrompts);
    longest = 0;
    for (const Tokens& prompt : prompts) longest = std::max(longest, prompt.size());
    if (context > 0 && longest >= context) {
      throw Error(ErrorCode::kUsage, fmt::format("a prompt of {} tokens", longest),
                  fmt::format("less than {}, the model's context", context));
    }
  }
  const std::size_t left = context == 0 ? kGeneratedTokens : context - longest;
  plan.generated = std::min(kGeneratedTokens, left);

  // The first run is slower than others: weights come from the disk. The second one tells.
  Speedometer speedometer(transformer, kv);
  const auto trial = random_prompts(transformer.vocab(), 1, std::min<std::size_t>(16, longest));
  if (!speedometer.generate(trial, 2)) return std::nullopt;
  const auto tried = speedometer.generate(trial, 3);
  if (!tried) return std::nullopt;
  const double token_s = time_sum(tried->steps) / 2;
  const double prompt_token_s = tried->prefill.front() / static_cast<double>(trial.front().size());
  const auto some = [](std::size_t tokens) { return std::max<std::size_t>(tokens, 1); };
  plan.mixes = {{"mix.prompt", some(room - 1), 1},
                {"mix.80_20", some(room / 2 * 4 / 5), some(room / 2 / 5)},
                {"mix.generate", some(room / 32), some(room / 2 - room / 32)}};
  const double prompt_tokens = 2.0 * (given ? static_cast<double>(tokens_of(prompts))
                                            : static_cast<double>(kPrompts * longest)) +
                               static_cast<double>(2 * room);
  const double steps = static_cast<double>((kPrompts + 1) * plan.generated + room / 2 + room / 8);
  const double needed = prompt_token_s * prompt_tokens + token_s * steps;
  const double share = seconds > 0 && needed > seconds ? seconds / needed : 1;
  plan.generated = fitted(plan.generated, share);
  plan.prompts = given ? std::move(prompts)
                       : random_prompts(transformer.vocab(), kPrompts, fitted(longest, share));
  for (SpeedPlan::Mix& mix : plan.mixes) {
    mix.prompt = fitted(mix.prompt, share);
    mix.generated = fitted(mix.generated, share);
  }
  return plan;
}

bool measure_speed(const Transformer& transformer, const SpeedPlan& plan,
                   const SpeedEvents& events) {
  const std::span<const Tokens> prompts = plan.prompts;
  const std::size_t n = prompts.size();
  const std::size_t prompt_tokens = tokens_of(prompts);
  const std::size_t generated = n * plan.generated;
  std::uint64_t total = 2 * (prompt_tokens + generated);
  for (const SpeedPlan::Mix& mix : plan.mixes) total += mix.prompt + mix.generated;
  Speedometer speedometer(transformer, plan.kv);
  speedometer.count = [&, done = std::uint64_t{0}](std::size_t tokens) mutable {
    done += tokens;
    if (events.on_progress) events.on_progress(done, total);
  };
  const auto give = [&](SpeedMeasure measure, std::uint64_t tokens) {
    measure.tokens = tokens;
    events.on_measure(measure);
  };

  std::vector<double> prefill, first, steps, requests;
  for (std::size_t i = 0; i < n; ++i) {
    const auto one = speedometer.generate(prompts.subspan(i, 1), plan.generated);
    if (!one) return false;
    prefill.push_back(one->prefill.front());
    first.push_back(one->first_token);
    steps.insert(steps.end(), one->steps.begin(), one->steps.end());
    requests.push_back(one->all());
  }
  give(mean_time("prefill", prefill,
                 1e3 * static_cast<double>(n) / static_cast<double>(prompt_tokens)),
       prompt_tokens);
  if (!steps.empty()) give(mean_time("decode", steps, 1e3), steps.size());
  give(mean_time("sequential", requests, 1e3), prompt_tokens + generated);
  give(mean_time("sequential.first_token", first, 1e3), prompt_tokens);
  if (!steps.empty()) {
    give(quantile_of("sequential.p50", steps, 0.50), steps.size());
    give(quantile_of("sequential.p95", steps, 0.95), steps.size());
    give(quantile_of("sequential.p99", steps, 0.99), steps.size());
  }

  const auto batch = speedometer.generate(prompts, plan.generated);
  if (!batch) return false;
  const double all = batch->all();
  const std::array<double, 1> whole = {all};
  const std::array<double, 1> begun = {batch->first_token};
  give(mean_time("batch", whole, 1e3), prompt_tokens + generated);
  give(mean_time("batch.first_token", begun, 1e3), prompt_tokens);
  const std::size_t stepped = n * batch->steps.size();
  if (stepped > 0) {
    const double seconds = time_sum(batch->steps);
    give(mean_time("batch.step", batch->steps, 1e3), stepped);
    give({"throughput", static_cast<double>(stepped) / seconds, std::nullopt, 0, seconds}, stepped);
  }
  give({"throughput.total", static_cast<double>(prompt_tokens + generated) / all, std::nullopt, 0,
        all},
       prompt_tokens + generated);

  for (const SpeedPlan::Mix& mix : plan.mixes) {
    const auto prompt = random_prompts(transformer.vocab(), 1, mix.prompt);
    const auto one = speedometer.generate(prompt, mix.generated);
    if (!one) return false;
    const std::size_t tokens = mix.prompt + mix.generated;
    const std::array<double, 1> time = {one->all()};
    give(mean_time(mix.name, time, 1e3 / static_cast<double>(tokens)), tokens);
  }
  return true;
}

}  // namespace qi
