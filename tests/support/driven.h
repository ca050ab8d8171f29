// The interactive program without a terminal: keys in, canvas out, the background at work on a
// database of its own. For tests of app/ alone. Header only, one thread.
#pragma once

#include <poll.h>

#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "app/ui/program.h"
#include "tests/support/temp_dir.h"

namespace qi::test {

class Driven {
 public:
  /// `size`: of the screen.
  explicit Driven(std::string path, Size size = {120, 36}) : wake_(std::make_shared<Wake>()) {
    options_.path = std::move(path);
    options_.database = folder_.path() + "/results.db";
    options_.threads = 2;
    program_ = std::make_unique<Program>(options_, wake_);
    program_->resize(size);
    program_->start();
  }
  // Not Program::stop(): when work takes long to stop that ends the process, tests to come and all.
  ~Driven() = default;
  Driven(const Driven&) = delete;
  Driven& operator=(const Driven&) = delete;

  Program& program() { return *program_; }
  const std::string& folder() const { return folder_.path(); }
  const std::string& database() const { return options_.database; }

  /// Runs the loop until `done`; false when nothing came for half a minute.
  bool until(const std::function<bool()>& done) {
    while (!done()) {
      program_->idle_work();
      const bool more = program_->next_work().has_value();
      pollfd fd{wake_->fd(), POLLIN, 0};
      const int ready = poll(&fd, 1, more ? 20 : 30'000);
      if (ready == 0 && !more) return false;
      if (ready > 0) {
        wake_->clear();
        program_->take_results();
      }
    }
    return true;
  }
  std::string screen() {
    Canvas canvas(program_->size());
    program_->draw(canvas, glyphs(true));
    std::string out;
    for (int y = 0; y < canvas.size().height; ++y) out += canvas.row_text(y) + "\n";
    return out;
  }
  bool shows(std::string_view text) {
    return until([&] { return screen().find(text) != std::string::npos; });
  }
  /// Whether that is drawn now.
  bool sees(std::string_view text) { return screen().find(text) != std::string::npos; }
  void type(std::string_view keys) {
    for (const char c : keys) program_->handle(character(std::string(1, c)));
  }
  void press(KeyCode code) { program_->handle(key(code)); }
  void command(std::string_view text) {
    type(":");
    type(text);
    press(KeyCode::kEnter);
  }

 private:
  test::TempDir folder_;
  UiOptions options_;
  std::shared_ptr<Wake> wake_;
  std::unique_ptr<Program> program_;
};

inline std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace qi::test
