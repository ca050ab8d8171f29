// How fast are the codecs beside memcpy and others' compressors, and how small is what they make?
//   codec_bench [--weights N] [--rounds N] [--only TEXT] [MODEL…]
// On a matrix of t(8) rows, each with a scale of its own (32M weights), then on models: the bundled
// wap, and those that are named. One core, everything in memory, one process: rounds take all jobs
// in turn, so that a slow moment of the machine hits each alike, and the median of a job's rounds
// counts; --only keeps memcpy and the jobs whose names hold a text. GB/s are 10^9 bytes of 16-bit
// weights a second, whatever the job reads or writes; the ratio is that to memcpy's median. Bits
// per weight include tables and heads of blocks.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include "engine/codec/baselines.h"
#include "engine/codec/little_endian.h"
#include "engine/codec/pair_codec.h"
#include "engine/codec/plane_codec.h"
#include "engine/format/open.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kMatrixCols = 8192;
constexpr std::size_t kPortableShare = 8;  // the portable loops see one weight in so many

struct Matrix {
  std::size_t rows;
  std::size_t cols;
  Bytes words;                 // bf16
  std::vector<std::int8_t> q;  // LLM.int8()
  std::vector<float> scales;
};

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

[[noreturn]] void fail(const std::string& what) {
  fmt::print(stderr, "codec_bench: {}\n", what);
  std::exit(1);
}

Matrix matrix_of(std::size_t rows, std::size_t cols, Bytes words) {
  Matrix m{rows, cols, std::move(words), std::vector<std::int8_t>(rows * cols),
           std::vector<float>(rows)};
  const auto value = [&m](std::size_t i) {
    return bf16_to_float(load_u16(m.words.data() + 2 * i));
  };
  for (std::size_t r = 0; r < rows; ++r) {
    float scale = 0;
    for (std::size_t k = 0; k < cols; ++k) scale = std::max(scale, std::abs(value(r * cols + k)));
    m.scales[r] = scale;
    const float inverse = scale > 0 ? 127.0f / scale : 0.0f;
    for (std::size_t k = 0; k < cols; ++k) {
      m.q[r * cols + k] = static_cast<std::int8_t>(std::nearbyint(value(r * cols + k) * inverse));
    }
  }
  return m;
}

Matrix drawn(std::size_t weights) {
  const std::size_t rows = std::max<std::size_t>(1, weights / kMatrixCols);
  const std::vector<float> floats = testing_support::trained_like(7, rows, kMatrixCols);
  Bytes words(2 * floats.size());
  for (std::size_t i = 0; i < floats.size(); ++i) {
    store_u16(words.data() + 2 * i, float_to_bf16(floats[i]));
  }
  return matrix_of(rows, kMatrixCols, std::move(words));
}

// Of all bf16 matrices of a model.
std::vector<Matrix> matrices(const std::string& path) {
  std::vector<Matrix> all;
  for (const Candidate& candidate : find_models(path).models) {
    const Model model = open_model(candidate);
    for (const Tensor& tensor : model.tensors) {
      if (tensor.dtype != DType::kBF16 || tensor.shape.size() < 2 || tensor.size_bytes < 4096) {
        continue;
      }
      const std::size_t rows = tensor.shape.front();
      Bytes words(tensor.size_bytes);
      model.files[tensor.file]->read_at(tensor.offset, words);
      all.push_back(matrix_of(rows, tensor.size_bytes / 2 / rows, std::move(words)));
    }
  }
  return all;
}

// ---- jobs ---------------------------------------------------------------------------------------

struct Job {
  std::string name;
  std::size_t weights;
  std::function<void()> run;
  double bits = 0;  // a weight; 0: says nothing about size
  std::vector<double> seconds;

  double rate() const {
    std::vector<double> sorted = seconds;
    std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
    return 2e-9 * static_cast<double>(weights) / sorted[sorted.size() / 2];
  }
};

