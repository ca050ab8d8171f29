// From which storage does a model load faster when it is stored smaller?
//   bandwidth_bench [--weights N] [--rounds N] [--dir FOLDER]
// A bf16 matrix of t(8) rows is kept as a plain file, as zstd frames (level 1), as a container of
// planes (fast, and with all effort) and as one of a pair with its int8 version, all of them in
// memory (FOLDER: a temporary one). Each is loaded with reads throttled to 0.1 … 4 GB/s: storage
// delivers the bytes one after the other ahead of the reader, as read-ahead does, and a block that
// has not arrived is waited for. One thread decodes and looks at all checksums. Medians of rounds.
// Table and plot: load time against bandwidth. Last: below which bandwidth each form loads faster
// than plain files of the same numbers do (low: int8, 8 bits a weight; both: 24), which is where
// these arrive as slowly as the form decodes.
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <zstd.h>

#include "engine/codec/little_endian.h"
#include "engine/format/open.h"
#include "engine/format/qstore_container.h"
#include "engine/format/qstore_writer.h"
#include "engine/format/safetensors.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kCols = 4096;
constexpr std::size_t kPiece = std::size_t{512} << 10;
constexpr double kGiga = 1e9;
constexpr std::array kBandwidths = {0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0};  // GB/s

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Storage of so many bytes a second; 0: as fast as memory is.
class Throttle {
 public:
  explicit Throttle(double bytes_per_second) : rate_(bytes_per_second), start_(now()) {}

  /// Waits until so many more bytes have arrived.
  void take(std::uint64_t bytes) {
    taken_ += bytes;
    if (rate_ == 0) return;
    const double due = start_ + static_cast<double>(taken_) / rate_;
    for (double left = due - now(); left > 0; left = due - now()) {
      if (left < 2e-4) continue;  // a sleep may last longer
      const double nap = left - 1e-4;
      timespec t{static_cast<time_t>(nap), static_cast<long>((nap - std::floor(nap)) * 1e9)};
      nanosleep(&t, nullptr);
    }
  }
  double elapsed() const { return now() - start_; }

 private:
  double rate_;
  double start_;
  std::uint64_t taken_ = 0;
};

struct Form {
  std::string name;
  char mark;
  std::uint64_t bytes;  // that are read
  std::function<void(Throttle&)> load;
  double plain_bits = 16;  // a weight, of plain files with the same numbers
  double decoding = 0;     // seconds with storage as fast as memory
  std::array<double, kBandwidths.size()> seconds{};
};

std::string matrix_file(std::uint64_t weights) {
  const std::uint64_t rows = std::max<std::uint64_t>(1, weights / kCols);
  const std::vector<float> floats = testing_support::trained_like(7, rows, kCols);
  Tensor tensor;
  tensor.name = "model.layers.0.mlp.up_proj.weight";
  tensor.dtype = DType::kBF16;
  tensor.shape = {rows, kCols};
  tensor.size_bytes = 2 * floats.size();
  std::string file = safetensors_header(std::span(&tensor, 1));
  const std::size_t head = file.size();
  file.resize(head + 2 * floats.size());
  auto* out = reinterpret_cast<std::byte*>(file.data() + head);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    store_u16(out + 2 * i, float_to_bf16(floats[i]));
  }
  return file;
}

// Blocks of a container in the order in which they lie and are needed.
class ContainerLoad {
 public:
  ContainerLoad(const std::string& path, bool low, bool high)
      : container_(QstoreContainer::open(File::open(path))), reader_(*container_) {
    const auto& streams = container_->index().streams;
    const QstoreStream* pair = nullptr;
    for (std::uint32_t i = 0; i < streams.size(); ++i) {
      out_.resize(std::max<std::size_t>(out_.size(), streams[i].unit_bytes));
      const bool is_pair = streams[i].method == QstoreMethod::kPair;
      if (is_pair) pair = &streams[i];
      const bool wanted = is_pair || streams[i].level == 0 ? high : low;
      if (!wanted) continue;
      for (std::uint64_t k = 0; k < streams[i].blocks.size(); ++k) {
        std::uint64_t bytes = streams[i].blocks[k].stored_bytes;
        // Without the low level its codes are read for the high one alone.
        if (is_pair && !low) {
          bytes += streams[streams[i].pairing.codes].blocks[k].stored_bytes;
          if (k == 0) bytes += streams[streams[i].pairing.scales].stored_bytes();
        }
        steps_.push_back({i, k, bytes});
      }
    }
    if (pair == nullptr || !low || !high) return;
    // Both levels: a block's codes, then what stands on them, while they are still decoded.
    std::stable_sort(steps_.begin(), steps_.end(),
                     [](const Step& a, const Step& b) { return a.block < b.block; });
  }

  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const Step& step : steps_) sum += step.bytes;
    return sum;
  }
  void run(Throttle& throttle) {
    const auto& streams = container_->index().streams;
    for (const Step& step : steps_) {
      throttle.take(step.bytes);
      const auto bytes = static_cast<std::size_t>(streams[step.stream].block_bytes(step.block));
      reader_.read(step.stream, step.block * streams[step.stream].unit_bytes,
                   std::span(out_).first(bytes));
    }
  }

 private:
  struct Step {
    std::uint32_t stream;
    std::uint64_t block;
    std::uint64_t bytes;
  };
  std::shared_ptr<const QstoreContainer> container_;
  QstoreReader reader_;
  std::vector<Step> steps_;
  Buffer out_;
};

