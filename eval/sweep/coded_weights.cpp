#include "eval/sweep/coded_weights.h"

#include <algorithm>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/stats/parallel.h"
#include "eval/calibration/calibrated_weights.h"
#include "eval/check/verify.h"
#include "eval/sweep/measure.h"

namespace qi {
namespace {

/// Numbers of a strip: few, because a reader of one row decodes a strip, and enough to decode a
/// batch of blocks at a time.
constexpr std::uint64_t kCodedStripNumbers = 16 * 1024;

std::unique_ptr<MethodCoder> coder_of(const MethodConfig& config, const MatrixInfo& matrix) {
  const MethodFamily* family = find_family(config.family);
  if (family == nullptr) {
    throw Error(ErrorCode::kUsage, fmt::format("no family is called {}", config.family));
  }
  return family->make(config.params, matrix);
}

/// What weights that are coded whole may take together while they are, where one alone does not
/// take more: values, and twice what they are coded to.
constexpr std::uint64_t kCodedWholeBytes = 256 << 20;

/// Rows of a strip: as many of the coder's own as stay below kCodedStripNumbers.
std::uint64_t coded_strip_rows(const MethodCoder& coder, const MatrixInfo& matrix) {
  const std::uint64_t unit = coder.strip_rows();
  if (unit == 0) return matrix.rows;
  const std::uint64_t units = std::max<std::uint64_t>(1, kCodedStripNumbers / (unit * matrix.cols));
  return std::min(unit * units, matrix.rows);
}

/// `act`, with the weight's name in what it throws.
template <typename F>
auto about_weight(const Weight& weight, F&& act) {
  try {
    return act();
  } catch (Error& error) {
    error.message = fmt::format("weight {}: {}", weight.name, error.message);
    throw;
  }
}

}  // namespace

struct CodedWeights::Coded {
  std::unique_ptr<MethodCoder> coder;  // has seen what it wants to; readers clone it
  std::uint64_t strip_rows = 0;
  std::vector<std::vector<std::byte>> strips;
  std::vector<float> values;  // of all rows; then there are no strips
};

/// Decodes the strips that a tile touches; a small last one is kept for the next tile.
class CodedWeights::Reader : public WeightReader {
 public:
  Reader(const Model& model, const Weight& weight, std::shared_ptr<const CodedWeights> owner,
         const Coded& coded)
      : WeightReader(model, weight),
        owner_(std::move(owner)),
        coded_(coded),
        coder_(coded.coder == nullptr ? nullptr : coded.coder->clone()) {}

 protected:
  void read_values(const Tile& tile, float* out) override {
    const std::uint64_t cols = weight_.cols(), end = tile.row + tile.rows;
    for (std::uint64_t row = tile.row; row < end;) {
      const std::uint64_t index = row / coded_.strip_rows, first = index * coded_.strip_rows;
      const std::uint64_t rows = std::min(coded_.strip_rows, weight_.rows() - first);
      const std::uint64_t until = std::min(end, first + rows);
      if (row == first && until == first + rows && tile.cols == cols && coder_ != nullptr) {
        decode(index, first, {out, rows * cols});
        out += rows * cols;
        row = until;
        continue;
      }
      const float* values = strip(index, first, rows) + (row - first) * cols + tile.col;
      for (; row < until; ++row, values += cols) out = std::copy_n(values, tile.cols, out);
    }
    // There are many readers: only small strips wait in them.
    if (numbers_.size() > kCodedStripNumbers) {
      numbers_ = {};
      held_ = kNone;
    }
  }

