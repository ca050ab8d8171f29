#include "eval/check/verify.h"

#include <algorithm>
#include <utility>

#include "engine/format/open.h"
#include "engine/format/prototype.h"
#include "engine/quant/check.h"

namespace qi {
namespace {

constexpr std::uint64_t kTileElements = 1 << 18;
constexpr std::size_t kReadBytes = 1 << 20;

class Verification {
 public:
  Verification(const Model& model, const Weight& weight, const std::atomic<bool>* cancel,
               const std::function<void(std::uint64_t)>& progress)
      : model_(model), weight_(weight), cancel_(cancel), progress_(progress) {}

  /// False when cancelled.
  bool run(std::vector<Fault>& faults) {
    if (model_.container == Container::kPrototype) {
      const auto report = [&](const PrototypeFault& found) {
        faults.push_back({found.file, found.tensor, found.code, found.part, found.block,
                          found.offset, found.length, found.message});
      };
      verify_prototype(model_, weight_, report, cancel_);
      return !cancelled();
    }
    try {
      // A container's 16-bit versions are plain numbers, whatever they are stored as.
      if (weight_.scheme != Scheme::kQstore) {
        for (const WeightFault& found : check_weight(model_, weight_)) {
          faults.push_back({found.file,
                            weight_.name,
                            found.code,
                            found.part,
                            {},
                            found.offset,
                            found.length,
                            found.message,
                            found.severity == WeightFault::Severity::kNote});
        }
      }
      return weight_.undecodable.empty() ? read_values() : read_raw();
    } catch (const Error& error) {
      if (!is_fault(error.code)) throw;
      // What the scheme's own check has named already is not said twice.
      const bool known = std::any_of(faults.begin(), faults.end(), [&](const Fault& fault) {
        return fault.code == error.code && fault.offset == error.offset;
      });
      if (!known) faults.push_back(fault_of(error, weight_.name, "payload"));
    }
    return true;
  }

 private:
  bool cancelled() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed); }

  void done(std::uint64_t bytes) const {
    if (progress_ && bytes > 0) progress_(bytes);
  }

  // Bytes of tensors whose values nobody can decode: that they can be read is all there is to
  // check.
  bool read_raw() const {
    Buffer scratch;
    for (const Part& part : weight_.parts) {
      const Tensor& tensor = model_.tensor(part);
      const File& file = model_.file(tensor);
      for (std::uint64_t at = 0; at < tensor.size_bytes; at += kReadBytes) {
        if (cancelled()) return false;
        const auto length =
            static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, tensor.size_bytes - at));
        if (scratch.size() < length) scratch.resize(length);
        file.read_at(tensor.offset + at, {scratch.data(), length});
        done(length);
      }
    }
    return true;
  }

  // Every payload byte goes through the decoder that --stats and --convert use.
  bool read_values() const {
    const auto reader = open_reader(model_, weight_);
    const TileWalk walk(weight_.rows(), weight_.cols(), kTileElements);
    const double bytes_per_value =
        static_cast<double>(weight_.size_bytes) /
        static_cast<double>(std::max<std::uint64_t>(1, weight_.rows() * weight_.cols()));
    std::vector<float> values;
    for (std::uint64_t i = 0; i < walk.size(); ++i) {
      if (cancelled()) return false;
      const Tile tile = walk[i];
      values.resize(tile.rows * tile.cols);
      reader->values(tile, values.data());
      done(static_cast<std::uint64_t>(bytes_per_value * static_cast<double>(values.size())));
    }
    reader->check();
    return true;
  }

  const Model& model_;
  const Weight& weight_;
  const std::atomic<bool>* cancel_;
  const std::function<void(std::uint64_t)>& progress_;
};

}  // namespace

bool is_fault(ErrorCode code) {
  return exit_status(code) == 2;
}

Fault fault_of(const Error& error, const std::string& tensor, std::string part) {
  std::string message = error.message;
  if (!error.expected.empty()) message += ": " + error.expected;
  return {error.file, tensor, error.code, std::move(part), {}, error.offset, {}, message, false};
}

std::optional<std::vector<Fault>> verify_weight(
    const Model& model, const Weight& weight, const std::atomic<bool>* cancel,
    const std::function<void(std::uint64_t bytes)>& progress) {
  std::vector<Fault> faults;
  if (!Verification(model, weight, cancel, progress).run(faults)) return std::nullopt;
  check_files_unchanged(model, weight);
  return faults;
}

std::string_view unchecked_remark(Container container) {
  if (container == Container::kPrototype)
    return "the format has no checksums: values are unchecked";
  if (container == Container::kQstore) {
    return "files stored beside the weights were not looked at: qinspect --verify does";
  }
  return "";
}

void check_files_unchanged(const Model& model, const Weight& weight) {
  std::uint32_t last = 0;
  bool any = false;
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    if (any && tensor.file == last) continue;  // the parts of one weight mostly share a file
    model.file(tensor).check_unchanged();
    last = tensor.file;
    any = true;
  }
}

}  // namespace qi
