// What does a sweep cost beside the work it is for? Prints for sweeps of weights of 64Ki and 1Mi
// numbers what hashes, database on tmpfs and scheduling take of the processor beside measuring; how
// long a row takes to be durable on a real disk; zfp through the methods against libzfp on the same
// array, and this project's decoder of zfp blocks against libzfp's.
//   sweep_bench [ROUNDS [FOLDER [PART…]]]      default: 5 rounds; FOLDER on the disk to be judged:
//   .
// Parts: blocks, small, large, row, zfp; all of them where none is named.
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <zfp.h>

#include "engine/codec/zfp_codec.h"
#include "engine/format/open.h"
#include "eval/results/content_hash.h"
#include "eval/results/results_store.h"
#include "eval/sweep/measure.h"
#include "eval/sweep/sweep.h"
#include "tests/support/trained_like.h"

namespace {

using namespace qi;

/// Seconds of a clock; of this process or thread alone, others on the machine do not count.
double seconds_of(clockid_t clock, const std::function<void()>& work) {
  struct timespec begin {};
  struct timespec end {};
  clock_gettime(clock, &begin);
  work();
  clock_gettime(clock, &end);
  return static_cast<double>(end.tv_sec - begin.tv_sec) +
         static_cast<double>(end.tv_nsec - begin.tv_nsec) * 1e-9;
}
constexpr clockid_t kWall = CLOCK_MONOTONIC;
constexpr clockid_t kProcess = CLOCK_PROCESS_CPUTIME_ID;
constexpr clockid_t kThread = CLOCK_THREAD_CPUTIME_ID;

/// A folder that goes away with what is in it.
class Folder {
 public:
  explicit Folder(const std::string& parent) : path_(parent + "/qinspect-bench-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) {
      fmt::print(stderr, "cannot make a folder in {}\n", parent);
      std::exit(1);
    }
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<float> trained(std::uint64_t count, std::uint64_t seed) {
  testing_support::Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.student8() * 0.02);
  return values;
}

/// `count` F32 matrices of side × side as a safetensors file.
void write_model(const std::string& path, std::size_t count, std::uint64_t side) {
  std::string header = "{";
  const std::uint64_t bytes = side * side * sizeof(float);
  for (std::size_t i = 0; i < count; ++i) {
    header += fmt::format(
        R"({}"model.layers.{}.mlp.up_proj.weight":{{"dtype":"F32","shape":[{},{}],"data_offsets":[{},{}]}})",
        i == 0 ? "" : ",", i, side, side, i * bytes, (i + 1) * bytes);
  }
  header += "}";
  std::ofstream out(path, std::ios::binary);
  const std::uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << header;
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<float> values = trained(side * side, i + 1);
    out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(bytes));
  }
}

