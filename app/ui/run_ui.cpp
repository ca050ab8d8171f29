#include "app/ui/run_ui.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "app/ui/background_analysis.h"
#include "app/ui/library.h"
#include "app/ui/opener.h"
#include "engine/text/escape.h"
#include "eval/results_db.h"
#include "views/help_screen.h"
#include "views/message_screen.h"
#include "views/model_screen.h"
#include "views/picker_screen.h"
#include "views/term/terminal.h"

namespace qi {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint64_t kAnalyseAllBytes = std::uint64_t{4} << 30;
constexpr int kQuitMs = 200;  // for background work to stop; then the process ends anyway
constexpr auto kSettle = milliseconds(500);  // how often rows may move because results came in

/// The signals that the loop reads instead of being interrupted by them.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP}) sigaddset(&set_, number);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
    fd_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Signals() {
    // What came while the program ended must not end it once more, with another status.
    while (next() != 0) {
    }
    if (fd_ >= 0) close(fd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_; }
  /// The next signal, 0 when there is none.
  int next() const {
    signalfd_siginfo info{};
    return read(fd_, &info, sizeof(info)) == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
  }
  /// Stops the process group as Ctrl-Z does and returns when it is continued.
  void stop_here() const {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    struct sigaction plain {};
    struct sigaction saved {};
    plain.sa_handler = SIG_DFL;
    sigaction(SIGTSTP, &plain, &saved);
    kill(0, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);  // stops here
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    sigaction(SIGTSTP, &saved, nullptr);
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  int fd_ = -1;
};

std::uint64_t bytes_on_disk(const std::vector<std::string>& files) {
  std::uint64_t sum = 0;
  for (const std::string& file : files) {
    struct stat st {};
    if (stat(file.c_str(), &st) == 0) sum += static_cast<std::uint64_t>(st.st_size);
  }
  return sum;
}

class Ui {
 public:
  explicit Ui(const UiOptions& options)
      : options_(options),
        terminal_({options.color, options.ascii, options.mouse}),
        glyphs_(glyphs(terminal_.unicode())),
        wake_(std::make_shared<Wake>()),
        opener_(wake_),
        frame_(std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(1.0 / std::clamp(options.refresh_hz, 0.2, 120.0)))) {}

  int run() {
    show_message("Opening", escape(options_.path), false);
    opener_.find(options_.path);
    resize();
    while (!status_) {
      draw_if_due();
      wait();
    }
    terminal_.leave();
    stop_work();
    return *status_;
  }

 private:
  Screen* screen() {
    if (help_) return help_.get();
    if (message_) return message_.get();
    if (model_) return model_.get();
    return picker_.get();
  }

  void show_message(std::string title, std::string text, bool is_error) {
    message_ = std::make_unique<MessageScreen>(std::move(title), std::move(text), is_error,
                                               picker_ != nullptr);
    message_->resize(size_);
    dirty_ = true;
  }

  void resize() {
    size_ = terminal_.size();
    for (Screen* one : {static_cast<Screen*>(picker_.get()), static_cast<Screen*>(model_.get()),
                        static_cast<Screen*>(message_.get()), static_cast<Screen*>(help_.get())}) {
      if (one != nullptr) one->resize(size_);
    }
    dirty_ = true;
  }

  // --- drawing: at once after a pause, else at most `refresh_hz` times a second
  void draw_if_due() {
    if (!dirty_ || terminal_.writing() || Clock::now() < next_frame_) return;
    canvas_.reset(size_);
    screen()->draw(canvas_, glyphs_);
    next_frame_ = Clock::now() + frame_;
    dirty_ = false;
    if (!terminal_.show(canvas_)) status_ = 128 + SIGHUP;
  }

  int timeout_ms() const {
    int out = -1;
    const auto until = [&](Clock::time_point when) {
      const auto left = std::chrono::ceil<milliseconds>(when - Clock::now()).count();
      const int ms = static_cast<int>(std::max<long>(0, static_cast<long>(left)));
      out = out < 0 ? ms : std::min(out, ms);
    };
    if (dirty_ && !terminal_.writing()) until(next_frame_);
    if (unsettled_) until(next_settle_);
    if (analysis_ && analysis_->feeding()) return 0;
    if (terminal_.keys_pending()) until(Clock::now() + milliseconds(Terminal::kEscapeMs));
    return out;
  }

  // --- events
  void wait() {
    if (status_) return;
    pollfd fds[4] = {{terminal_.input_fd(), POLLIN, 0},
                     {signals_.fd(), POLLIN, 0},
                     {wake_->fd(), POLLIN, 0},
                     {terminal_.output_fd(), POLLOUT, 0}};
    const int ready = poll(fds, terminal_.writing() ? 4 : 3, timeout_ms());
    if (ready < 0 && errno != EINTR) {
      status_ = 1;
      return;
    }
    if (fds[1].revents != 0) handle_signals();
    std::vector<Key> keys;
    const bool waited = !(analysis_ && analysis_->feeding());
    if (ready == 0 && waited && terminal_.keys_pending()) terminal_.flush_keys(keys);
    if ((fds[0].revents & POLLIN) != 0 && !terminal_.read_keys(keys)) lose_terminal();
    if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) lose_terminal();
    if (fds[3].revents != 0 && !terminal_.flush()) lose_terminal();
    for (const Key& key : keys) {
      if (!status_) handle_key(key);
    }
    if (fds[2].revents != 0) {
      wake_->clear();
      handle_background();
    }
    if (unsettled_ && Clock::now() >= next_settle_ && model_) settle();
    if (analysis_ && analysis_->feeding()) analysis_->feed();
  }

