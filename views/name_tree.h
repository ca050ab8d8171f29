// The modules of a model as a tree made from the names of its weights, experts and layers folded
// into ranges ("0 … 255"). Built once; then only which nodes are open changes. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

struct TreeNode {
  std::string label;       // raw bytes of the name: "layers", "mlp", "0"
  std::string range_last;  // not empty: stands for the siblings `label` … `range_last`
  std::uint32_t parent = 0;
  std::uint32_t end = 0;      // descendants are the nodes after this one, before `end`
  std::uint32_t weights = 0;  // in the whole subtree
  std::uint64_t size_bytes = 0;
  std::uint16_t depth = 0;
  bool open = false;
};

class NameTree {
 public:
  explicit NameTree(const Model& model);

  /// Node 0 is the root and holds every weight; nodes stand in preorder.
  std::span<const TreeNode> nodes() const { return nodes_; }
  /// TreeNode::parent of every node, close together: for passes over all of them.
  std::span<const std::uint32_t> parents() const { return parents_; }
  bool is_leaf(std::uint32_t node) const { return nodes_[node].end == node + 1; }
  /// The innermost node of a weight.
  std::uint32_t node_of(std::size_t weight) const { return node_of_[weight]; }
  bool contains(std::uint32_t node, std::size_t weight) const {
    return node_of_[weight] >= node && node_of_[weight] < nodes_[node].end;
  }

  /// The node's name in full, raw: "model.layers.0.mlp", of a range "model.layers.1 ... 31"; empty
  /// for the root.
  std::string path(std::uint32_t node) const;

  /// The nodes to list: those whose ancestors are all open.
  std::span<const std::uint32_t> lines() const { return lines_; }
  void set_open(std::uint32_t node, bool open);
  /// Opens all ancestors, so that the node has a line; returns the line.
  std::size_t reveal(std::uint32_t node);

 private:
  struct Builder;
  void list_lines();

  std::vector<TreeNode> nodes_;
  std::vector<std::uint32_t> parents_;
  std::vector<std::uint32_t> node_of_;
  std::vector<std::uint32_t> lines_;
};

}  // namespace qi
