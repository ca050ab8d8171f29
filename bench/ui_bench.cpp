// What does a person feel of the UI? From a key to the finished frame, with 100,000 weights, while
// every core is busy with work of the analysis's priority (to reach: 16 ms for 95 %); the same of
// the screens of a sweep's results with 100,000 rows; what a step
// through the values of a 14336x4096 weight reads (no more than it shows); and of the whole
// process, measured by process_bench.py: first frame, bytes sent for a step of scrolling, CPU when
// idle.
#include <sys/resource.h>
#include <time.h>
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
#include "tests/support/fake_results.h"
#include "tests/support/process.h"
#include "views/compare_screen.h"
#include "views/model_screen.h"
#include "views/planner_screen.h"
#include "views/results_screen.h"
#include "views/sweep_screen.h"

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

/// Of this thread: others on the machine do not count.
double thread_milliseconds() {
  struct timespec now {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// `processor`: the most that one of them took of it; 0: not known.
void report(const std::string& what, std::vector<double> times, double processor = 0) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(share * static_cast<double>(times.size())))];
  };
  fmt::print("{:<34} {:>6} {:>9.3f} {:>9.3f} {:>9.3f} {:>9.3f}\n", what, times.size(), at(0.5),
             at(0.95), times.back(), processor);
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

// Keys to a screen, each drawn at once, and how long that took.
class Keyboard {
 public:
  explicit Keyboard(qi::Screen& screen) : screen_(screen) {
    const auto start = Clock::now();
    screen_.resize(size_);
    screen_.draw(canvas_, qi::glyphs(true));
    first_ = milliseconds(Clock::now() - start);
  }
  double first_frame() const { return first_; }

