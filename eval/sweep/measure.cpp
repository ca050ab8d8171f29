#include "eval/sweep/measure.h"

#include <time.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/stats/error_metrics.h"
#include "engine/stats/parallel.h"
#include "eval/check/verify.h"

namespace qi {
namespace {

constexpr std::uint64_t kStripValues = 256 * 1024;
/// Times below this are taken at least twice, and until so much time is spent, and the best counts:
/// two tries of some microseconds would tell more of the caches than of the method.
constexpr double kShortSeconds = 0.01;
constexpr double kEnoughSeconds = 0.001;

/// Whole matrices in memory, one after the other unless they are small.
class WholeGate {
 public:
  bool enter(std::uint64_t bytes, const std::atomic<bool>* cancel) {
    std::unique_lock lock(mutex_);
    while (used_ > 0 && used_ + bytes > kWholeBytes) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return false;
      free_.wait_for(lock, std::chrono::milliseconds(100));
    }
    used_ += bytes;
    return true;
  }
  void leave(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
    free_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  std::uint64_t used_ = 0;
};

WholeGate& whole_gate() {
  static WholeGate gate;
  return gate;
}

class WholePass {
 public:
  WholePass(std::uint64_t bytes, const std::atomic<bool>* cancel)
      : bytes_(bytes), entered_(bytes == 0 || whole_gate().enter(bytes, cancel)) {}
  ~WholePass() {
    if (entered_ && bytes_ > 0) whole_gate().leave(bytes_);
  }
  WholePass(const WholePass&) = delete;
  WholePass& operator=(const WholePass&) = delete;
  bool entered() const { return entered_; }

 private:
  std::uint64_t bytes_;
  bool entered_;
};

struct StripResult {
  std::uint64_t bytes = 0;
  double encode_s = 0, decode_s = 0;
  ErrorAccumulator error;
};

struct Buffers {
  std::vector<float> values, decoded;  // of a large strip both are `values`
  std::vector<std::byte> coded, restored;

  bool are_small() const {
    constexpr std::size_t kSmall = 2 * kStripValues * sizeof(float);
    return values.capacity() * sizeof(float) <= kSmall &&
           decoded.capacity() * sizeof(float) <= kSmall && coded.capacity() <= kSmall &&
           restored.capacity() <= kSmall;
  }
};

/// A thread's own coder, reader and memory. The thread keeps the memory for its next matrix: fresh
/// pages would take longer to come by than many a method takes.
struct Worker : Buffers {
  Worker(std::unique_ptr<MethodCoder> own_coder, std::unique_ptr<WeightReader> own_reader)
      : Buffers(std::exchange(kept(), {})),
        coder(std::move(own_coder)),
        reader(std::move(own_reader)) {}
  ~Worker() {
    if (are_small()) kept() = std::move(static_cast<Buffers&>(*this));
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Buffers& kept() {
    thread_local Buffers buffers;
    return buffers;
  }

  std::unique_ptr<MethodCoder> coder;
  std::unique_ptr<WeightReader> reader;
  struct Spent {
    double counted = 0, in_all = 0;  // seconds so far: the best tries, all tries
  } encoding, decoding;
};

class Measurement {
 public:
  Measurement(const Model& model, const Weight& weight, const MeasureOptions& options)
      : model_(model), weight_(weight), options_(options), matrix_(matrix_info(model, weight)) {
    matrix_.importance = options.importance;
  }

  bool run(const MethodConfig& config, ResultRow& row) {
    const MethodFamily* family = find_family(config.family);
    if (family == nullptr) {
      throw Error(ErrorCode::kUsage, fmt::format("no family is called {}", config.family));
    }
    if (!weight_.undecodable.empty()) throw Error(ErrorCode::kBadDtype, weight_.undecodable);
    if (weight_.params == 0) throw Error(ErrorCode::kBadShape, "it holds no numbers");
    coder_ = family->make(config.params, matrix_);
    strip_rows_ = strip_of(*coder_, matrix_);
    const bool whole = coder_->strip_rows() == 0;
    const WholePass pass(whole ? weight_.params * kWholeBytesPerValue : 0, options_.cancel);
    if (!pass.entered() || !survey()) return false;
    const std::uint64_t strips = (matrix_.rows + strip_rows_ - 1) / strip_rows_;
    std::vector<StripResult> results(strips);
    for_each_index(
        std::max(1u, options_.threads), options_.cancel, strips,
        [&] { return Worker(coder_->clone(), open_reader(model_, weight_)); },
        [&](Worker& worker, std::uint64_t i) { results[i] = strip(worker, i); });
    if (cancelled()) return false;
    check_files_unchanged(model_, weight_);
    fill(results, row);
    return true;
  }

 private:
  bool cancelled() const {
    return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);
  }

  MatrixRows read(Worker& worker, std::uint64_t index) const {
    MatrixRows rows;
    rows.first = index * strip_rows_;
    rows.count = std::min(strip_rows_, matrix_.rows - rows.first);
    const std::uint64_t numbers = rows.count * matrix_.cols;
    worker.values.resize(numbers);
    worker.reader->values({rows.first, rows.count, 0, matrix_.cols}, worker.values.data());
    rows.values = worker.values;
    if (!coder_->lossless()) return rows;
    rows.stored = worker.reader->stored(rows.first * matrix_.cols, numbers);
    worker.reader->check();
    if (rows.stored.empty()) {
      throw Error(ErrorCode::kBadDtype,
                  fmt::format("stored as {}", dtype_name(model_.tensor(weight_.parts.front()))),
                  "plain numbers of whole bytes");
    }
    return rows;
  }