 private:
  const float* strip(std::uint64_t index, std::uint64_t first, std::uint64_t rows) {
    if (coder_ == nullptr) return coded_.values.data() + first * weight_.cols();
    if (held_ != index) {
      held_ = kNone;
      numbers_.resize(rows * weight_.cols());
      decode(index, first, numbers_);
      held_ = index;
    }
    return numbers_.data();
  }
  void decode(std::uint64_t index, std::uint64_t first, std::span<float> out) {
    coder_->decode(coded_.strips[index], {first, out.size() / weight_.cols(), out, {}});
  }

  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  std::shared_ptr<const CodedWeights> owner_;
  const Coded& coded_;
  std::unique_ptr<MethodCoder> coder_;  // null: values are held
  std::uint64_t held_ = kNone;
  std::vector<float> numbers_;
};

/// Codes the weights of one total: first each one alone as far as it needs to be seen as a whole,
/// then the strips of all of them.
class CodedWeights::Maker {
 public:
  Maker(const SweepPlan& plan, const SweepTotal& total, const CodingOptions& options)
      : model_(*plan.model), options_(options) {
    for (const std::uint32_t u : total.units) {
      const SweepUnit& unit = plan.units[u];
      const Weight& weight = *plan.weights[unit.weight];
      about_weight(weight, [&] {
        if (!weight.undecodable.empty()) throw Error(ErrorCode::kBadDtype, weight.undecodable);
        if (weight.params == 0) throw Error(ErrorCode::kBadShape, "it holds no numbers");
        Work work{weight, matrix_of(plan, weight), std::make_shared<Coded>()};
        work.coded->coder = coder_of(plan.configs[unit.config], work.matrix);
        if (work.coded->coder->lossless()) return;
        work.coded->strip_rows = coded_strip_rows(*work.coded->coder, work.matrix);
        work_.push_back(std::move(work));
        total_bytes_ += weight.size_bytes;
      });
    }
  }

  /// False: cancelled.
  bool run() {
    for_each_index(
        whole_threads(), options_.cancel, work_.size(), [] { return 0; },
        [&](int, std::uint64_t i) { about_weight(work_[i].weight, [&] { prepare(work_[i]); }); });
    if (cancelled()) return false;
    std::vector<std::pair<std::uint32_t, std::uint64_t>> strips;  // of which work
    for (std::uint32_t w = 0; w < work_.size(); ++w) {
      for (std::uint64_t s = 0; s < work_[w].coded->strips.size(); ++s) strips.emplace_back(w, s);
    }
    for_each_index(
        options_.threads, options_.cancel, strips.size(), [] { return Worker{}; },
        [&](Worker& worker, std::uint64_t i) {
          const auto [w, s] = strips[i];
          about_weight(work_[w].weight, [&] { encode(worker, work_[w], s); });
        });
    for (const Work& work : work_) check_files_unchanged(model_, work.weight);
    return !cancelled();
  }

  void hand_over(std::unordered_map<std::string, std::shared_ptr<const Coded>>& to) {
    for (Work& work : work_) to.emplace(work.weight.name, std::move(work.coded));
  }

 private:
  struct Work {
    const Weight& weight;
    MatrixInfo matrix;
    std::shared_ptr<Coded> coded;
  };
  /// A thread's own; coder and reader are those of `coded`.
  struct Worker {
    const Coded* coded = nullptr;
    std::unique_ptr<MethodCoder> coder;
    std::unique_ptr<WeightReader> reader;
    std::vector<float> values;
    std::vector<std::byte> bytes;
  };

  bool cancelled() const {
    return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);
  }

  /// How many weights are prepared at a time.
  unsigned whole_threads() const {
    std::uint64_t largest = 1;
    for (const Work& work : work_) {
      if (work.coded->coder->strip_rows() == 0) largest = std::max(largest, work.weight.params);
    }
    const std::uint64_t most = std::max<std::uint64_t>(1, kCodedWholeBytes / (12 * largest));
    const unsigned threads =
        options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    return static_cast<unsigned>(std::min<std::uint64_t>(threads, most));
  }

  static MatrixRows rows_of(const Work& work, std::uint64_t strip, WeightReader& reader,
                            std::vector<float>& values) {
    MatrixRows rows;
    rows.first = strip * work.coded->strip_rows;
    rows.count = std::min(work.coded->strip_rows, work.matrix.rows - rows.first);
    values.resize(rows.count * work.matrix.cols);
    reader.values({rows.first, rows.count, 0, work.matrix.cols}, values.data());
    rows.values = values;
    return rows;
  }

