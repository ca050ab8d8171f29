// A key table of a person's own: the built-in one with some keys changed. Keeps what must hold: a
// key means one thing in one place, printable keys are text where text is typed, and there is
// always a way out. Made once at start, then handed to set_key_table(). One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "views/keymap.h"

namespace qi {

struct Rebinding {
  Command command = Command::kNone;
  std::uint32_t contexts = ~std::uint32_t{0};  // of the places where the command has a key
  std::vector<std::string> keys;               // names as key_name() writes them; none: no key
};

class KeyTable {
 public:
  KeyTable();
  KeyTable(const KeyTable&) = delete;  // bindings() point into it
  KeyTable& operator=(const KeyTable&) = delete;

  /// Gives a command its keys, and takes them from whatever else had them there. Why it cannot, and
  /// nothing is changed; empty: done. Printable.
  std::string rebind(const Rebinding& wanted);
  /// "columns has no key in tree, table: its keys went to filter", a line a command that lost its
  /// last key somewhere without having been asked to.
  std::vector<std::string> losses() const;

  std::span<const Binding> bindings() const { return bindings_; }

 private:
  std::vector<Binding> bindings_;
  std::deque<std::string> texts_;       // what their keys point to
  std::vector<Rebinding> without_key_;  // wished so
};

}  // namespace qi
