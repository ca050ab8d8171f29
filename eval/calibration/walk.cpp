#include <algorithm>

#include "engine/format/open.h"
#include "engine/io/error.h"
#include "eval/calibration/block_method.h"

namespace qi {
namespace {

using enum BlockLinear;
constexpr std::array kAllLinears = {kQ, kK, kV, kO, kGate, kUp, kDown};
/// Those that share an input, in the order of the forward pass.
constexpr std::array<std::pair<std::size_t, std::size_t>, kLayerInputs> kStages = {
    {{0, 3}, {3, 1}, {4, 2}, {6, 1}}};
// Parts of a block's time, about: what its inputs are, its matrices, its outputs.
constexpr double kGathered = 0.3, kQuantized = 0.8;

/// What a job has to say of its progress.
class Meter {
 public:
  Meter(const CalibratedEvents& events, std::uint64_t blocks) : events_(events), blocks_(blocks) {}

  void block(std::uint64_t index) { block_ = index; }
  void at(double part) const {
    if (!events_.on_progress) return;
    const double done = (static_cast<double>(block_) + part) / static_cast<double>(blocks_);
    events_.on_progress({block_, blocks_, done});
  }
  /// `of` equal steps of the part [from, to) of a block.
  std::function<void()> steps(double from, double to, std::uint64_t of) const {
    return [this, from, to, of, done = std::uint64_t{0}]() mutable {
      at(from + (to - from) * static_cast<double>(++done) / static_cast<double>(of));
    };
  }
  /// The job's events, with a look at how many matrices were handed out.
  CalibratedEvents watched() const {
    CalibratedEvents watched = events_;
    watched.on_weight = [this, step = steps(kGathered, kQuantized, kBlockLinears)](
                            CalibratedMatrix&& matrix) mutable {
      if (events_.on_weight) events_.on_weight(std::move(matrix));
      step();
    };
    return watched;
  }

 private:
  const CalibratedEvents& events_;
  std::uint64_t blocks_;
  std::uint64_t block_ = 0;
};

class Walk {
 public:
  Walk(const Model& model, const CalibrationText& text, const Workers& workers)
      : model_(model), text_(text), workers_(workers), runs_(model, text, workers) {}

  /// The blocks one after the other, each quantized before the next one is looked at.
  bool sequential(const BlockJob& job, bool keep_first) {
    Meter meter(job.events, blocks());
    Numbers states = runs_.embedded();
    for (std::uint64_t layer = 0; layer < blocks(); ++layer) {
      meter.block(layer);
      Block block = load(layer);
      if (!restored(job, block)) {
        if (!quantized(job, block, states, meter, keep_first)) return false;
      }
      if (job.events.on_block) job.events.on_block(layer, blocks());
      const auto on_sample = meter.steps(kQuantized, 1, text_.samples);
      if (layer + 1 < blocks() && !runs_.run(block, states, nullptr, on_sample)) return false;
    }
    return true;
  }

  /// All jobs with the original model's inputs.
  bool together(std::vector<BlockJob> jobs) {
    std::vector<Meter> meters;
    for (const BlockJob& job : jobs) meters.emplace_back(job.events, blocks());
    std::vector<bool> failed(jobs.size());
    Numbers states = runs_.embedded();
    for (std::uint64_t layer = 0; layer < blocks(); ++layer) {
      const Block block = load(layer);
      Gathering gathering = jobs.front().method.gathering();
      for (const BlockJob& job : jobs) gathering = gathering | job.method.gathering();
      BlockInputs inputs(text_, gathering);
      meters.front().block(layer);
      const auto on_sample = meters.front().steps(0, kGathered, text_.samples);
      if (!runs_.run(block, states, &inputs, on_sample)) return false;
      for (std::size_t j = 0; j < jobs.size(); ++j) {
        if (failed[j]) continue;
        meters[j].block(layer);
        bool whole = true;
        failed[j] = !tried(jobs[j], [&] {
          Block own = block;
          if (!restored(jobs[j], own)) {
            const CalibratedEvents events = meters[j].watched();
            whole = jobs[j].method.quantize({own, kAllLinears, inputs, runs_, workers_, events});
          }
          if (whole && jobs[j].events.on_block) jobs[j].events.on_block(layer, blocks());
        });
        if (!whole || workers_.cancelled()) return false;
      }
    }
    return true;
  }

