#include "eval/evaluation.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "engine/io/xxh3.h"
#include "eval/content_hash.h"
#include "eval/machine.h"
#include "eval/results_evals.h"
#include "eval/tokenizer/tokenizer.h"
#include "eval/verify.h"

namespace qi {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{1} << 30;
/// Changes whenever the numbers do; part of the key of results.
constexpr int kEvaluationVersion = 1;
/// Of a small model a window takes less time than keeping it.
constexpr double kKeepSeconds = 0.5;

std::string read_text(const std::string& path) {
  std::optional<std::string> text = read_text_file(path, kMaxTextBytes, File::open);
  if (!text) throw Error(ErrorCode::kIo, "no such file", "a text", path);
  if (text->empty()) throw Error(ErrorCode::kBadValue, "the text is empty", "a text", path);
  return *std::move(text);
}

/// `act`, with the text's file in errors that name none.
template <typename F>
auto of_text(const std::string& path, F&& act) {
  try {
    return act();
  } catch (const Error& error) {
    if (!error.file.empty() || error.code == ErrorCode::kUsage) throw;
    throw Error(error.code, error.message, error.expected, path, error.offset);
  }
}

std::string digest(std::string_view bytes, std::size_t digits) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64).substr(0, digits);
}

/// A digest of the contents of all weights and of what the model says of itself; empty: cancelled.
std::string model_digest(const Model& model, ResultsStore& store, const std::atomic<bool>* cancel) {
  std::string all = model.config->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (const MetaEntry& entry : model.metadata.entries()) {
    const auto add = [&](const auto& value) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, MetaArray>) {
        all += fmt::format("{}={}\n", entry.key, value);
      }
    };
    std::visit(add, entry.value);
  }
  for (const Weight& weight : model.weights) {
    AnalysisKey key = analysis_key(model, weight, true);
    key.version = kContentHashVersion;
    std::optional<std::string> hash = store.known_hashes({&key, 1}).front();
    if (!hash) {
      hash = content_hash(model, weight, cancel);
      if (hash->empty()) return {};
      check_files_unchanged(model, weight);
      store.keep_hash(key, *hash);
    }
    all += fmt::format("{} {}\n", weight.name, *hash);
  }
  return digest(all, 32);
}

Params params_of(const PerplexityOptions& options, const std::string& text_digest) {
  Params params;
  params.set("protocol", protocol_name(options.protocol));
  params.set("context", fmt::to_string(options.context));
  params.set("stride", fmt::to_string(options.stride));
  params.set("bos", options.bos ? fmt::to_string(*options.bos) : "none");
  params.set("kv", options.kv == KvType::kF32 ? "f32" : "f16");
  params.set("text", text_digest);
  if (options.limit > 0) params.set("limit", fmt::to_string(options.limit));
  return params;
}

std::int64_t begin_run(const Model& model, const EvaluationRequest& request, ResultsStore& store) {
  ResultRun run;
  run.model = model.name;
  run.machine = machine_text();
  run.threads = request.threads > 0 ? request.threads : std::thread::hardware_concurrency();
  run.versions = request.versions;
  run.options = request.options;
  return store.begin_run(run, {});
}

/// The tokens of the text, and in `options` what begins it.
std::vector<std::int32_t> tokens_of(const Model& model, std::uint64_t vocab,
                                    const EvaluationRequest& request, const std::string& text,
                                    PerplexityOptions& options) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(model);
  if (static_cast<std::uint64_t>(tokenizer->size()) > vocab) {
    throw Error(ErrorCode::kInconsistent,
                fmt::format("the tokenizer has {} tokens", tokenizer->size()),
                fmt::format("at most {}, the rows of the embedding", vocab), model.path);
  }
  if (request.automatic_bos && tokenizer->add_bos()) options.bos = tokenizer->bos();
  return of_text(request.text_path, [&] { return tokenizer->encode(text); });
}

/// Windows on their way into the database: those of earlier runs come out, new ones go in.
class KeptWindows {
 public:
  KeptWindows(EvalStore& store, std::string key) : store_(store), key_(std::move(key)) {}

