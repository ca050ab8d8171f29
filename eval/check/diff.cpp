#include "eval/check/diff.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

constexpr std::uint64_t kComparedAtOnce = 1 << 18;
constexpr std::int32_t kMaxExperts = 65'536;
constexpr std::array<std::string_view, 6> kStatusNames = {"same",   "differs", "only_a",
                                                          "only_b", "shape",   "not comparable"};

/// One matrix: a whole weight or one of a stack.
struct Side {
  const Weight* weight = nullptr;
  std::int64_t slice = -1;

  Shape shape() const {
    if (slice < 0) return weight->shape;
    return Shape(weight->shape.begin() + 1, weight->shape.end());
  }
  std::uint64_t rows() const {
    return slice < 0 ? weight->rows() : weight->rows() / weight->shape[0];
  }
  std::uint64_t first_row() const {
    return slice < 0 ? 0 : static_cast<std::uint64_t>(slice) * rows();
  }
};

class Names {
 public:
  explicit Names(const Model& model) {
    for (const Weight& weight : model.weights) by_name_.emplace(weight.name, &weight);
  }
  const Weight* find(std::string_view name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second;
  }

 private:
  std::unordered_map<std::string_view, const Weight*> by_name_;
};

/// A GGUF, or one whose weights were written to safetensors under the names they had.
bool has_gguf_names(const Model& model) {
  if (model.container == Container::kGguf) return true;
  return std::any_of(model.weights.begin(), model.weights.end(),
                     [](const Weight& weight) { return weight.name.starts_with("blk."); });
}

const Weight* only_of_role(const Model& model, Role role) {
  const Weight* found = nullptr;
  for (const Weight& weight : model.weights) {
    if (weight.role != role) continue;
    if (found != nullptr) return nullptr;
    found = &weight;
  }
  return found;
}

class Aligner {
 public:
  Aligner(const Model& a, const Model& b)
      : a_(a),
        b_(b),
        gguf_a_(has_gguf_names(a)),
        gguf_b_(has_gguf_names(b)),
        names_a_(a),
        names_b_(b) {
    if (gguf_a_ != gguf_b_) link_names();
  }

  std::vector<DiffRow> run() {
    for (const Weight& weight : a_.weights) {
      const auto it = of_a_.find(&weight);
      if (const Weight* same_name = names_b_.find(weight.name)) {
        add({&weight, -1}, {same_name, -1});
      } else if (it != of_a_.end()) {
        for (const auto& [side_a, side_b] : it->second) add(side_a, side_b);
        add_other_slices(it->second, true);
      } else if (const Weight* tied = tied_head(weight, b_)) {
        add({&weight, -1}, {tied, -1});
      } else {
        add({&weight, -1}, {});
      }
    }
    for (const Weight& weight : b_.weights) {
      if (seen_b_.contains(&weight)) {
        const auto it = of_b_.find(&weight);
        if (it != of_b_.end()) add_other_slices(it->second, false);
      } else if (const Weight* tied = tied_head(weight, a_)) {
        add({tied, -1}, {&weight, -1});
      } else {
        add({}, {&weight, -1});
      }
    }
    return std::move(rows_);
  }

 private:
  using Links = std::vector<std::pair<Side, Side>>;

  /// Pairs of weights whose names mean the same in the two ways of naming.
  void link_names() {
    const bool gguf_is_a = gguf_a_;
    const Model& gguf = gguf_is_a ? a_ : b_;
    const Names& others = gguf_is_a ? names_b_ : names_a_;
    // Experts are looked for as far as the other model numbers its own.
    std::int64_t experts = 0;
    for (const Weight& weight : (gguf_is_a ? b_ : a_).weights) {
      experts = std::max<std::int64_t>(experts, std::min(weight.expert, kMaxExperts - 1) + 1);
    }
    std::unordered_set<const Weight*> taken;
    const auto link = [&](const Weight& weight, std::int64_t expert) {
      for (const std::string& name : hugging_face_names(weight.name, expert)) {
        const Weight* other = others.find(name);
        if (other == nullptr || !taken.insert(other).second) continue;
        const Side mine{&weight, expert};
        const Side theirs{other, -1};
        const std::pair<Side, Side> sides =
            gguf_is_a ? std::pair(mine, theirs) : std::pair(theirs, mine);
        of_a_[sides.first.weight].push_back(sides);
        of_b_[sides.second.weight].push_back(sides);
        return;
      }
    };
    for (const Weight& weight : gguf.weights) {
      link(weight, -1);
      if (weight.shape.size() != 3 || weight.params == 0) continue;
      const std::uint64_t count =
          std::min<std::uint64_t>(weight.shape[0], static_cast<std::uint64_t>(experts));
      for (std::uint64_t e = 0; e < count; ++e) link(weight, static_cast<std::int64_t>(e));
    }
  }