  bool survey() {
    if (!coder_->wants_survey()) return true;
    Worker reading(nullptr, open_reader(model_, weight_));
    for (std::uint64_t row = 0; row < matrix_.rows; row += strip_rows_) {
      if (cancelled()) return false;
      coder_->survey(read(reading, row / strip_rows_));
    }
    coder_->finish_survey();
    return true;
  }

  /// Seconds of `work`, the best of several where the worker has not measured much yet.
  template <typename F>
  static double timed(Worker::Spent& spent, F&& work) {
    double best = 0;
    for (int tries = 1;; ++tries) {
      const double begin = thread_seconds();
      work();
      const double seconds = thread_seconds() - begin;
      best = tries == 1 ? seconds : std::min(best, seconds);
      spent.in_all += seconds;
      const bool is_short = spent.counted + best <= kShortSeconds;
      if (!is_short || (tries > 1 && spent.in_all >= kEnoughSeconds)) break;
    }
    spent.counted += best;
    return best;
  }

  /// What is coded whole takes the place of its values when it comes back.
  static bool is_large(const MatrixRows& rows) { return rows.values.size() > kStripValues; }

  /// Errors of a large strip that was decoded into worker.values: what it was is read once more.
  void compare_again(Worker& worker, const MatrixRows& rows, ErrorAccumulator& error) const {
    const std::uint64_t step = std::max<std::uint64_t>(1, kStripValues / matrix_.cols);
    for (std::uint64_t row = 0; row < rows.count; row += step) {
      const std::uint64_t count = std::min(step, rows.count - row);
      worker.decoded.resize(count * matrix_.cols);
      worker.reader->values({rows.first + row, count, 0, matrix_.cols}, worker.decoded.data());
      error.add(worker.decoded,
                std::span(worker.values).subspan(row * matrix_.cols, count * matrix_.cols));
    }
  }

  StripResult strip(Worker& worker, std::uint64_t index) const {
    const MatrixRows rows = read(worker, index);
    StripResult result;
    result.encode_s = timed(worker.encoding, [&] { worker.coder->encode(rows, worker.coded); });
    result.bytes = worker.coded.size();
    DecodedRows back;
    back.first = rows.first;
    back.count = rows.count;
    if (coder_->lossless()) {
      worker.restored.resize(rows.stored.size());
      back.stored = worker.restored;
    } else if (is_large(rows)) {
      back.values = worker.values;
    } else {
      worker.decoded.resize(rows.values.size());
      back.values = worker.decoded;
    }
    result.decode_s = timed(worker.decoding, [&] { worker.coder->decode(worker.coded, back); });
    if (!coder_->lossless()) {
      is_large(rows) ? compare_again(worker, rows, result.error)
                     : result.error.add(rows.values, worker.decoded);
    } else if (std::memcmp(worker.restored.data(), rows.stored.data(), rows.stored.size()) != 0) {
      throw Error(ErrorCode::kCorrupt, fmt::format("rows from {} on came back changed", rows.first),
                  "the bytes that were coded");
    }
    if (options_.progress) {
      options_.progress(weight_.size_bytes * (rows.first + rows.count) / matrix_.rows -
                        weight_.size_bytes * rows.first / matrix_.rows);
    }
    return result;
  }

  void fill(const std::vector<StripResult>& results, ResultRow& row) const {
    row.bytes_out = coder_->shared_bytes();
    row.encode_s = row.decode_s = 0;
    ErrorAccumulator sum;
    for (const StripResult& strip : results) {
      row.bytes_out += strip.bytes;
      *row.encode_s += strip.encode_s;
      *row.decode_s += strip.decode_s;
      sum.add(strip.error);
    }
    if (coder_->lossless()) {
      row.mse = row.rmse = row.max_abs_error = row.relative_error = 0;
      row.cosine = 1;
      return;
    }
    const ErrorMetrics metrics = sum.metrics();
    if (!metrics.mse) {
      throw Error(ErrorCode::kBadValue, "a NaN or an infinity is among the values",
                  "finite values");
    }
    row.mse = metrics.mse;
    row.rmse = metrics.rmse;
    row.max_abs_error = metrics.max_abs_error;
    row.relative_error = metrics.relative_error;
    row.snr_db = metrics.snr_db;
    row.psnr_db = metrics.psnr_db;
    row.cosine = metrics.cosine;
  }

  const Model& model_;
  const Weight& weight_;
  const MeasureOptions& options_;
  MatrixInfo matrix_;
  std::unique_ptr<MethodCoder> coder_;
  std::uint64_t strip_rows_ = 0;
};

}  // namespace

double thread_seconds() {
  struct timespec now {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

MatrixInfo matrix_info(const Model& model, const Weight& weight) {
  MatrixInfo matrix;
  matrix.rows = weight.rows();
  matrix.cols = weight.cols();
  matrix.matrix_rows = weight.shape.size() == 3 ? weight.shape[1] : matrix.rows;
  matrix.dtype = model.tensor(weight.parts.front()).dtype;
  return matrix;
}

std::uint64_t strip_of(const MethodCoder& coder, const MatrixInfo& matrix) {
  const std::uint64_t unit = coder.strip_rows();
  if (unit == 0) return matrix.rows;
  const std::uint64_t unit_values = unit * std::max<std::uint64_t>(1, matrix.cols);
  return std::min(unit * std::max<std::uint64_t>(1, kStripValues / unit_values), matrix.rows);
}

bool measure(const Model& model, const Weight& weight, const MethodConfig& config,
             const MeasureOptions& options, ResultRow& row) {
  return Measurement(model, weight, options).run(config, row);
}

}  // namespace qi
