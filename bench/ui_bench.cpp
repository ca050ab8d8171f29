// What does a person feel of the UI? From a key to the finished frame, with 100,000 weights, while
// every core is busy with work of the analysis's priority (to reach: 16 ms for 95 %); what a step
// through the values of a 14336x4096 weight reads (no more than it shows); and of the whole
// process, measured by process_bench.py: first frame, bytes sent for a step of scrolling, CPU when
// idle.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/io/file.h"
#include "engine/tensor/value_window.h"
#include "tests/support/fake_model.h"
#include "tests/support/process.h"
#include "views/model_screen.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

// Every core turns over memory as the analysis does, niced as its threads are.
class Load {
 public:
  Load() {
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
      threads_.emplace_back([this] {
        setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
        std::vector<std::uint64_t> block(1 << 21, 1);
        std::uint64_t sum = 0;
        while (!stop_) {
          for (std::uint64_t& value : block) sum += value++;
        }
        sink_ += sum;
      });
    }
  }
  ~Load() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> sink_{0};
  std::vector<std::thread> threads_;
};

void report(const std::string& what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(share * static_cast<double>(times.size())))];
  };
  fmt::print("{:<34} {:>6} {:>9.3f} {:>9.3f} {:>9.3f}\n", what, times.size(), at(0.5), at(0.95),
             times.back());
}

// Without a mapping every byte that is looked at goes through pread, and is counted.
void measure_value_grid() {
  using namespace qi;
  constexpr std::uint64_t kRows = 14336, kCols = 4096, kShownRows = 30, kShownCols = 12;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  if (file == nullptr || ftruncate(fileno(file.get()), kRows * kCols * 2) != 0) return;
  const std::string path = fmt::format("/proc/self/fd/{}", fileno(file.get()));
  set_mapping_disabled_for_testing(true);
  Model model;
  model.files.push_back(File::open(path));
  model.tensors.push_back({"w", {}, {kRows, kCols}, 0, kRows * kCols * 2, 0, DType::kBF16});
  Weight weight;
  weight.name = "w";
  weight.shape = {kRows, kCols};
  weight.params = kRows * kCols;
  weight.size_bytes = 2 * weight.params;
  weight.parts.push_back({0, PartRole::kCodes});
  model.weights.push_back(weight);
  const auto reader = open_reader(model, model.weights[0]);
  const std::uint64_t empty = test::bytes_read();
  const std::uint64_t before = test::bytes_read();
  const std::uint64_t counting = before - empty;
  std::vector<double> times;
  for (std::uint64_t row = 0; row + kShownRows <= kRows; row += kShownRows) {
    const auto start = Clock::now();
    read_window(*reader, {row, kShownRows, row % (kCols - kShownCols), kShownCols});
    times.push_back(milliseconds(Clock::now() - start));
  }
  const auto read = static_cast<double>(test::bytes_read() - before - counting);
  set_mapping_disabled_for_testing(false);
  fmt::print("\nvalues of 14336x4096 BF16, page by page: {} bytes shown, {:.0f} read a page\n",
             kShownRows * kShownCols * 2, read / static_cast<double>(times.size()));
  report("a page of values read, ms", times);
}

void measure_keys(std::size_t count) {
  using namespace qi;
  auto model = std::make_shared<const Model>(test::mixture(count));
  const auto begin = Clock::now();
  ModelScreen screen(model, AnalysisPlan::kAll, false);
  const Size size{120, 36};
  screen.resize(size);
  Canvas canvas(size);
  screen.draw(canvas, glyphs(true));
  fmt::print("{} weights, {}x{} cells, {} busy threads; opening the screen {:.1f} ms\n\n",
             model->weights.size(), size.width, size.height, std::thread::hardware_concurrency(),
             milliseconds(Clock::now() - begin));
  // Three quarters analysed, as in the middle of a run.
  for (std::size_t i = 0; i < model->weights.size(); ++i) {
    if (i % 4 != 0) screen.set_statistics(i, test::statistics(i));
  }

  const Load load;
  std::vector<double> all;
  fmt::print("{:<34} {:>6} {:>9} {:>9} {:>9}\n", "key to frame, ms", "keys", "median", "95 %",
             "max");
  const auto series = [&](const std::string& what, const std::vector<Key>& keys) {
    std::vector<double> times;
    for (const Key& key : keys) {
      const auto start = Clock::now();
      screen.handle(key);
      canvas.reset(size);
      screen.draw(canvas, glyphs(true));
      times.push_back(milliseconds(Clock::now() - start));
      all.push_back(times.back());
      // Between the keys of a person the analysis goes on.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    report(what, times);
  };
  const auto typed = [](std::string_view text) {
    std::vector<Key> keys{character("/")};
    for (const char c : text) keys.push_back(character(std::string(1, c)));
    return keys;
  };
  const auto repeated = [](const Key& one, int times) {
    return std::vector<Key>(static_cast<std::size_t>(times), one);
  };
  const Key escape = key(KeyCode::kEscape);
  for (int round = 0; round < 3; ++round) {
    series("scroll down", repeated(character("j"), 60));
    series("page down", repeated(key(KeyCode::kPageDown), 30));
    series("last, first", {character("G"), character("g"), character("G"), character("g")});
    series("filter: q_proj", typed("q_proj"));
    series("take it back", repeated(key(KeyCode::kBackspace), 6));
    series("clear", {escape});
    series("filter: 1?.*.255.up", typed("1?.*.255.up"));
    series("clear", {escape});
    series("filter: proj !experts", typed("proj !experts"));
    series("clear", {escape});
    series("sort by each column", repeated(character("s"), 9));
    series("turn the order round", repeated(character("S"), 6));
    const Key tab = key(KeyCode::kTab);
    const Key enter = key(KeyCode::kEnter);
    series("tree: into layers, experts",
           {tab, character("j"), character("j"), character("j"), enter, character("j"), enter,
            character("G"), character("g"), tab});
    screen.table().set_sort(ColumnId::kName, false);
  }
  fmt::print("\n");
  report("all keys", all);
  std::sort(all.begin(), all.end());
  const double worst = all[all.size() * 95 / 100];
  fmt::print("95 % within {:.2f} ms: {} 16 ms\n", worst, worst <= 16 ? "under" : "OVER");
}

}  // namespace

// ui_bench [WEIGHTS]
int main(int argc, char** argv) {
  measure_keys(argc > 1 ? std::stoul(argv[1]) : 100'000);
  measure_value_grid();
  std::fflush(stdout);
  execlp("python3", "python3", QI_SOURCE "/bench/process_bench.py", QI_PROGRAM, "--ui", nullptr);
  return 1;
}