  /// Without a head of its own a model uses its embedding as one.
  static const Weight* tied_head(const Weight& weight, const Model& other) {
    if (weight.role != Role::kHead || !weight.name.ends_with(".weight")) return nullptr;
    const bool has_head =
        std::any_of(other.weights.begin(), other.weights.end(),
                    [](const Weight& candidate) { return candidate.role == Role::kHead; });
    return has_head ? nullptr : only_of_role(other, Role::kEmbed);
  }

  /// Matrices of a stack that the other model has not got.
  void add_other_slices(const Links& links, bool of_a) {
    const auto side = [&](const std::pair<Side, Side>& pair) {
      return of_a ? pair.first : pair.second;
    };
    if (side(links.front()).slice < 0) return;
    std::unordered_set<std::int64_t> present;
    for (const auto& pair : links) present.insert(side(pair).slice);
    const Weight* weight = side(links.front()).weight;
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(weight->shape[0]); ++e) {
      if (present.contains(e)) continue;
      of_a ? add({weight, e}, {}) : add({}, {weight, e});
    }
  }

  void add(const Side& a, const Side& b) {
    DiffRow row;
    row.a = a.weight;
    row.b = b.weight;
    row.slice_a = a.slice;
    row.slice_b = b.slice;
    if (b.weight != nullptr) seen_b_.insert(b.weight);
    if (a.weight == nullptr || b.weight == nullptr) {
      row.status = a.weight == nullptr ? DiffStatus::kOnlyB : DiffStatus::kOnlyA;
    } else if (a.shape() != b.shape()) {
      row.status = DiffStatus::kShape;
    } else {
      row.status = DiffStatus::kSame;
      judge(row, a, b);
    }
    rows_.push_back(std::move(row));
  }

  static void refuse(DiffRow& row, std::string reason) {
    row.status = DiffStatus::kNotComparable;
    row.reason = std::move(reason);
  }

  void judge(DiffRow& row, const Side& a, const Side& b) const {
    for (const Weight* weight : {a.weight, b.weight}) {
      if (!weight->undecodable.empty()) return refuse(row, weight->undecodable);
    }
    if (gguf_a_ == gguf_b_) return;
    const Model& gguf = gguf_a_ ? a_ : b_;
    const std::string_view name = (gguf_a_ ? a : b).weight->name;
    const bool q = name.find(".attn_q.") != std::string_view::npos;
    const bool k = name.find(".attn_k.") != std::string_view::npos;
    const std::optional<RotaryHeads> heads = rotary_heads(gguf);
    if (!q && !k) return;
    if (gguf.container != Container::kGguf) {
      return refuse(row, "rows may be permuted for rotation, which the file does not say");
    }
    if (!heads) return;
    const std::uint64_t count = q ? heads->heads : heads->kv_heads;
    // A bias has one number a row of its matrix.
    const std::uint64_t rows = a.shape().size() < 2 ? a.weight->params : a.rows();
    if (count == 0 || rows % count != 0 || rows / count % 2 != 0) {
      return refuse(row, fmt::format("{} rows, permuted for rotation in {} heads", rows, count));
    }
    row.rotary_head_rows = rows / count;
    row.permuted_a = gguf_a_;
  }

  const Model& a_;
  const Model& b_;
  const bool gguf_a_;
  const bool gguf_b_;
  Names names_a_;
  Names names_b_;
  std::unordered_map<const Weight*, Links> of_a_;
  std::unordered_map<const Weight*, Links> of_b_;
  std::unordered_set<const Weight*> seen_b_;
  std::vector<DiffRow> rows_;
};

/// One row of two models.
class Comparison {
 public:
  Comparison(const Model& a, const Model& b, const std::atomic<bool>* cancel,
             const std::function<void(std::uint64_t)>& progress)
      : a_(a), b_(b), cancel_(cancel), progress_(progress) {}