class Bench {
 public:
  Bench(const std::string& folder, std::uint64_t weights, int rounds)
      : folder_(folder), rounds_(rounds) {
    const std::string file = matrix_file(weights);
    weights_ = weights / kCols * kCols;
    std::ofstream(folder_ + "/model.safetensors", std::ios::binary) << file;
    add_raw(file.size());
    add_zstd(file);
    add_container("planes", 'p', PlaneEffort::kFast);
    add_container("planes, ratio", 'q', PlaneEffort::kRatio);
    encode("pair.qstore", true, PlaneEffort::kFast);
    add_levels("pair, low", 'l', true, false);
    add_levels("pair, high", 'h', false, true);
    add_levels("pair, both", 'b', true, true);
    forms_[forms_.size() - 3].plain_bits = 8;
    forms_.back().plain_bits = 24;
  }

  void run() {
    for (Form& form : forms_) {
      form.decoding = median(form, 0);
      for (std::size_t i = 0; i < kBandwidths.size(); ++i) {
        form.seconds[i] = median(form, kBandwidths[i] * kGiga);
      }
    }
    print_table();
    print_plot();
    print_limits();
  }

 private:
  double median(const Form& form, double rate) const {
    std::vector<double> times;
    for (int i = 0; i < rounds_; ++i) {
      Throttle throttle(rate);
      form.load(throttle);
      times.push_back(throttle.elapsed());
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  void add_raw(std::uint64_t bytes) {
    const auto file = File::open(folder_ + "/model.safetensors");
    auto out = std::make_shared<Buffer>(kPiece);
    auto scratch = std::make_shared<Buffer>();
    forms_.push_back({"plain file", 'r', bytes, [file, out, scratch](Throttle& throttle) {
                        for (std::uint64_t at = 0; at < file->size(); at += kPiece) {
                          const auto n = static_cast<std::size_t>(
                              std::min<std::uint64_t>(kPiece, file->size() - at));
                          throttle.take(n);
                          // As the container's reader does: from a mapping, to where it is used.
                          const auto piece = file->bytes(at, n, *scratch);
                          std::memcpy(out->data(), piece.data(), n);
                        }
                      }});
  }

  void add_zstd(const std::string& file) {
    auto frames = std::make_shared<std::vector<std::string>>();
    std::uint64_t bytes = 0;
    for (std::size_t at = 0; at < file.size(); at += kPiece) {
      const std::size_t n = std::min(kPiece, file.size() - at);
      std::string frame(ZSTD_compressBound(n), '\0');
      frame.resize(ZSTD_compress(frame.data(), frame.size(), file.data() + at, n, 1));
      bytes += frame.size();
      frames->push_back(std::move(frame));
    }
    const std::shared_ptr<ZSTD_DCtx> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
    auto out = std::make_shared<Buffer>(kPiece);
    forms_.push_back({"zstd 1", 'z', bytes, [frames, context, out](Throttle& throttle) {
                        for (const std::string& frame : *frames) {
                          throttle.take(frame.size());
                          ZSTD_decompressDCtx(context.get(), out->data(), out->size(), frame.data(),
                                              frame.size());
                        }
                      }});
  }

  void encode(const std::string& name, bool with_int8, PlaneEffort effort) const {
    EncodeOptions options;
    options.effort = effort;
    options.output.overwrite = true;
    EncodeLevel level;
    level.path = folder_ + "/model.safetensors";
    level.source = find_models(level.path).models.at(0);
    options.levels.push_back(level);
    if (with_int8) options.levels.emplace_back().int8_of_first = true;
    encode_container(folder_ + "/" + name, options);
  }

  void add_container(const std::string& name, char mark, PlaneEffort effort) {
    const std::string file = fmt::format("{}.qstore", mark);
    encode(file, false, effort);
    add_load(name, mark, std::make_shared<ContainerLoad>(folder_ + "/" + file, true, true));
  }
  void add_levels(const std::string& name, char mark, bool low, bool high) {
    add_load(name, mark, std::make_shared<ContainerLoad>(folder_ + "/pair.qstore", low, high));
  }
  void add_load(const std::string& name, char mark, const std::shared_ptr<ContainerLoad>& load) {
    forms_.push_back(
        {name, mark, load->bytes(), [load](Throttle& throttle) { load->run(throttle); }});
  }

  void print_table() const {
    fmt::print("load time in ms of {} weights, by GB/s of storage\n\n", weights_);
    fmt::print("{:<18}{:>7}", "", "b/w");
    for (const double b : kBandwidths) fmt::print("{:>8}", fmt::format("{:.2f}", b));
    fmt::print("{:>8}\n", "memory");
    for (const Form& form : forms_) {
      fmt::print("{} {:<16}{:>7.2f}", form.mark, form.name,
                 8 * static_cast<double>(form.bytes) / static_cast<double>(weights_));
      for (const double s : form.seconds) fmt::print("{:>8.0f}", 1e3 * s);
      fmt::print("{:>8.0f}\n", 1e3 * form.decoding);
    }
  }

  // Both axes are logarithmic; where forms take as long, the later one hides the earlier.
  void print_plot() const {
    constexpr std::size_t kHeight = 20;
    constexpr std::size_t kStep = 8;
    double least = forms_.front().seconds[0];
    double most = least;
    for (const Form& form : forms_) {
      for (const double s : form.seconds) {
        least = std::min(least, s);
        most = std::max(most, s);
      }
    }
    const double span = std::max(1e-9, std::log(most / least));
    std::vector<std::string> canvas(kHeight, std::string(kStep * kBandwidths.size(), ' '));
    for (const Form& form : forms_) {
      for (std::size_t x = 0; x + 1 <= kStep * (kBandwidths.size() - 1); ++x) {
        const std::size_t i = x / kStep;
        const double part = static_cast<double>(x % kStep) / kStep;
        const double s =
            std::exp((1 - part) * std::log(form.seconds[i]) + part * std::log(form.seconds[i + 1]));
        const double y = std::log(most / s) / span * (kHeight - 1);
        canvas[static_cast<std::size_t>(std::lrint(y))][x] = form.mark;
      }
    }
    fmt::print("\n");
    for (std::size_t y = 0; y < kHeight; ++y) {
      const double s = most * std::exp(-span * static_cast<double>(y) / (kHeight - 1));
      fmt::print("{:>7.0f} ms |{}\n", 1e3 * s, canvas[y]);
    }
    fmt::print("{:>11}+{}\n{:>12}", "", std::string(kStep * kBandwidths.size(), '-'), "");
    for (const double b : kBandwidths) fmt::print("{:<8}", fmt::format("{:.2f}", b));
    fmt::print("GB/s\n\n");
  }

  void print_limits() const {
    const Form& plain = forms_.front();
    fmt::print("loads faster than the plain file from storage below\n");
    for (std::size_t i = 1; i < forms_.size(); ++i) {
      const Form& form = forms_[i];
      const double of_plain = form.plain_bits / 16;
      if (form.decoding <= of_plain * plain.decoding) {
        fmt::print("  {:<16} any bandwidth\n", form.name);
        continue;
      }
      fmt::print("  {:<16}{:>6.2f} GB/s\n", form.name,
                 of_plain * static_cast<double>(plain.bytes) / form.decoding / kGiga);
    }
  }

  std::string folder_;
  int rounds_;
  std::uint64_t weights_ = 0;
  std::vector<Form> forms_;
};

int main_of(int argc, char** argv) {
  std::uint64_t weights = std::uint64_t{16} << 20;
  int rounds = 3;
  std::string parent = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string();
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--weights") weights = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
    if (option == "--dir") parent = argv[i + 1];
  }
  std::string folder = parent + "/bandwidth-bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "bandwidth_bench: no folder in {}\n", parent);
    return 1;
  }
  int status = 0;
  try {
    Bench(folder, std::max(weights, kCols), rounds).run();
  } catch (const Error& error) {
    fmt::print(stderr, "bandwidth_bench: {}\n", error.what());
    status = 1;
  }
  fs::remove_all(folder);
  return status;
}

}  // namespace
}  // namespace qi

int main(int argc, char** argv) {
  return qi::main_of(argc, argv);
}