  void lose_terminal() {
    if (!status_) status_ = 128 + SIGHUP;
  }

  void handle_signals() {
    while (const int number = signals_.next()) {
      if (number == SIGWINCH) {
        resize();
      } else if (number == SIGTSTP) {
        suspend();
      } else {
        status_ = 128 + number;
      }
    }
  }

  void suspend() {
    terminal_.leave();
    signals_.stop_here();
    terminal_.enter();
    resize();
  }

  void handle_key(const Key& key) {
    dirty_ = true;
    Screen* target = screen();
    const Command command = command_of(key, target->context());
    if (command == Command::kSuspend) return suspend();
    if (command == Command::kRedraw) return terminal_.forget_screen();
    switch (target->handle(key)) {
      case Request::kNothing:
        break;
      case Request::kQuit:
        // Whoever started the program should see that it was interrupted.
        status_ = key.code == KeyCode::kControl ? 128 + SIGINT : 0;
        return;
      case Request::kHelp:
        help_ = std::make_unique<HelpScreen>(target->context());
        help_->resize(size_);
        break;
      case Request::kBack:
        go_back();
        break;
      case Request::kOpen:
        open(candidates_[picker_->choice()]);
        break;
      case Request::kAnalyseAll:
        model_->set_plan(plan_ = AnalysisPlan::kAll);
        analysis_->want_all();
        break;
      case Request::kCancelJobs:
        analysis_->cancel();
        model_->set_plan(plan_ = AnalysisPlan::kNone);
        model_->set_job({});
        model_->set_notice("cancelled: finished results are kept, A goes on");
        break;
    }
    if (model_ && !message_ && !help_) follow_view();
  }

  void go_back() {
    if (help_) {
      help_.reset();
    } else if (message_ && picker_) {
      message_.reset();
    } else if (model_ && picker_) {
      close_model();
    }
  }

  void handle_background() {
    if (auto outcome = opener_.take()) handle_opened(std::move(*outcome));
    if (!model_) return;
    bool changed = false;
    for (auto& [weight, statistics] : library_->take()) {
      analysis_->skip(weight);
      model_->set_statistics(weight, std::move(statistics));
      changed = true;
    }
    if (!looked_up_ && library_->looked_up()) {
      looked_up_ = true;
      if (plan_ == AnalysisPlan::kAll) analysis_->want_all();
      follow_view();
      changed = true;
    }
    for (BackgroundAnalysis::Result& result : analysis_->take()) {
      if (result.statistics == nullptr) {
        model_->set_failure(result.weight, std::move(result.failure));
      } else {
        library_->keep(result.weight, result.statistics);
        model_->set_statistics(result.weight, std::move(result.statistics));
      }
      changed = true;
    }
    const std::string warning = library_->warning();
    model_->set_warning(warning.empty() ? note_ : warning);
    model_->set_job(analysis_->status());
    if (changed && !unsettled_) {
      unsettled_ = true;
      next_settle_ = std::max(Clock::now(), last_settle_ + kSettle);
    }
    dirty_ = true;
  }

  void settle() {
    unsettled_ = false;
    last_settle_ = Clock::now();
    model_->settle();
    dirty_ = true;
  }

  // --- models
  void handle_opened(Opener::Outcome outcome) {
    dirty_ = true;
    if (outcome.error) {
      show_message("This cannot be opened", describe(*outcome.error), true);
    } else if (outcome.catalog) {
      choose(*outcome.catalog);
    } else {
      start_model(std::move(outcome.screen));
    }
  }