  /// Hands out what is there of the plan, in order; windows() and seconds() count it.
  void replay(const PerplexityPlan& plan, const OnWindow& take) {
    for (const EvalStore::Window& kept : store_.windows(key_)) {
      if (next_ == plan.windows()) return;
      const TextWindow window = plan.window(next_);
      if (kept.nll.size() != window.tokens.size() - window.scored_from) return;
      take(window, kept.nll);
      seconds_ += kept.seconds;
      ++next_;
    }
  }
  void start() { kept_at_ = began_ = steady_clock::now(); }
  void add(std::span<const double> nll) {
    const auto now = steady_clock::now();
    waiting_.push_back({duration<double>(now - began_).count(), {nll.begin(), nll.end()}});
    seconds_ += waiting_.back().seconds;
    began_ = now;
    if (duration<double>(now - kept_at_).count() >= kKeepSeconds) keep();
  }
  void keep() {
    store_.put_windows(key_, next_, waiting_);
    next_ += waiting_.size();
    waiting_.clear();
    kept_at_ = steady_clock::now();
  }

  std::uint64_t windows() const { return next_; }
  double seconds() const { return seconds_; }

 private:
  EvalStore& store_;
  std::string key_;
  std::uint64_t next_ = 0;
  std::vector<EvalStore::Window> waiting_;
  double seconds_ = 0;
  steady_clock::time_point began_, kept_at_;
};

/// Runs what is missing of the plan. False: cancelled.
bool run_plan(const Transformer& transformer, const PerplexityPlan& plan, KeptWindows& kept,
              const EvaluationEvents& events, EvalRow& row) {
  NllSum sum;
  const auto take = [&](const TextWindow& window, std::span<const double> nll) {
    sum.add(nll);
    if (events.on_window) events.on_window(window, nll);
  };
  kept.replay(plan, take);
  kept.start();
  const auto on_window = [&](const TextWindow& window, std::span<const double> nll) {
    take(window, nll);
    kept.add(nll);
  };
  const auto on_tokens = [&](std::uint64_t done, std::uint64_t total) {
    events.on_progress(done, total, sum.count() > 0 ? sum.perplexity() : 0);
  };
  if (!measure_perplexity(transformer, plan, kept.windows(), on_window, on_tokens)) {
    kept.keep();
    return false;
  }
  row.measured = {sum.perplexity(), sum.standard_error(), sum.count(), kept.seconds(),
                  peak_memory_bytes()};
  return true;
}

}  // namespace

std::optional<EvalRow> evaluate_perplexity(const Model& model, const EvaluationRequest& request,
                                           const EvaluationEvents& events) {
  const std::string text = read_text(request.text_path);
  const Transformer transformer(model, open_reader, {request.threads, request.cancel});
  PerplexityOptions options = request.perplexity;
  std::vector<std::int32_t> tokens = tokens_of(model, transformer.vocab(), request, text, options);
  // The numbers of the tokens are of the key: another tokenizer makes another text.
  const std::string token_digest =
      digest({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(tokens[0])}, 32);
  const PerplexityPlan plan = of_text(request.text_path, [&] {
    return PerplexityPlan(std::move(tokens), options, transformer.architecture().context);
  });

  EvalStore store(request.database);
  for (const Warning& warning : store.runs().warnings()) events.on_warning(warning);
  const std::string model_hash = model_digest(model, store.runs(), request.cancel);
  if (model_hash.empty()) return std::nullopt;
  EvalRow row;
  row.model = model.name;
  row.bits_per_weight = model.bits_per_weight();
  row.kind = "ppl";
  row.dataset = request.text_path.substr(request.text_path.rfind('/') + 1);
  row.params = params_of(plan.options(), digest(text, 16));
  const std::string key = fmt::format("{} {} {};{};{}", model_hash, token_digest, row.kind,
                                      row.params.text(), kEvaluationVersion);
  row.run = begin_run(model, request, store.runs());
  const auto known = request.redo || events.on_window ? std::nullopt : store.find(key);
  if (known) {
    row.measured = *known;
  } else {
    if (request.redo) store.drop_windows(key);
    KeptWindows kept(store, key);
    if (!run_plan(transformer, plan, kept, events, row)) return std::nullopt;
  }
  store.finish(key, 0, row);
  store.runs().end_run(model_hash);
  return row;
}

}  // namespace qi
