// What evaluations of one model read, whatever its weights are made into: the text, its tokens and
// the digests that results are kept under. Each is read when it is first needed and then held.
// Refuses what Evaluation::run() says of texts and tokenizers. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/evaluation/evaluation.h"
#include "eval/results/results_store.h"
#include "eval/tokenizer/tokenizer.h"
#include "eval/transformer/transformer.h"

namespace qi {

/// The first `digits` hex digits of XXH3-128.
std::string hex_digest(std::string_view bytes, std::size_t digits);
/// "wiki.txt" of "a/wiki.txt".
std::string file_name_of(const std::string& path);
/// A whole file that a user named as `what` ("a text"). Throws kIo, kLimit, kBadValue when empty.
std::string read_named_file(const std::string& path, std::string_view what);

struct EvalText {
  std::string dataset;       // the file's name
  std::string digest;        // of its bytes
  std::string token_digest;  // of its tokens: another tokenizer makes another text
  PerplexityPlan plan;
};

class EvalInputs {
 public:
  EvalInputs(const Model& model, EvaluationRequest request);

  const Model& model() const { return model_; }
  const EvaluationRequest& request() const { return request_; }

  /// That of the request, else the model's own, else its base's. Throws kInconsistent when it has
  /// more tokens than the model, and as load_tokenizer().
  const Tokenizer& tokenizer();
  /// Cut into windows for the model. Throws kInconsistent when the base has a tokenizer that makes
  /// other tokens of it.
  const EvalText& text();
  /// The model as stored. What is evaluated may take long to be made: this tells of it before.
  const Transformer& stored();
  /// Digest of the contents of all weights and of what the model says of itself, of this model or
  /// its base; made once. Nothing: cancelled.
  std::optional<std::string> hash_of(const Model& model, ResultsStore& store);
  /// The model's; empty when it was not asked for yet.
  std::string known_hash() const;

 private:
  std::unique_ptr<Tokenizer> load() const;
  void check_base_tokens(const std::string& text, std::span<const std::int32_t> tokens) const;

  const Model& model_;
  EvaluationRequest request_;
  std::optional<Transformer> stored_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<EvalText> text_;
  std::map<const Model*, std::string> hashes_;
};

}  // namespace qi
