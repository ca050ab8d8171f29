#include "app/run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "app/help.h"
#include "app/modes/modes.h"
#include "app/settings.h"
#include "app/signals.h"
#include "app/ui/run_ui.h"
#include "engine/text/escape.h"

namespace qi {
namespace {

constexpr int kStdoutClosed = 141;  // 128 + SIGPIPE, as a shell would see it

// A checkpoint may have more shards than the 1,024 files that a shell lets a program open: --diff
// has two of them open.
void raise_open_file_limit() {
  constexpr rlim_t kWanted = 1 << 16;
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, kWanted);
  setrlimit(RLIMIT_NOFILE, &limit);
}

// A standard stream that the caller closed must not become an input or, worse, an output file that
// messages are then written into. Opened the wrong way round: using it stays an error.
void occupy_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      [[maybe_unused]] const int same = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

// The screen needs a terminal on both sides and no wish for rows.
bool can_browse(const Options& options) {
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
  const bool rows = options.csv || options.json || !options.output.empty();
  return !rows && !dumb && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

int browse(const Options& options, std::vector<Warning> warnings) {
  UiOptions ui;
  ui.warnings = std::move(warnings);
  ui.theme = options.theme;
  ui.columns = options.columns;
  ui.columns_file = state_path("columns");
  ui.path = options.paths.front();
  ui.refresh_hz = options.refresh_hz;
  ui.color = options.color;
  ui.ascii = options.ascii;
  ui.mouse = !options.no_mouse;
  ui.analyze = !options.no_analyze;
  ui.threads = options.threads;
  ui.database = options.database;
  ui.tensors = options.tensors;
  ui.prototype_dtype = options.prototype_dtype;
  return run_ui(ui);
}

void print_text(const std::string& text) {
  const auto output = stdout_output();
  output->write(text);
  output->finish();
}

// Binds the keys of the config file before any screen is made; adds what was wrong with them.
void bind_own_keys(Settings& settings) {
  static KeyTable table;
  for (Warning& warning : bind_keys(settings, table)) {
    settings.warnings.push_back(std::move(warning));
  }
  set_key_table(table.bindings());
}

int run_mode(const Options& options, Settings& settings, Messages& messages) {
  if (options.mode == Mode::kHelp) {
    bind_own_keys(settings);
    print_text(help_text(options.help_topic));
    return 0;
  }
  if (options.mode == Mode::kVersion) {
    print_text(version_text());
    return 0;
  }
  raise_open_file_limit();
  signal(SIGXFSZ, SIG_IGN);  // a file above the shell's limit is an error of write(), not the end
  if (options.mode == Mode::kBrowse && can_browse(options)) {
    bind_own_keys(settings);
    return browse(options, std::move(settings.warnings));
  }
  for (const Warning& warning : settings.warnings) messages.warning(warning);
  install_signals();
  Session session(options, messages);
  switch (options.mode) {
    case Mode::kStats:
      run_stats(session);
      break;
    case Mode::kVerify:
      run_verify(session);
      break;
    case Mode::kShow:
      run_show(session);
      break;
    case Mode::kDiff:
      run_diff(session);
      break;
    case Mode::kConvert:
      run_convert(session);
      break;
    case Mode::kQuantize:
      run_quantize(session);
      break;
    case Mode::kEncode:
      run_encode(session);
      break;
    case Mode::kDecode:
      run_decode(session);
      break;
    case Mode::kSweep:
      run_sweep(session);
      break;
    case Mode::kEval:
      run_eval(session);
      break;
    case Mode::kResults:
      run_results(session);
      break;
    default:
      run_list(session);
      break;
  }
  return messages.status();
}

int guarded_run(const std::vector<std::string>& arguments) {
  Messages before(false, false);
  try {
    Settings settings = read_settings(settings_path());
    const Options options = parse_options(arguments, settings.defaults);
    Messages messages(options.quiet, options.verbose);
    try {
      return run_mode(options, settings, messages);
    } catch (const Error& error) {
      messages.error(error);
      return messages.status();
    }
  } catch (const Interrupted&) {
    return interrupted_status();
  } catch (const ReaderGone&) {
    return kStdoutClosed;
  } catch (const OutputFailed& failed) {
    before.error(failed.error);
  } catch (const Error& error) {
    before.error(error);
  } catch (const std::bad_alloc&) {
    print_error_line("qinspect: out of memory [memory]");
    return 1;
  } catch (const std::exception& other) {
    print_error_line("qinspect: " + escape(other.what()) + " [io]");
    return 1;
  }
  return before.status();
}

}  // namespace

int run(int argc, char** argv) noexcept {
  try {
    occupy_standard_streams();
    return guarded_run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (...) {
    // Only making or printing a message can end here: there is no memory for it.
    constexpr std::string_view kLine = "qinspect: out of memory [memory]\n";
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, kLine.data(), kLine.size());
    return 1;
  }
}

}  // namespace qi
