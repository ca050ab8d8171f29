#include "views/rebinding.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "views/key.h"

namespace qi {
namespace {

std::vector<std::string> names_of(std::string_view keys) {
  std::vector<std::string> names;
  while (!keys.empty()) {
    const std::size_t end = std::min(keys.find(' '), keys.size());
    names.emplace_back(keys.substr(0, end));
    keys.remove_prefix(std::min(end + 1, keys.size()));
  }
  return names;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out;
}

std::vector<std::string> without(std::string_view keys, const std::vector<std::string>& taken) {
  std::vector<std::string> left = names_of(keys);
  std::erase_if(left, [&](const std::string& name) {
    return std::find(taken.begin(), taken.end(), name) != taken.end();
  });
  return left;
}

bool is_text(const std::string& name) {
  const std::optional<Key> key = key_of_name(name);
  return key && key->code == KeyCode::kCharacter;
}

std::uint32_t places_of(std::span<const Binding> table, Command command) {
  std::uint32_t out = 0;
  for (const Binding& binding : table) {
    if (binding.command == command) out |= binding.contexts;
  }
  return out;
}

// Where no key leads out. In the first screens only quitting does, elsewhere going back too.
std::uint32_t dead_ends(std::span<const Binding> table) {
  const std::uint32_t first_level = kInTree | kInTable | kInPicker | kInMessage;
  const std::uint32_t quit = places_of(table, Command::kQuit);
  const std::uint32_t back = places_of(table, Command::kBack) & ~first_level;
  const std::uint32_t clear = places_of(table, Command::kClear) & kTextFields;
  return ((kLastContext << 1) - 1) & ~(quit | back | clear);
}

}  // namespace

KeyTable::KeyTable() : bindings_(default_key_table().begin(), default_key_table().end()) {}

std::string KeyTable::rebind(const Rebinding& wanted) {
  const std::uint32_t has = places_of(default_key_table(), wanted.command);
  std::uint32_t places = has & wanted.contexts;
  if (places == 0) {
    return fmt::format("{} does nothing there: {}", command_word(wanted.command), places_text(has));
  }
  std::vector<std::string> names = wanted.keys;
  std::vector<std::string> in_text;  // those that are no text
  std::copy_if(names.begin(), names.end(), std::back_inserter(in_text),
               [](const std::string& name) { return !is_text(name); });
  if (in_text.empty() && !names.empty()) {
    // "suspend = z" is for the screens; where z is text, Ctrl-z stays.
    places &= ~kTextFields;
    if (places == 0) return "a key that is text cannot be a command where text is typed";
  }

  const std::uint32_t text_places = places & kTextFields;
  const std::pair<std::uint32_t, const std::vector<std::string>*> parts[] = {
      {places & ~kTextFields, &names}, {text_places, &in_text}};
  std::vector<Binding> changed;
  std::uint32_t given[] = {0, 0};  // where the command has its new keys already
  const auto keep = [&](Binding binding, std::uint32_t contexts, std::string keys) {
    if (contexts == 0 || keys.empty()) return;
    binding.contexts = contexts;
    if (binding.keys != keys) binding.keys = texts_.emplace_back(std::move(keys));
    changed.push_back(binding);
  };
  const auto add_new = [&](const Binding& like, std::uint32_t contexts) {
    for (std::size_t i = 0; i < 2; ++i) {
      const std::uint32_t here = contexts & parts[i].first & ~given[i];
      given[i] |= here;
      keep(like, here, joined(*parts[i].second));
    }
  };
  for (const Binding& binding : bindings_) {
    if (binding.command == wanted.command) {
      keep(binding, binding.contexts & ~places, std::string(binding.keys));
      add_new(binding, binding.contexts & places);
      continue;
    }
    // Split only where a key is taken: the help shows every row.
    std::uint32_t whole = binding.contexts;
    for (const auto& [contexts, taken] : parts) {
      if (without(binding.keys, *taken).size() < names_of(binding.keys).size()) whole &= ~contexts;
    }
    keep(binding, whole, std::string(binding.keys));
    for (const auto& [contexts, taken] : parts) {
      keep(binding, binding.contexts & contexts & ~whole, joined(without(binding.keys, *taken)));
    }
  }
  // A place where an earlier line took its last key.
  for (const Binding& binding : default_key_table()) {
    if (binding.command == wanted.command) add_new(binding, binding.contexts & places);
  }
  if (const std::uint32_t closed = dead_ends(changed)) {
    return fmt::format("no key would lead out of {}", places_text(closed));
  }
  bindings_ = std::move(changed);
  if (names.empty()) without_key_.push_back({wanted.command, places, {}});
  return "";
}

std::vector<std::string> KeyTable::losses() const {
  std::vector<std::string> out;
  for (int i = 1; i <= static_cast<int>(Command::kRedraw); ++i) {
    const auto command = static_cast<Command>(i);
    std::uint32_t lost = places_of(default_key_table(), command) & ~places_of(bindings_, command);
    for (const Rebinding& wished : without_key_) {
      if (wished.command == command) lost &= ~wished.contexts;
    }
    if (lost == 0) continue;
    // Who has the first of its keys now.
    std::string winner;
    for (const Binding& before : default_key_table()) {
      if (before.command != command || (before.contexts & lost) == 0) continue;
      for (const Binding& now : bindings_) {
        const std::vector<std::string> keys = names_of(now.keys);
        if ((now.contexts & before.contexts & lost) != 0 &&
            std::find(keys.begin(), keys.end(), names_of(before.keys).front()) != keys.end()) {
          winner = command_word(now.command);
        }
      }
    }
    out.push_back(fmt::format("{} has no key in {}: they went to {}", command_word(command),
                              places_text(lost), winner.empty() ? "other commands" : winner));
  }
  return out;
}

}  // namespace qi