struct Piece {
  const Matrix* matrix;
  std::size_t first_row;
  std::size_t rows;

  std::size_t weights() const { return rows * matrix->cols; }
  std::size_t first() const { return first_row * matrix->cols; }
  const std::byte* words() const { return matrix->words.data() + 2 * first(); }
  PairBlock low() const {
    return {matrix->q.data() + first(), matrix->scales.data() + first_row, rows, matrix->cols};
  }
};

class Bench {
 public:
  Bench(const std::vector<Matrix>& matrices, int rounds, std::string only)
      : rounds_(rounds), only_(std::move(only)) {
    for (const Matrix& m : matrices) {
      const std::size_t step = std::max<std::size_t>(1, kPlaneBlock / m.cols);
      for (std::size_t r = 0; r < m.rows; r += step) {
        pieces_.push_back({&m, r, std::min(step, m.rows - r)});
        largest_ = std::max(largest_, pieces_.back().weights());
      }
      weights_ += m.rows * m.cols;
    }
    out_.resize(2 * weights_ + 64);
  }

  void run() {
    add_others();
    for (const CodecPath path : codec_paths()) {
      const std::string name(name_of(path));
      const std::size_t count = path == CodecPath::kPortable
                                    ? (pieces_.size() + kPortableShare - 1) / kPortableShare
                                    : pieces_.size();
      add_planes(name, "planes fast", path, PlaneEffort::kFast, count, false);
      add_planes(name, "planes ratio", path, PlaneEffort::kRatio, count, false);
      add_planes(name, "int8 layer", path, PlaneEffort::kFast, count, true);
      add_planes(name, "int8 layer, ratio", path, PlaneEffort::kRatio, count, true);
      add_pair(name, path, count);
    }
    std::erase_if(jobs_, [this](const Job& job) {
      return job.name != "memcpy" && job.name.find(only_) == std::string::npos;
    });
    for (int round = 0; round < rounds_; ++round) {
      for (Job& job : jobs_) {
        const double start = now();
        job.run();
        job.seconds.push_back(now() - start);
      }
    }
    print();
  }

