// What compression does to a model, from files to rows in the results database: texts and
// tokenizers, the model as it is stored or as a configuration leaves it, and every kind of
// evaluation (eval_kind.h) that was asked for. Finished pieces are kept, so that an interrupted run
// goes on where it was, and what was measured before is found. Refuses what the tokenizer, the
// transformer, the kinds and the database refuse. One thread at a time; the work is shared by
// threads of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/atomic_file.h"
#include "engine/methods/method.h"
#include "eval/evaluation/text_windows.h"
#include "eval/results/eval_row.h"
#include "eval/results/results_evals.h"
#include "eval/transformer/weights.h"

namespace qi {

struct EvaluationRequest {
  std::vector<std::string> kinds;  // names of evaluation_kinds()
  std::string text_path;
  PerplexityOptions perplexity;  // without BOS: the tokenizer says which
  bool automatic_bos = true;     // as the tokenizer begins a text; else none
  /// kld: the model that it is held against; null: the model itself as it is stored.
  std::shared_ptr<const Model> base;
  std::string saved_base;  // or a file of its logits; empty: none
  /// Keeps the base's logits of kld, else the model's of ppl: the likeliest `top` of every token.
  struct Save {
    std::string path;  // empty: they are not kept
    OutputOptions output;
    std::uint64_t top = 64;
  } save;
  struct Task {
    std::string path;
    std::string shots_path;              // examples before every question; empty: none
    std::optional<std::uint64_t> shots;  // the first so many; 5, or all where there are fewer
    std::uint64_t limit = 0;             // questions at most; 0: all
  } task;
  std::string prompts_path;    // speed: one a line; empty: random tokens
  std::string tokenizer_path;  // folder, tokenizer.json or GGUF; empty: the model's, or the base's
  bool redo = false;           // measures also what the database already has
  unsigned threads = 0;        // 0: all cores
  const std::atomic<bool>* cancel = nullptr;

  bool asks_for(std::string_view kind) const {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  }
};

/// What is evaluated: a model's weights, as they are stored or as a configuration leaves them.
struct EvaluatedWeights {
  OpenWeight open;
  std::optional<MethodConfig> config;  // nothing: as stored
  double bits_per_weight = 0;
  /// Whatever else tells these weights from others of the same model and configuration: which of
  /// them it was applied to, the version of its codec. Part of the key of results.
  std::string scope;
};

struct EvaluationProgress {
  std::string_view kind;
  std::uint64_t done = 0;  // of the tokens or questions of this run
  std::uint64_t total = 0;
  std::optional<double> value;  // of the kind's first measure so far
};

/// One window's numbers: of tokens window.scored_from + i.
using OnWindow = std::function<void(const TextWindow& window, std::span<const double> nll)>;

struct EvaluationEvents {
  /// A row is finished and on the disk.
  std::function<void(const EvalRow& row)> on_row;
  std::function<void(const EvaluationProgress& progress)> on_progress;
  /// Of the perplexity the numbers of every window, in order, those that an earlier run left among
  /// them. With it a finished evaluation is run again: the database has its sums alone. May be
  /// empty.
  OnWindow on_window;
};

class EvalInputs;

class Evaluation {
 public:
  /// `model` must outlive it.
  Evaluation(const Model& model, EvaluationRequest request);
  ~Evaluation();
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

  /// Throws what run() would throw of the model as stored, its tokenizer, the text and the task.
  void check();
  /// All kinds of the request over these weights; again for others: texts are read and the model
  /// is hashed once. False: cancelled.
  /// Throws kBadEncoding and kBadValue for the text (empty, not UTF-8, shorter than a window),
  /// kMissing without a tokenizer, kInconsistent when it has more tokens than the model or the base
  /// is of other ones, and as Transformer.
  bool run(const EvaluatedWeights& weights, EvalStore& store, const EvaluationEvents& events);
  /// Digest of the model as stored; empty where no row was needed yet.
  std::string model_hash() const;

 private:
  std::unique_ptr<EvalInputs> inputs_;
};

}  // namespace qi
