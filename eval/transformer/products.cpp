#include "eval/transformer/products.h"

#include <algorithm>

#include "engine/matrix/blas.h"

namespace qi {
namespace {

// Rows of a matrix that are decoded and multiplied at a time: few enough for several threads to
// have work and for a cancelled run to end soon, enough for the product to be fast.
constexpr std::uint64_t kFewestRows = 64;
constexpr std::uint64_t kMostRows = 256;
constexpr std::uint64_t kPieces = 8;
constexpr std::uint64_t kBlockElements = std::uint64_t{1} << 21;
// Positions that make it worth to decode rows for a product of matrices; fewer are multiplied with
// the rows as they are stored.
constexpr std::size_t kMany = 9;
// Of stored rows a thread takes at a time: little beside a matrix, much beside taking them.
constexpr std::uint64_t kDotBytes = std::uint64_t{1} << 17;
// Operations that decoding a number takes, about.
constexpr std::uint64_t kDecodingCost = 16;

std::uint64_t rows_at_a_time(const Matrix& matrix, std::size_t positions) {
  if (positions < kMany) {
    return matrix.decodes() ? kDecodedRows
                            : std::max<std::uint64_t>(1, kDotBytes / matrix.row_bytes());
  }
  return rows_of_block(matrix, std::clamp(matrix.rows() / kPieces, kFewestRows, kMostRows));
}

/// One of several products whose pieces are handed out together.
struct Rows {
  const Linear* linear;
  DotVectors x;
  float* out;
  std::uint64_t first_piece;
  std::uint64_t step;  // rows a piece
};

}  // namespace

std::uint64_t rows_of_block(const Matrix& matrix, std::uint64_t most) {
  return std::clamp<std::uint64_t>(kBlockElements / matrix.cols(), 1, most);
}

void add_numbers(std::span<float> x, const float* y) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

void multiply_rows(const Linear& linear, std::uint64_t first, std::uint64_t n, const DotVectors& x,
                   std::vector<float>& buffer, float* out, std::size_t stride) {
  const Matrix& matrix = *linear.matrix;
  if (x.count < kMany) {
    matrix.dots(first, n, x, buffer, out, stride);
  } else {
    buffer.resize(std::max<std::size_t>(buffer.size(), n * x.cols));
    matrix.read(first, n, buffer.data());
    multiply_transposed({x.x, x.count, x.cols, x.cols}, {buffer.data(), n, x.cols, x.cols}, out,
                        stride);
  }
  if (linear.bias.empty()) return;
  for (std::size_t position = 0; position < x.count; ++position) {
    add_numbers({out + position * stride, n}, linear.bias.data() + first);
  }
}

ProductInput& ProductInput::set(const float* x, std::size_t count, std::size_t cols) {
  x_ = x;
  count_ = count;
  cols_ = cols;
  for (Form& form : forms_) form.made = false;
  return *this;
}

DotVectors ProductInput::vectors(const Matrix& matrix) {
  const std::size_t block = matrix.q8_block();
  if (activations_ == Activations::kF32 || block == 0) return {x_, count_, cols_};
  const bool many = count_ >= kMany;
  Form& form = forms_[block == 32 ? 0 : 1];
  if (!form.made && many) {
    form.rounded.resize(count_ * cols_);
    round_to_q8(x_, count_ * cols_, block, form.rounded.data());
  } else if (!form.made) {
    form.q8.set(x_, count_ * cols_, block);
  }
  form.made = true;
  if (many) return {form.rounded.data(), count_, cols_};
  return {x_, count_, cols_, &form.q8};
}

bool products(std::initializer_list<Product> list, ProductInput& input, const Workers& workers) {
  std::vector<Rows> parts;
  std::uint64_t pieces = 0;
  std::uint64_t operations = 0;
  for (const auto& [linear, out] : list) {
    const Matrix& matrix = *linear->matrix;
    const std::uint64_t step = rows_at_a_time(matrix, input.count());
    parts.push_back({linear, input.vectors(matrix), out, pieces, step});
    pieces += (matrix.rows() + step - 1) / step;
    const std::uint64_t cost =
        std::max<std::uint64_t>(input.count(), matrix.decodes() ? kDecodingCost : 1);
    operations += cost * matrix.rows() * matrix.cols();
  }
  return workers.each(pieces, operations, [&](WorkBuffers& buffers, std::uint64_t i) {
    std::size_t at = parts.size() - 1;
    while (parts[at].first_piece > i) --at;
    const Rows& part = parts[at];
    const std::uint64_t rows = part.linear->matrix->rows();
    const std::uint64_t first = (i - part.first_piece) * part.step;
    multiply_rows(*part.linear, first, std::min(part.step, rows - first), part.x, buffers.first,
                  part.out + first, rows);
  });
}

}  // namespace qi