 private:
  std::size_t weights_in(std::size_t count) const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += pieces_[i].weights();
    return sum;
  }

  void add(std::string name, std::size_t weights, double bytes, std::function<void()> run) {
    jobs_.push_back(
        {std::move(name), weights, std::move(run), 8 * bytes / static_cast<double>(weights), {}});
  }

  // Encodes all pieces once, for sizes and for what is decoded; `encode` gives a piece's bytes.
  struct Coded {
    std::vector<Bytes> blocks;
    double bytes = 0;
  };
  template <typename Encode>
  std::shared_ptr<Coded> coded(std::size_t count, Encode&& encode) const {
    auto all = std::make_shared<Coded>();
    for (std::size_t i = 0; i < count; ++i) {
      const auto block = encode(pieces_[i], i);
      all->blocks.emplace_back(block.begin(), block.end());
      all->bytes += static_cast<double>(block.size());
    }
    return all;
  }

  std::vector<std::byte*> places() {
    std::vector<std::byte*> all;
    std::byte* at = out_.data();
    for (const Piece& piece : pieces_) {
      all.push_back(at);
      at += 2 * piece.weights();
    }
    return all;
  }

  void add_others() {
    const auto out = places();
    const std::size_t n = weights_;
    add("memcpy", n, 0, [this, out] {
      for (std::size_t i = 0; i < pieces_.size(); ++i) {
        std::memcpy(out[i], pieces_[i].words(), 2 * pieces_[i].weights());
      }
    });
    const auto lz4_bound =
        static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(2 * largest_)));
    auto scratch = std::make_shared<Bytes>(std::max(ZSTD_compressBound(2 * largest_), lz4_bound));
    for (const int level : {1, 3}) {
      const std::shared_ptr<ZSTD_CCtx> in(ZSTD_createCCtx(), &ZSTD_freeCCtx);
      const std::shared_ptr<ZSTD_DCtx> back(ZSTD_createDCtx(), &ZSTD_freeDCtx);
      const auto encode = [in, scratch, level](const Piece& piece, std::size_t) {
        const std::size_t size = ZSTD_compressCCtx(in.get(), scratch->data(), scratch->size(),
                                                   piece.words(), 2 * piece.weights(), level);
        return std::span<const std::byte>(*scratch).first(size);
      };
      const auto all = coded(pieces_.size(), encode);
      const std::string name = fmt::format("zstd {}", level);
      add(name + " encode", n, all->bytes, [this, encode] {
        for (std::size_t i = 0; i < pieces_.size(); ++i) encode(pieces_[i], i);
      });
      add(name + " decode", n, all->bytes, [this, out, back, all] {
        for (std::size_t i = 0; i < pieces_.size(); ++i) {
          ZSTD_decompressDCtx(back.get(), out[i], 2 * pieces_[i].weights(), all->blocks[i].data(),
                              all->blocks[i].size());
        }
      });
    }
    const auto lz4 = [scratch](const Piece& piece, std::size_t) {
      const int size = LZ4_compress_default(
          reinterpret_cast<const char*>(piece.words()), reinterpret_cast<char*>(scratch->data()),
          static_cast<int>(2 * piece.weights()), static_cast<int>(scratch->size()));
      return std::span<const std::byte>(*scratch).first(static_cast<std::size_t>(size));
    };
    const auto all = coded(pieces_.size(), lz4);
    add("lz4 encode", n, all->bytes, [this, lz4] {
      for (std::size_t i = 0; i < pieces_.size(); ++i) lz4(pieces_[i], i);
    });
    add("lz4 decode", n, all->bytes, [this, out, all] {
      for (std::size_t i = 0; i < pieces_.size(); ++i) {
        LZ4_decompress_safe(
            reinterpret_cast<const char*>(all->blocks[i].data()), reinterpret_cast<char*>(out[i]),
            static_cast<int>(all->blocks[i].size()), static_cast<int>(2 * pieces_[i].weights()));
      }
    });
    add_huffman();
  }

  // Exponents by Huffman codes, sign and mantissa as bytes.
  void add_huffman() {
    struct State {
      HuffmanCoder coder;
      Bytes exponents, rest, block;
    };
    auto state = std::make_shared<State>();
    const auto encode = [state](const Piece& piece, std::size_t) {
      const std::size_t n = piece.weights();
      state->exponents.resize(n);
      state->block.resize(n);
      const auto* words = reinterpret_cast<const std::uint16_t*>(piece.words());
      std::byte* const exponents = state->exponents.data();
      std::byte* const rest = state->block.data();
      for (std::size_t i = 0; i < n; ++i) {
        exponents[i] = static_cast<std::byte>(words[i] >> 7 & 255);
        rest[i] = static_cast<std::byte>((words[i] & 127) | (words[i] >> 8 & 128));
      }
      const auto frame = state->coder.encode(state->exponents);
      state->block.insert(state->block.end(), frame.begin(), frame.end());
      return std::span<const std::byte>(state->block);
    };
    const auto all = coded(pieces_.size(), encode);
    add("huffman encode", weights_, all->bytes, [this, encode] {
      for (std::size_t i = 0; i < pieces_.size(); ++i) encode(pieces_[i], i);
    });
    add("huffman decode", weights_, all->bytes, [this, state, all, out = places()] {
      for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const std::size_t n = pieces_[i].weights();
        state->exponents.resize(n);
        const std::span<const std::byte> block(all->blocks[i]);
        if (!state->coder.decode(block.subspan(n), state->exponents)) fail("huffman");
        const auto* exponents = reinterpret_cast<const std::uint8_t*>(state->exponents.data());
        const auto* rest = reinterpret_cast<const std::uint8_t*>(block.data());
        auto* words = reinterpret_cast<std::uint16_t*>(out[i]);
        for (std::size_t k = 0; k < n; ++k) {
          words[k] = static_cast<std::uint16_t>(exponents[k] << 7 | (rest[k] & 127) |
                                                (rest[k] & 128) << 8);
        }
      }
    });
  }

  // A table for each matrix.
  using Tables = std::vector<std::shared_ptr<const PlaneTable>>;
  Tables tables(PlaneEffort effort, bool int8, double& bytes) const {
    Tables all;
    for (const Piece& piece : pieces_) {
      if (!all.empty() && pieces_[all.size() - 1].matrix == piece.matrix) {
        all.push_back(all.back());
        continue;
      }
      const Matrix& m = *piece.matrix;
      const PlaneKind kind = plane_kind(int8 ? DType::kI8 : DType::kBF16);
      const auto* values = int8 ? reinterpret_cast<const std::byte*>(m.q.data()) : m.words.data();
      std::optional<PlaneTable> table;
      if (effort == PlaneEffort::kRatio) {
        // As the container does it: from a few rows of a large matrix.
        const std::size_t rows =
            std::min(m.rows, std::max<std::size_t>(16, (std::size_t{2} << 20) / m.cols));
        Bytes sample;
        const std::size_t row_bytes = m.cols * kind.element_bytes;
        for (std::size_t r = 0; r < rows; ++r) {
          const std::byte* row =
              values + (rows < 2 ? 0 : (m.rows - 1) * r / (rows - 1)) * row_bytes;
          sample.insert(sample.end(), row, row + row_bytes);
        }
        double estimate = 0;
        table = PlaneTable::choose_for_rows(kind, {sample.data(), rows, m.cols, m.rows}, estimate);
      } else {
        PlaneHistogram histogram(kind);
        histogram.add_sample(values, m.rows * m.cols);
        table = PlaneTable::choose(histogram, effort);
      }
      bytes += static_cast<double>(table->serialise().size());
      all.push_back(std::make_shared<const PlaneTable>(std::move(*table)));
    }
    return all;
  }

  void add_planes(const std::string& path_name, const std::string& what, CodecPath path,
                  PlaneEffort effort, std::size_t count, bool int8) {
    double table_bytes = 0;
    const Tables table = tables(effort, int8, table_bytes);
    auto encoder = std::make_shared<PlaneEncoder>(path);
    auto decoder = std::make_shared<PlaneDecoder>(path);
    const auto source = [int8](const Piece& piece) {
      return int8 ? reinterpret_cast<const std::byte*>(piece.low().q) : piece.words();
    };
    const auto encode = [encoder, table, source](const Piece& piece, std::size_t i) {
      return encoder->encode(*table[i], source(piece), piece.weights());
    };
    const auto all = coded(count, encode);
    const auto out = places();
    const auto decode = [this, decoder, table, all, out, count] {
      for (std::size_t i = 0; i < count; ++i) {
        decoder->decode(*table[i], all->blocks[i], pieces_[i].weights(), out[i]);
      }
    };
    decode();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t bytes = (int8 ? 1 : 2) * pieces_[i].weights();
      if (std::memcmp(out[i], source(pieces_[i]), bytes) != 0) fail(what + ": other numbers");
    }
    const std::string name = what + ", " + path_name;
    const std::size_t n = weights_in(count);
    const double share = static_cast<double>(n) / static_cast<double>(weights_);
    add(name + " encode", n, all->bytes + share * table_bytes, [this, encode, count] {
      for (std::size_t i = 0; i < count; ++i) encode(pieces_[i], i);
    });
    add(name + " decode", n, all->bytes + share * table_bytes, decode);
  }

  // Both layers in one pass over each block.
  void add_pair(const std::string& path_name, CodecPath path, std::size_t count) {
    double table_bytes = 0;
    const Tables table = tables(PlaneEffort::kFast, true, table_bytes);
    struct State {
      State(CodecPath path)
          : low(path),
            low_back(path),
            high(*pair_format(DType::kBF16), path),
            high_back(*pair_format(DType::kBF16), path) {}
      PlaneEncoder low;
      PlaneDecoder low_back;
      PairEncoder high;
      PairDecoder high_back;
      std::vector<std::int8_t> q;
    };
    auto state = std::make_shared<State>(path);
    state->q.resize(largest_);
    const auto encode_low = [state, table](const Piece& piece, std::size_t i) {
      return state->low.encode(*table[i], reinterpret_cast<const std::byte*>(piece.low().q),
                               piece.weights());
    };
    const auto encode_high = [state](const Piece& piece, std::size_t) {
      return state->high.encode(piece.low(), piece.words());
    };
    const auto low = coded(count, encode_low);
    const auto high = coded(count, encode_high);
    const auto out = places();
    const auto decode = [this, state, table, low, high, out, count] {
      for (std::size_t i = 0; i < count; ++i) {
        const Piece& piece = pieces_[i];
        state->low_back.decode(*table[i], low->blocks[i], piece.weights(),
                               reinterpret_cast<std::byte*>(state->q.data()));
        PairBlock given = piece.low();
        given.q = state->q.data();
        state->high_back.decode(given, high->blocks[i], out[i]);
      }
    };
    decode();
    double scale_bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      scale_bytes += 4 * static_cast<double>(pieces_[i].rows);
      if (std::memcmp(out[i], pieces_[i].words(), 2 * pieces_[i].weights()) != 0) {
        fail("pair: other numbers");
      }
    }
    const std::size_t n = weights_in(count);
    const double bytes = low->bytes + high->bytes + scale_bytes +
                         table_bytes * static_cast<double>(n) / static_cast<double>(weights_);
    add("pair, " + path_name + " encode", n, bytes, [this, encode_low, encode_high, count] {
      for (std::size_t i = 0; i < count; ++i) {
        encode_low(pieces_[i], i);
        encode_high(pieces_[i], i);
      }
    });
    add("pair, " + path_name + " decode", n, bytes, decode);
  }

  void print() const {
    const double copy = jobs_.front().rate();
    fmt::print("  {:<36} {:>8} {:>10} {:>8}\n", "", "GB/s", "× memcpy", "b/w");
    for (const Job& job : jobs_) {
      const std::string bits = job.bits == 0 ? "" : fmt::format("{:.3f}", job.bits);
      fmt::print("  {:<36} {:>8.2f} {:>10.3f} {:>8}\n", job.name, job.rate(), job.rate() / copy,
                 bits);
    }
  }

  int rounds_;
  std::string only_;
  std::vector<Piece> pieces_;
  std::size_t weights_ = 0;
  std::size_t largest_ = 0;
  Bytes out_;
  std::vector<Job> jobs_;
};

int main_of(int argc, char** argv) {
  std::size_t weights = std::size_t{32} << 20;
  int rounds = 7;
  std::string only;
  std::vector<std::string> models;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--weights" && i + 1 < argc) {
      weights = std::strtoull(argv[++i], nullptr, 10);
    } else if (arg == "--rounds" && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else if (arg == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      models.push_back(arg);
    }
  }
  fmt::print("t(8) rows, {} weights\n", weights / kMatrixCols * kMatrixCols);
  {
    const std::vector<Matrix> one = {drawn(weights)};
    Bench(one, rounds, only).run();
  }
  models.insert(models.begin(), std::string(QI_BENCH_DATA) + "/models/wap");
  for (const std::string& path : models) {
    const std::vector<Matrix> all = matrices(path);
    if (all.empty()) continue;
    fmt::print("\n{}\n", path);
    Bench(all, rounds, only).run();
  }
  return 0;
}

}  // namespace
}  // namespace qi

int main(int argc, char** argv) {
  return qi::main_of(argc, argv);
}