  /// False when cancelled.
  bool run(DiffRow& row) {
    std::unique_ptr<WeightReader> reader_a;
    std::unique_ptr<WeightReader> reader_b;
    try {
      reader_a = open_reader(a_, *row.a);
      reader_b = open_reader(b_, *row.b);
    } catch (const Error& error) {
      if (error.code != ErrorCode::kBadDtype) throw;
      row.status = DiffStatus::kNotComparable;
      row.reason = error.message;
      return true;
    }
    const Side a{row.a, row.slice_a};
    const Side b{row.b, row.slice_b};
    ErrorAccumulator errors;
    const bool vector = row.rotary_head_rows != 0 && row.a->shape.size() < 2;
    // A permuted vector is read whole: it has one number a row of a matrix that a file holds.
    const TileWalk walk(a.rows(), row.a->cols(), vector ? row.a->params : kComparedAtOnce);
    for (std::uint64_t i = 0; i < walk.size(); ++i) {
      if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) return false;
      const Tile tile = walk[i];
      const std::uint64_t count = tile.rows * tile.cols;
      values_a_.resize(count);
      values_b_.resize(count);
      const std::uint64_t head_rows = row.rotary_head_rows;
      read(*reader_a, a, tile, row.permuted_a ? head_rows : 0, values_a_);
      read(*reader_b, b, tile, row.permuted_a ? 0 : head_rows, values_b_);
      errors.add(values_a_, values_b_);
      if (progress_) progress_(count);
    }
    row.metrics = errors.metrics();
    row.status = row.metrics.differing == 0 ? DiffStatus::kSame : DiffStatus::kDiffers;
    return true;
  }

 private:
  /// The values of `tile` in Hugging Face's row order.
  void read(WeightReader& reader, const Side& side, Tile tile, std::uint64_t head_rows,
            std::vector<float>& out) {
    tile.row += side.first_row();
    if (head_rows == 0) return reader.values(tile, out.data());
    if (side.weight->shape.size() < 2) {
      stored_.resize(out.size());
      reader.values(tile, stored_.data());
      for (std::uint64_t i = 0; i < out.size(); ++i) {
        out[i] = stored_[rotary_row(tile.col + i, head_rows)];
      }
      return;
    }
    const std::uint64_t first = tile.row - side.first_row();
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      const std::uint64_t stored_row = side.first_row() + rotary_row(first + r, head_rows);
      reader.values({stored_row, 1, tile.col, tile.cols}, out.data() + r * tile.cols);
    }
  }

  const Model& a_;
  const Model& b_;
  const std::atomic<bool>* cancel_;
  const std::function<void(std::uint64_t)>& progress_;
  std::vector<float> values_a_;
  std::vector<float> values_b_;
  std::vector<float> stored_;
};

}  // namespace

std::string_view diff_status_name(DiffStatus status) {
  return kStatusNames[static_cast<std::size_t>(status)];
}

std::vector<DiffRow> align_models(const Model& a, const Model& b) {
  return Aligner(a, b).run();
}

std::uint64_t compared_values(const DiffRow& row) {
  if (row.a == nullptr || row.b == nullptr) return 0;
  return Side{row.a, row.slice_a}.rows() * row.a->cols();
}

bool compare_row(const Model& a, const Model& b, DiffRow& row, const std::atomic<bool>* cancel,
                 const std::function<void(std::uint64_t values)>& progress) {
  return Comparison(a, b, cancel, progress).run(row);
}

bool compare_models(const Model& a, const Model& b, const DiffOptions& options) {
  std::vector<DiffRow> rows = align_models(a, b);
  std::erase_if(rows, [&](const DiffRow& row) {
    const Weight* named = row.a != nullptr ? row.a : row.b;
    return options.selection && !options.selection(named->name);
  });
  std::uint64_t total = 0;
  for (const DiffRow& row : rows) {
    if (row.status == DiffStatus::kSame) total += compared_values(row);
  }
  std::uint64_t before = 0;  // values of the rows that are finished
  for (DiffRow& row : rows) {
    if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) return false;
    if (row.status == DiffStatus::kSame) {
      std::uint64_t done = before;
      const auto progress = [&](std::uint64_t values) {
        done += values;
        if (options.progress) options.progress(done, total);
      };
      before += compared_values(row);
      if (!compare_row(a, b, row, options.cancel, progress)) return false;
    }
    if (options.row) options.row(row);
  }
  return true;
}

}  // namespace qi