  void prepare(Work& work) {
    Coded& coded = *work.coded;
    const std::uint64_t strips = ceil_div(work.matrix.rows, coded.strip_rows);
    const bool whole = coded.coder->strip_rows() == 0;
    if (whole || coded.coder->wants_survey()) {
      const std::unique_ptr<WeightReader> reader = open_reader(model_, work.weight);
      std::vector<float> values;
      if (coded.coder->wants_survey()) {
        for (std::uint64_t s = 0; s < strips && !cancelled(); ++s) {
          coded.coder->survey(rows_of(work, s, *reader, values));
        }
        coded.coder->finish_survey();
      }
      if (whole && !cancelled()) {
        const MatrixRows rows = rows_of(work, 0, *reader, values);
        std::vector<std::byte> bytes;
        coded.coder->encode(rows, bytes);
        coded.coder->decode(bytes, {0, rows.count, values, {}});
        coded.values = std::move(values);
        add_progress(work.weight.size_bytes);
      }
    }
    if (whole) {
      coded.coder = nullptr;
    } else {
      coded.strips.resize(strips);
    }
  }

  void encode(Worker& worker, const Work& work, std::uint64_t strip) {
    if (worker.coded != work.coded.get()) {
      worker.coder = work.coded->coder->clone();
      worker.reader = open_reader(model_, work.weight);
      worker.coded = work.coded.get();
    }
    const MatrixRows rows = rows_of(work, strip, *worker.reader, worker.values);
    worker.coder->encode(rows, worker.bytes);
    work.coded->strips[strip].assign(worker.bytes.begin(), worker.bytes.end());
    const std::uint64_t bytes = work.weight.size_bytes;
    add_progress(bytes * (rows.first + rows.count) / work.matrix.rows -
                 bytes * rows.first / work.matrix.rows);
  }

  void add_progress(std::uint64_t bytes) {
    if (!options_.progress) return;
    const std::lock_guard lock(mutex_);
    done_bytes_ += bytes;
    options_.progress(done_bytes_, total_bytes_);
  }

  const Model& model_;
  const CodingOptions& options_;
  std::vector<Work> work_;
  std::uint64_t total_bytes_ = 0;
  std::mutex mutex_;
  std::uint64_t done_bytes_ = 0;
};

std::shared_ptr<const CodedWeights> CodedWeights::make(const SweepPlan& plan,
                                                       const SweepTotal& total,
                                                       const CodingOptions& options) {
  const auto made = std::make_shared<CodedWeights>();
  made->importance_ = plan.importance;
  Maker maker(plan, total, options);
  if (!maker.run()) return nullptr;
  maker.hand_over(made->weights_);
  return made;
}

OpenWeight CodedWeights::open() const {
  return [self = shared_from_this()](const Model& model,
                                     const Weight& weight) -> std::unique_ptr<WeightReader> {
    const auto found = self->weights_.find(weight.name);
    if (found == self->weights_.end()) return open_reader(model, weight);
    return std::make_unique<Reader>(model, weight, self, *found->second);
  };
}

std::uint64_t CodedWeights::size_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [name, coded] : weights_) {
    sum += coded->values.size() * sizeof(float);
    for (const std::vector<std::byte>& strip : coded->strips) sum += strip.size();
  }
  return sum;
}

std::uint64_t coded_bytes(const SweepPlan& plan, const SweepTotal& total) {
  std::uint64_t sum = 0;
  for (const std::uint32_t u : total.units) {
    const SweepUnit& unit = plan.units[u];
    const SweepForecast known = forecast(plan, unit);
    if (!known.unfit.empty()) continue;
    if (is_calibrated(plan.configs[unit.config].family)) {
      sum += held_bytes(*plan.weights[unit.weight]);
      continue;
    }
    const MatrixInfo matrix = matrix_of(plan, *plan.weights[unit.weight]);
    const auto coder = coder_of(plan.configs[unit.config], matrix);
    if (coder->lossless()) continue;
    const std::uint64_t values = matrix.rows * matrix.cols * sizeof(float);
    sum += coder->strip_rows() == 0 ? values : known.bytes_out.value_or(values);
  }
  return sum;
}

}  // namespace qi