  void press(const std::string& what, const std::vector<qi::Key>& keys) {
    std::vector<double> times;
    double most = 0;
    for (const qi::Key& key : keys) {
      const auto start = Clock::now();
      const double ran = thread_milliseconds();
      screen_.handle(key);
      canvas_.reset(size_);
      screen_.draw(canvas_, qi::glyphs(true));
      times.push_back(milliseconds(Clock::now() - start));
      most = std::max(most, thread_milliseconds() - ran);
      all_.push_back(times.back());
      // Between the keys of a person the analysis goes on.
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    most_ = std::max(most_, most);
    report(what, std::move(times), most);
  }
  void press(const std::string& what, const qi::Key& key, int times = 1) {
    press(what, std::vector<qi::Key>(static_cast<std::size_t>(times), key));
  }
  void filter(std::string_view text) {
    std::vector<qi::Key> keys{qi::character("/")};
    for (const char c : text) keys.push_back(qi::character(std::string(1, c)));
    press(fmt::format("filter: {}", text), keys);
  }
  void sum_up(const std::string& what) {
    report(what, all_, most_);
    std::sort(all_.begin(), all_.end());
    const double worst = all_[all_.size() * 95 / 100];
    fmt::print("95 % within {:.2f} ms: {} 16 ms\n", worst, worst <= 16 ? "under" : "OVER");
  }

 private:
  qi::Screen& screen_;
  qi::Size size_{120, 36};
  qi::Canvas canvas_{size_};
  double first_ = 0;
  double most_ = 0;  // of the processor, for one key
  std::vector<double> all_;
};

void heading(const std::string& what) {
  fmt::print("\n{:<34} {:>6} {:>9} {:>9} {:>9} {:>9}\n", what, "keys", "median", "95 %", "max",
             "max CPU");
}

void measure_keys(std::size_t count) {
  using namespace qi;
  auto model = std::make_shared<const Model>(test::mixture(count));
  const auto begin = Clock::now();
  ModelScreen screen(model, AnalysisPlan::kAll, false);
  Keyboard keyboard(screen);
  fmt::print("{} weights, 120x36 cells, {} busy threads; opening the screen {:.1f} ms\n",
             model->weights.size(), std::thread::hardware_concurrency(),
             milliseconds(Clock::now() - begin));
  // Three quarters analysed, as in the middle of a run.
  for (std::size_t i = 0; i < model->weights.size(); ++i) {
    if (i % 4 != 0) screen.set_statistics(i, test::statistics(i));
  }

  const Load load;
  heading("key to frame, ms");
  const Key escape = key(KeyCode::kEscape);
  for (int round = 0; round < 3; ++round) {
    keyboard.press("scroll down", character("j"), 60);
    keyboard.press("page down", key(KeyCode::kPageDown), 30);
    keyboard.press("last, first", {character("G"), character("g"), character("G"), character("g")});
    keyboard.filter("q_proj");
    keyboard.press("take it back", key(KeyCode::kBackspace), 6);
    keyboard.press("clear", escape);
    keyboard.filter("1?.*.255.up");
    keyboard.press("clear", escape);
    keyboard.filter("proj !experts");
    keyboard.press("clear", escape);
    keyboard.press("sort by each column", character("s"), 9);
    keyboard.press("turn the order round", character("S"), 6);
    const Key tab = key(KeyCode::kTab);
    const Key enter = key(KeyCode::kEnter);
    keyboard.press("tree: into layers, experts",
                   {tab, character("j"), character("j"), character("j"), enter, character("j"),
                    enter, character("G"), character("g"), tab});
    screen.table().set_sort(ColumnId::kName, false);
  }
  fmt::print("\n");
  keyboard.sum_up("all keys");
}

// Screens of measured rows: what is common to their tables.
void table_keys(const std::string& name, qi::Screen& screen, std::string_view filter) {
  using namespace qi;
  Keyboard keyboard(screen);
  heading(fmt::format("{}: first frame {:.2f} ms", name, keyboard.first_frame()));
  keyboard.press("scroll down", character("j"), 30);
  keyboard.press("page down", key(KeyCode::kPageDown), 20);
  keyboard.press("last, first", {character("G"), character("g"), character("G"), character("g")});
  keyboard.filter(filter);
  keyboard.press("take it back", key(KeyCode::kBackspace), static_cast<int>(filter.size()));
  keyboard.press("clear", key(KeyCode::kEscape));
  keyboard.press("sort by each column", character("s"), 9);
  keyboard.press("turn the order round", character("S"), 2);
  keyboard.press("f, a: another form or measure",
                 {character("f"), character("f"), character("a"), character("a")});
  keyboard.press("mark", character(" "), 3);
  keyboard.sum_up("all keys of " + name);
}

void measure_results(std::size_t count) {
  using namespace qi;
  std::vector<ResultRow> rows = test::result_rows(static_cast<int>(count / 44) + 1);
  rows.resize(count);
  const Load load;

  const auto begin = Clock::now();
  const auto set = std::make_shared<const ResultSet>(rows);
  fmt::print("\n{} rows; read into a set in the background: {:.1f} ms\n", count,
             milliseconds(Clock::now() - begin));
  ResultsScreen results;
  const auto shown = Clock::now();
  results.show(set);
  fmt::print("shown: {:.2f} ms\n", milliseconds(Clock::now() - shown));
  table_keys("Results", results, "q_proj alpha");

  auto report = std::make_shared<SweepReport>();
  report->units = count;
  SweepScreen sweep(report);
  sweep.resize({120, 36});
  std::vector<double> arrivals;
  for (std::size_t i = 0; i < count; ++i) {
    report->add(rows[i]);
    if (i % 500 != 0) continue;
    const auto start = Clock::now();
    sweep.refresh();
    Canvas canvas({120, 36});
    sweep.draw(canvas, glyphs(true));
    arrivals.push_back(milliseconds(Clock::now() - start));
  }
  heading("Sweep, rows come");
  ::report("a frame, plot and table", arrivals);
  table_keys("Sweep", sweep, "alpha");

  ResultPart part{"Llama", {}};
  for (std::size_t i = 0; i < set->size(); ++i) part.rows.push_back(i);
  PlannerScreen planner(set, part, std::nullopt);
  {
    Keyboard keyboard(planner);
    heading(fmt::format("Planner: first frame {:.2f} ms", keyboard.first_frame()));
    keyboard.press("target, typed", {character("4"), character("."), character("5")});
    keyboard.press("a plan made of all rows", key(KeyCode::kEnter));
  }
  table_keys("Planner", planner, "q_proj");

  // Half as many weights in two configurations: as many rows.
  std::vector<ResultRow> pairs;
  for (std::size_t i = 0; i < count; ++i) {
    pairs.push_back(rows[i % 2]);
    pairs.back().tensor =
        fmt::format("model.layers.{}.mlp.experts.{}.up_proj.weight", i / 512, i / 2 % 256);
    *pairs.back().snr_db += static_cast<double>(i * 7919 % 1000) / 100;
  }
  const auto two = std::make_shared<const ResultSet>(std::move(pairs));
  const auto opened = Clock::now();
  CompareScreen compare(two, {{0, 0}, {1, 0}});
  fmt::print("\nComparison made: {:.2f} ms\n", milliseconds(Clock::now() - opened));
  table_keys("Compare", compare, "experts.1");
}

}  // namespace

// ui_bench [LINES]
int main(int argc, char** argv) {
  const std::size_t lines = argc > 1 ? std::stoul(argv[1]) : 100'000;
  measure_keys(lines);
  measure_results(lines);
  measure_value_grid();
  std::fflush(stdout);
  execlp("python3", "python3", QI_SOURCE "/bench/process_bench.py", QI_PROGRAM, "--ui", nullptr);
  return 1;
}