  /// False: the job failed, and says so.
  template <typename F>
  static bool tried(const BlockJob& job, const F& act) {
    if (!job.events.on_failed) {
      act();
      return true;
    }
    try {
      act();
      return true;
    } catch (...) {
      job.events.on_failed(caught_error());
      return false;
    }
  }

 private:
  std::uint64_t blocks() const { return runs_.architecture().layers(); }
  Block load(std::uint64_t layer) const {
    return {model_, runs_.architecture(), layer, open_reader, workers_};
  }

  /// Puts what an earlier run left into the block, where that is all of it.
  static bool restored(const BlockJob& job, Block& block) {
    if (!job.events.finished) return false;
    std::vector<std::unique_ptr<WeightReader>> readers;
    for (const BlockLinear linear : kAllLinears) {
      readers.push_back(job.events.finished(block.weight(linear)));
      if (readers.back() == nullptr) return false;
    }
    for (std::size_t i = 0; i < kAllLinears.size(); ++i) {
      const MatrixView view = block.view(kAllLinears[i]);
      Numbers numbers(view.rows * view.cols);
      readers[i]->values({0, view.rows, 0, view.cols}, numbers.data());
      block.set(kAllLinears[i], std::move(numbers));
    }
    return true;
  }

  bool quantized(const BlockJob& job, Block& block, const Numbers& states, const Meter& meter,
                 bool keep_first) {
    const CalibratedEvents events = meter.watched();
    const std::span all(kAllLinears);
    if (!job.method.true_sequential()) {
      const auto on_sample = meter.steps(0, kGathered, text_.samples);
      std::optional<BlockInputs> own;
      const bool shared = keep_first && block.layer() == 0;
      std::optional<BlockInputs>& inputs = shared ? first_ : own;
      if (!inputs) {
        inputs.emplace(text_, job.method.gathering());
        if (!runs_.look(block, states, *inputs, on_sample)) return inputs.reset(), false;
      }
      return job.method.quantize({block, all, *inputs, runs_, workers_, events});
    }
    const auto on_sample = meter.steps(0, kGathered, kStages.size() * text_.samples);
    for (std::size_t stage = 0; stage < kStages.size(); ++stage) {
      const auto part = all.subspan(kStages[stage].first, kStages[stage].second);
      Gathering gathering = job.method.gathering();
      gathering.only = input_of(part.front());
      BlockInputs inputs(text_, gathering);
      if (!runs_.look(block, states, inputs, on_sample)) return false;
      if (!job.method.quantize({block, part, inputs, runs_, workers_, events})) return false;
    }
    return true;
  }

  const Model& model_;
  const CalibrationText& text_;
  const Workers& workers_;
  SampleRuns runs_;
  std::optional<BlockInputs> first_;  // of the first block, the same for all sequential jobs
};

}  // namespace

bool walk_blocks(const Model& model, std::span<const BlockJob> jobs, const CalibrationText& text,
                 const Workers& workers) {
  Walk walk(model, text, workers);
  std::vector<BlockJob> sequential, together;
  for (const BlockJob& job : jobs) (job.method.sequential() ? sequential : together).push_back(job);
  for (const BlockJob& job : sequential) {
    bool whole = true;
    Walk::tried(job, [&] { whole = walk.sequential(job, sequential.size() > 1); });
    if (!whole) return false;
  }
  return together.empty() || walk.together(std::move(together));
}

}  // namespace qi