SweepPlan plan_of(const std::shared_ptr<const Model>& model, const std::string& family,
                  const GridOptions& grid) {
  SweepRequest request;
  request.families = {family};
  request.grid = grid;
  return plan_sweep(model, request);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// What is measured of a plan, without a database, hashes or a queue.
void work_alone(const SweepPlan& plan) {
  for (const SweepUnit& unit : plan.units) {
    ResultRow row;
    measure(*plan.model, *plan.weights[unit.weight], plan.configs[unit.config], {}, row);
  }
}

/// Seconds of one sweep on one thread with a new database.
struct Swept {
  double wall = 0, processor = 0;
  double work = 0;  // of `processor`: reading, coding, decoding, errors
};

/// `redo`: of a database that has the rows already, so that hashes are known.
Swept sweep_of(const SweepPlan& plan, const std::string& database, bool redo) {
  Swept out;
  SweepOptions options;
  options.database = database;
  options.threads = 1;
  options.redo = redo;
  JobQueue::Options one;
  one.threads = 1;
  {
    Sweep sweep(plan, options);
    out.wall = seconds_of(kWall, [&] {
      JobQueue queue(one);
      out.processor = seconds_of(kProcess, [&] { queue.wait(sweep.start(queue, "sweep")); });
    });
    out.work = sweep.work_seconds();
  }
  return out;
}

/// Three figures for the same thing, medians of all rounds: processor time of the sweep beyond what
/// its units measured, in one and the same run; processor time and wall time of the sweep beyond
/// the same measurements alone, in turn, which are differences of large noisy numbers.
void overhead(int rounds, const std::string& memory, std::size_t count, std::uint64_t side) {
  const std::string path = fmt::format("{}/{}.safetensors", memory, side);
  write_model(path, count, side);
  const auto model = std::make_shared<const Model>(open_model(find_models(path).models.front()));
  fmt::print("\n{} F32 weights of {} numbers, one thread, database on tmpfs, {} rounds\n", count,
             side * side, rounds);
  fmt::print("{:<10} {:>13} {:>12} {:>18} {:>15} {:>18} {:>14}\n", "sweep of", "work, us/row",
             "hash, us/row", "beside the work, %", "hashes known, %", "than alone, CPU, %",
             "and wall, %");
  const std::vector<std::pair<std::string, GridOptions>> kinds = {
      {"zfp", {}},
      {"ggml", {}},
      {"rtn", {}},
      {"int8", {}},
      {"fp8", {}},
      {"nf4", {}},
      {"mxfp4", {}},
      {"nvfp4", {}},
      {"lossless", {{"codecs", {"store", "lz4", "zstd", "planes"}}}},
      {"ggml", {{"types", {"Q8_0"}}}}};
  for (const auto& [family, grid] : kinds) {
    const SweepPlan plan = plan_of(model, family, grid);
    const double row = 1e6 / static_cast<double>(plan.units.size());
    std::vector<double> work, hash, beside, known, processor, wall;
    for (int round = 0; round < rounds; ++round) {
      double alone = 0;
      const double alone_wall =
          seconds_of(kWall, [&] { alone = seconds_of(kProcess, [&] { work_alone(plan); }); });
      const std::string database = fmt::format("{}/{}-{}.db", memory, family, round);
      const Swept swept = sweep_of(plan, database, false);
      const Swept again = sweep_of(plan, database, true);
      for (const char* log : {"", "-wal", "-shm"}) std::filesystem::remove(database + log);
      hash.push_back(row * seconds_of(kProcess, [&] {
                       for (const Weight* weight : plan.weights) content_hash(*model, *weight);
                     }));
      work.push_back(row * swept.work);
      known.push_back((again.processor / again.work - 1) * 100);
      beside.push_back((swept.processor / swept.work - 1) * 100);
      processor.push_back((swept.processor / alone - 1) * 100);
      wall.push_back((swept.wall / alone_wall - 1) * 100);
    }
    fmt::print("{:<10} {:>13.1f} {:>12.2f} {:>18.2f} {:>15.2f} {:>18.2f} {:>14.2f}\n",
               fmt::format("{} x {}", family, plan.configs.size()), median(work), median(hash),
               median(beside), median(known), median(processor), median(wall));
  }
}

void durable_row(const std::string& disk, const std::string& memory) {
  constexpr int kRows = 100;
  for (const std::string& folder : {memory, disk}) {
    ResultsStore store(folder + "/rows.db");
    ResultRun run;
    run.units = kRows;
    store.begin_run(run, {});
    std::vector<double> times;
    for (int i = 0; i < kRows; ++i) {
      UnitRecord unit;
      unit.unit = static_cast<std::uint64_t>(i);
      unit.key = {fmt::format("{:032x}", i), {"zfp", {}}, 1};
      unit.row.tensor = "model.layers.0.mlp.up_proj.weight";
      unit.row.mse = 1e-6;
      times.push_back(seconds_of(kWall, [&] { store.finish(unit, false); }));
    }
    std::sort(times.begin(), times.end());
    fmt::print("a durable row on {:9}: median {:.3f} ms, worst of {} {:.3f} ms\n",
               folder == memory ? "tmpfs" : "the disk", times[kRows / 2] * 1e3, kRows,
               times.back() * 1e3);
  }
}

/// Seconds libzfp needs for a rate and both directions of [side, side] floats.
std::pair<double, double> libzfp(const std::vector<float>& values, std::uint64_t side,
                                 double rate) {
  std::vector<float> copy = values;
  zfp_field* field = zfp_field_2d(copy.data(), zfp_type_float, side, side);
  zfp_stream* zfp = zfp_stream_open(nullptr);
  zfp_stream_set_rate(zfp, rate, zfp_type_float, 2, 0);
  std::vector<std::byte> buffer(zfp_stream_maximum_size(zfp, field));
  bitstream* bits = stream_open(buffer.data(), buffer.size());
  zfp_stream_set_bit_stream(zfp, bits);
  const double encode = seconds_of(kThread, [&] {
    zfp_stream_rewind(zfp);
    zfp_compress(zfp, field);
  });
  const double decode = seconds_of(kThread, [&] {
    zfp_stream_rewind(zfp);
    zfp_decompress(zfp, field);
  });
  zfp_field_free(field);
  zfp_stream_close(zfp);
  stream_close(bits);
  return {encode, decode};
}

void beside_libzfp(int rounds, const std::string& memory) {
  constexpr std::uint64_t kSide = 2048;
  const std::string path = memory + "/zfp.safetensors";
  write_model(path, 1, kSide);
  const auto model = std::make_shared<const Model>(open_model(find_models(path).models.front()));
  const std::vector<float> values = trained(kSide * kSide, 1);
  for (const char* rate : {"4", "8", "16"}) {
    const SweepPlan plan = plan_of(model, "zfp", {{"rates", {rate}}});
    std::vector<double> encoding, decoding;  // theirs ÷ ours, in turn
    for (int round = 0; round < rounds; ++round) {
      const auto [encode, decode] = libzfp(values, kSide, std::atof(rate));
      ResultRow row;
      measure(*model, *plan.weights[0], plan.configs[0], {}, row);
      encoding.push_back(encode / *row.encode_s);
      decoding.push_back(decode / *row.decode_s);
    }
    fmt::print("zfp rate {:>2}, 2-D: {:.3f} x libzfp encoding, {:.3f} x decoding (medians)\n", rate,
               median(encoding), median(decoding));
  }
}

/// Giga-weights a second that one core decodes of blocks of rows: this project's decoder, libzfp's.
void blocks_beside_libzfp(int rounds) {
  constexpr std::uint64_t kSide = 1024;
  const std::vector<float> values = trained(kSide * kSide, 1);
  std::vector<float> back(values.size());
  fmt::print("fixed-rate zfp blocks, decoding, one core, Gweights/s\n");
  fmt::print("{:>4} {:>5} {:>8} {:>8} {:>7}\n", "dims", "rate", "own", "libzfp", "ratio");
  for (int dims = 1; dims <= 4; ++dims) {
    for (const double rate : {4.0, 8.0, 16.0}) {
      ZfpCodec codec({dims, true, false, ZfpMode::kRate, rate}, kSide);
      std::vector<std::byte> coded;
      codec.encode(kSide, values.data(), coded);
      zfp_stream* zfp = zfp_stream_open(nullptr);
      zfp_stream_set_rate(zfp, rate, zfp_type_float, static_cast<uint>(dims), 0);
      bitstream* bits = stream_open(coded.data(), coded.size());
      zfp_stream_set_bit_stream(zfp, bits);
      const std::uint64_t size = std::uint64_t{1} << (2 * dims);
      std::vector<double> own, theirs;
      for (int round = 0; round < rounds; ++round) {
        own.push_back(seconds_of(kThread, [&] { codec.decode(coded, kSide, back.data()); }));
        theirs.push_back(seconds_of(kThread, [&] {
          zfp_stream_rewind(zfp);
          for (std::uint64_t i = 0; i < back.size(); i += size) {
            if (dims == 1) zfp_decode_block_float_1(zfp, back.data() + i);
            if (dims == 2) zfp_decode_block_float_2(zfp, back.data() + i);
            if (dims == 3) zfp_decode_block_float_3(zfp, back.data() + i);
            if (dims == 4) zfp_decode_block_float_4(zfp, back.data() + i);
          }
        }));
      }
      stream_close(bits);
      zfp_stream_close(zfp);
      const double weights = static_cast<double>(back.size()) * 1e-9;
      fmt::print("{:>4} {:>5} {:>8.3f} {:>8.3f} {:>7.2f}\n", dims, rate, weights / median(own),
                 weights / median(theirs), median(theirs) / median(own));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  const Folder memory("/dev/shm");
  const Folder disk(argc > 2 ? argv[2] : ".");
  const std::vector<std::pair<std::string_view, std::function<void()>>> parts = {
      {"blocks", [&] { blocks_beside_libzfp(rounds); }},
      {"small", [&] { overhead(rounds, memory.path(), 64, 256); }},
      {"large", [&] { overhead(rounds, memory.path(), 8, 1024); }},
      {"row", [&] { durable_row(disk.path(), memory.path()); }},
      {"zfp", [&] { beside_libzfp(rounds, memory.path()); }}};
  const std::vector<std::string_view> wanted(argv + std::min(argc, 3), argv + argc);
  for (const auto& [name, run] : parts) {
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) run();
  }
  return 0;
}