  void choose(const Catalog& catalog) {
    candidates_ = catalog.models;
    candidates_.insert(candidates_.end(), catalog.others.begin(), catalog.others.end());
    note_ = catalog.notes.empty() ? "" : catalog.notes.front();
    if (candidates_.size() > 1) {
      std::vector<PickerEntry> entries;
      for (const Candidate& one : candidates_) {
        std::string kind(container_name(one.container));
        if (one.kind != ModelKind::kModel) kind += fmt::format(" {}", kind_name(one.kind));
        if (one.files.size() > 1) kind += fmt::format(", {} files", one.files.size());
        entries.push_back({one.name, kind, one.path, bytes_on_disk(one.files)});
      }
      picker_ = std::make_unique<PickerScreen>(options_.path, std::move(entries));
      picker_->resize(size_);
    }
    if (catalog.models.size() == 1) {
      open(catalog.models.front());
    } else if (picker_) {
      message_.reset();
    } else {
      show_message("There is nothing to open", escape(note_), true);
    }
  }

  void open(const Candidate& candidate) {
    show_message("Opening", escape(candidate.path), false);
    const auto make_screen = [analyze = options_.analyze,
                              has_picker = picker_ != nullptr](std::shared_ptr<const Model> model) {
      const AnalysisPlan plan = !analyze                                  ? AnalysisPlan::kNone
                                : model->size_bytes() <= kAnalyseAllBytes ? AnalysisPlan::kAll
                                                                          : AnalysisPlan::kVisible;
      return std::make_unique<ModelScreen>(std::move(model), plan, has_picker);
    };
    opener_.open(candidate, {.prototype_dtype = options_.prototype_dtype}, options_.tensors,
                 make_screen);
  }

  void start_model(std::unique_ptr<ModelScreen> screen) {
    message_.reset();
    const std::shared_ptr<const Model> model = screen->table().shared_model();
    plan_ = screen->plan();
    model_ = std::move(screen);
    model_->resize(size_);
    if (!model->warnings.empty()) note_ = describe(model->warnings.front());
    model_->set_warning(note_);
    analysis_ = std::make_unique<BackgroundAnalysis>(model, options_.threads, wake_);
    for (std::uint32_t i = 0; i < model->weights.size(); ++i) {
      if (model->weights[i].undecodable.empty()) continue;
      analysis_->skip(i);
      model_->set_failure(i, model->weights[i].undecodable);
    }
    looked_up_ = false;
    library_ = std::make_unique<Library>(
        model, options_.database.empty() ? default_results_path() : options_.database, wake_);
  }

  void close_model() {
    stop_work();
    model_.reset();
  }

  // What is in view comes first; on large models nothing else comes at all, but for marks.
  void follow_view() {
    if (!looked_up_ || plan_ == AnalysisPlan::kNone) return;
    std::vector<std::uint32_t> wanted = model_->visible_weights();
    if (model_->table().marked().weights > 0) {
      for (std::size_t i = 0; i < model_->table().size(); ++i) {
        if (model_->table().is_marked(i)) wanted.push_back(static_cast<std::uint32_t>(i));
      }
    }
    analysis_->want(wanted);
    analysis_->hurry(wanted);
  }

  // Everything in the background, stopped; the process ends if that takes too long, for a person
  // who quits wants the prompt. The database is sound at any moment.
  void stop_work() {
    if (opener_.busy() && status_) _exit(*status_);
    std::promise<void> done;
    std::future<void> finished = done.get_future();
    std::thread stopper([this, &done] {
      if (analysis_) analysis_->shutdown();
      library_.reset();
      analysis_.reset();
      done.set_value();
    });
    if (status_ && finished.wait_for(milliseconds(kQuitMs)) != std::future_status::ready) {
      _exit(*status_);
    }
    stopper.join();
    wake_->clear();
  }

  const UiOptions& options_;
  Signals signals_;  // before anything that starts a thread
  Terminal terminal_;
  const Glyphs& glyphs_;
  std::shared_ptr<Wake> wake_;
  Opener opener_;
  const Clock::duration frame_;
  std::optional<int> status_;
  Size size_;
  Canvas canvas_;
  bool dirty_ = true;
  bool unsettled_ = false;
  bool looked_up_ = false;
  Clock::time_point next_frame_{};
  Clock::time_point next_settle_{};
  Clock::time_point last_settle_{};
  AnalysisPlan plan_ = AnalysisPlan::kAll;
  std::string note_;
  std::vector<Candidate> candidates_;
  std::unique_ptr<PickerScreen> picker_;
  std::unique_ptr<ModelScreen> model_;
  std::unique_ptr<MessageScreen> message_;
  std::unique_ptr<HelpScreen> help_;
  std::unique_ptr<BackgroundAnalysis> analysis_;
  std::unique_ptr<Library> library_;
};

}  // namespace

int run_ui(const UiOptions& options) {
  // A write to a terminal that is gone must come back as an error.
  signal(SIGPIPE, SIG_IGN);
  return Ui(options).run();
}

}  // namespace qi
