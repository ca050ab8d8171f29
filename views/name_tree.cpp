#include "views/name_tree.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

namespace qi {
namespace {

// Names are hostile: one of ten thousand dots must not become ten thousand levels.
constexpr int kMaxDepth = 12;
constexpr std::size_t kFew = 4;
constexpr std::size_t kMinRange = 3;  // fewer numbered siblings are listed one by one

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

// A plain trie over the dotted parts of the names, from which the final nodes are written out.
struct NameTree::Builder {
  struct Trie {
    std::string_view part;
    std::vector<std::uint32_t> children;
    std::vector<std::uint32_t> weights;
  };
  struct Edge {
    std::uint32_t parent;
    std::string_view part;
    bool operator==(const Edge&) const = default;
  };
  struct EdgeHash {
    std::size_t operator()(const Edge& edge) const {
      return std::hash<std::string_view>()(edge.part) * 31 + edge.parent;
    }
  };

  std::vector<Trie> tries{1};
  std::unordered_map<Edge, std::uint32_t, EdgeHash> edges;
  NameTree& tree;
  const Model& model;

  Builder(NameTree& tree_in, const Model& model_in) : tree(tree_in), model(model_in) {
    tries.reserve(model.weights.size());
    for (std::uint32_t i = 0; i < model.weights.size(); ++i) insert(i);
    tree.nodes_.reserve(tries.size());
    tree.node_of_.resize(model.weights.size());
    write(0, 0, 0, {});
  }

  std::uint32_t child(std::uint32_t parent, std::string_view part) {
    // Names come in natural order, so it is nearly always the child just made. Of the others only
    // the first few are looked through; a table knows where the rest is.
    const std::vector<std::uint32_t>& children = tries[parent].children;
    if (!children.empty() && tries[children.back()].part == part) return children.back();
    const std::size_t few = std::min(children.size(), kFew);
    for (std::size_t i = 0; i < few; ++i) {
      if (tries[children[i]].part == part) return children[i];
    }
    const auto made = static_cast<std::uint32_t>(tries.size());
    if (few == kFew) {
      const auto [it, added] = edges.try_emplace({parent, part}, made);
      if (!added) return it->second;
    }
    tries[parent].children.push_back(made);
    tries.push_back({part, {}, {}});
    return made;
  }

  // The last part ("weight", "bias") names the tensor in its module and gets no node.
  void insert(std::uint32_t weight) {
    std::string_view rest = model.weights[weight].name;
    std::uint32_t at = 0;
    for (int depth = 0; depth < kMaxDepth; ++depth) {
      const std::size_t dot = rest.find('.');
      if (dot == std::string_view::npos) break;
      at = child(at, rest.substr(0, dot));
      rest.remove_prefix(dot + 1);
    }
    tries[at].weights.push_back(weight);
  }

  std::uint32_t begin_node(std::uint32_t parent, int depth, std::string label) {
    const auto index = static_cast<std::uint32_t>(tree.nodes_.size());
    TreeNode node;
    node.label = std::move(label);
    node.parent = parent;
    node.depth = static_cast<std::uint16_t>(depth);
    tree.nodes_.push_back(std::move(node));
    return index;
  }

  void end_node(std::uint32_t index) {
    TreeNode& node = tree.nodes_[index];
    node.end = static_cast<std::uint32_t>(tree.nodes_.size());
    if (index != 0) {
      tree.nodes_[node.parent].weights += node.weights;
      tree.nodes_[node.parent].size_bytes += node.size_bytes;
    }
  }

  void write(std::uint32_t from, std::uint32_t parent, int depth, std::string prefix) {
    const Trie* trie = &tries[from];
    std::string label = prefix + std::string(trie->part);
    // A chain of modules that hold nothing but the next one is one line: "model.language_model".
    while (from != 0 && trie->weights.empty() && trie->children.size() == 1 &&
           !is_number(trie->part) && !is_number(tries[trie->children[0]].part)) {
      trie = &tries[trie->children[0]];
      label += '.';
      label += trie->part;
    }
    const bool experts = trie->part.find("expert") != std::string_view::npos;
    const std::uint32_t index = begin_node(parent, depth, std::move(label));
    for (const std::uint32_t weight : trie->weights) {
      tree.node_of_[weight] = index;
      ++tree.nodes_[index].weights;
      tree.nodes_[index].size_bytes += model.weights[weight].size_bytes;
    }
    write_children(*trie, index, depth + 1, experts);
    end_node(index);
  }

  // Experts fold into one line; of layers the first stays outside, as an example of them all.
  void write_children(const Trie& trie, std::uint32_t parent, int depth, bool experts) {
    const std::vector<std::uint32_t>& children = trie.children;
    for (std::size_t i = 0; i < children.size();) {
      std::size_t end = i;
      while (end < children.size() && is_number(tries[children[end]].part)) ++end;
      if (end - i < kMinRange) {
        end = std::max(end, i + 1);
        for (; i < end; ++i) write(children[i], parent, depth, {});
        continue;
      }
      if (!experts) write(children[i++], parent, depth, {});
      const std::uint32_t range = begin_node(parent, depth, std::string(tries[children[i]].part));
      tree.nodes_[range].range_last = tries[children[end - 1]].part;
      for (; i < end; ++i) write(children[i], range, depth + 1, {});
      end_node(range);
    }
  }
};

NameTree::NameTree(const Model& model) {
  Builder builder(*this, model);
  parents_.reserve(nodes_.size());
  for (const TreeNode& node : nodes_) parents_.push_back(node.parent);
  // Open at first: the top, and one example of what repeats.
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    TreeNode& node = nodes_[i];
    if (node.depth == 0) node.open = true;
    if (node.depth == 1 && node.range_last.empty()) node.open = true;
    const bool example = i + 1 < nodes_.size() && node.end < nodes_.size() &&
                         !nodes_[node.end].range_last.empty() &&
                         nodes_[node.end].parent == node.parent && node.depth <= 3;
    if (example) {
      node.open = true;
      nodes_[node.parent].open = true;
    }
  }
  list_lines();
}

std::string NameTree::path(std::uint32_t node) const {
  std::string out;
  for (std::uint32_t at = node; at != 0; at = nodes_[at].parent) {
    const TreeNode& one = nodes_[at];
    // A range stands between a member of it and the module it lies in: no part of the name.
    const bool range = !one.range_last.empty();
    if (range && at != node) continue;
    out = one.label + (range ? " ... " + one.range_last : "") + (at == node ? "" : ".") + out;
  }
  return out;
}

void NameTree::list_lines() {
  lines_.clear();
  for (std::uint32_t i = 0; i < nodes_.size();) {
    lines_.push_back(i);
    i = nodes_[i].open ? i + 1 : nodes_[i].end;
  }
}

void NameTree::set_open(std::uint32_t node, bool open) {
  if (nodes_[node].open == open || is_leaf(node)) return;
  nodes_[node].open = open;
  list_lines();
}

std::size_t NameTree::reveal(std::uint32_t node) {
  for (std::uint32_t at = node; at != 0;) {
    at = nodes_[at].parent;
    nodes_[at].open = true;
  }
  list_lines();
  return static_cast<std::size_t>(std::lower_bound(lines_.begin(), lines_.end(), node) -
                                  lines_.begin());
}

}  // namespace qi
