#include "node_agent/registry/registry.h"

#include <algorithm>
#include <string>
#include <unordered_map>

namespace lanyard {
namespace {

using SelectorNumber = uint32_t;
using EntryNumber = uint32_t;

// Numbers [begin, end).
struct Range {
  SelectorNumber begin;
  SelectorNumber end;
  bool Has(SelectorNumber number) const { return number >= begin && number < end; }
};

// A gap as numbers: the selector that is the prefix itself, and all below it.
struct GapRanges {
  Range exact;
  Range below;
  bool Has(SelectorNumber number) const { return exact.Has(number) || below.Has(number); }
};

class NumberSet {
 public:
  explicit NumberSet(size_t limit) : words_((limit + 63) / 64) {}
  void Insert(SelectorNumber number) { words_[number / 64] |= uint64_t{1} << (number % 64); }
  bool Has(SelectorNumber number) const { return (words_[number / 64] >> (number % 64) & 1) != 0; }

 private:
  std::vector<uint64_t> words_;
};

}  // namespace

// Selectors are numbered in the order of their text, so that a gap's prefix is a range of numbers and a match compares
// nothing but numbers.
struct Registry::Index {
  std::vector<std::string> texts;  // by number, sorted
  std::unordered_map<Selector, SelectorNumber> numbers;
  std::vector<SelectorNumber> needs;  // of all entries, one after the other
  std::vector<size_t> needs_begin;    // by entry, and one more
  std::vector<EntryNumber> filed;     // entries by rarest selector, one selector after the other
  std::vector<size_t> filed_begin;    // by selector, and one more
  std::unordered_map<const Entry*, EntryNumber> by_pointer;

  std::span<const SelectorNumber> Needs(EntryNumber entry) const {
    return std::span(needs).subspan(needs_begin[entry], needs_begin[entry + 1] - needs_begin[entry]);
  }
  std::span<const EntryNumber> Filed(SelectorNumber selector) const {
    return std::span(filed).subspan(filed_begin[selector], filed_begin[selector + 1] - filed_begin[selector]);
  }

  GapRanges RangesOf(std::string_view prefix) const {
    const auto at = [&](const std::string& text) {
      return static_cast<SelectorNumber>(std::lower_bound(texts.begin(), texts.end(), text) - texts.begin());
    };
    const std::string exact(prefix);
    const SelectorNumber first = at(exact);
    const bool is_selector = first < texts.size() && texts[first] == exact;
    return {.exact = {first, first + (is_selector ? 1 : 0)},
            .below = {at(exact + ':'), at(exact + static_cast<char>(':' + 1))}};
  }
};

std::shared_ptr<const Registry> Registry::Build(std::vector<Item> items, std::string revision) {
  return std::shared_ptr<const Registry>(new Registry(std::move(items), std::move(revision)));
}

Registry::~Registry() = default;

Registry::Registry(std::vector<Item> items, std::string revision)
    : items_(std::move(items)), revision_(std::move(revision)) {
  auto index = std::make_unique<Index>();
  auto wanted = std::make_shared<WantedKinds>();
  for (const Item& item : items_) {
    for (const Selector& selector : item.entry->selectors) {
      index->texts.push_back(selector.str());
      wanted->Add(selector);
    }
  }
  wanted_ = std::move(wanted);
  std::sort(index->texts.begin(), index->texts.end());
  index->texts.erase(std::unique(index->texts.begin(), index->texts.end()), index->texts.end());
  const size_t selector_count = index->texts.size();

  std::vector<size_t> holders(selector_count);  // how many entries have the selector
  index->needs_begin.push_back(0);
  for (const Item& item : items_) {
    for (const Selector& selector : item.entry->selectors) {
      const auto [known, fresh] = index->numbers.try_emplace(selector, 0);
      if (fresh) {
        const auto text = std::lower_bound(index->texts.begin(), index->texts.end(), selector.str());
        known->second = static_cast<SelectorNumber>(text - index->texts.begin());
      }
      ++holders[known->second];
      index->needs.push_back(known->second);
    }
    index->needs_begin.push_back(index->needs.size());
  }

  std::vector<std::vector<EntryNumber>> filed(selector_count);
  for (EntryNumber entry = 0; entry < items_.size(); ++entry) {
    index->by_pointer.emplace(items_[entry].entry.get(), entry);
    const auto needs = index->Needs(entry);
    if (needs.empty()) continue;  // the reader refuses such an entry; here it is nobody's
    filed[*std::min_element(needs.begin(), needs.end(), [&](auto a, auto b) { return holders[a] < holders[b]; })]
        .push_back(entry);
  }
  index->filed_begin.push_back(0);
  for (const std::vector<EntryNumber>& entries : filed) {
    index->filed.insert(index->filed.end(), entries.begin(), entries.end());
    index->filed_begin.push_back(index->filed.size());
  }
  index_ = std::move(index);
}

Verdicts Registry::Match(std::span<const Selector> selectors, std::span<const std::string_view> gaps) const {
  const Index& index = *index_;
  NumberSet found(index.texts.size());
  std::vector<SelectorNumber> keys;  // selectors under which to look for entries
  for (const Selector& selector : selectors) {
    const auto known = index.numbers.find(selector);
    if (known == index.numbers.end() || found.Has(known->second)) continue;
    found.Insert(known->second);
    keys.push_back(known->second);
  }
  std::vector<GapRanges> ranges;
  for (const std::string_view gap : gaps) ranges.push_back(index.RangesOf(gap));
  const auto covering = [&](SelectorNumber number) {  // the first gap that covers `number`, or gaps.size()
    return static_cast<size_t>(
        std::find_if(ranges.begin(), ranges.end(), [&](const GapRanges& gap) { return gap.Has(number); }) -
        ranges.begin());
  };
  for (size_t gap = 0; gap < ranges.size(); ++gap) {
    for (const Range range : {ranges[gap].exact, ranges[gap].below}) {
      for (SelectorNumber number = range.begin; number < range.end; ++number) {
        if (!found.Has(number) && covering(number) == gap) keys.push_back(number);
      }
    }
  }

  std::vector<EntryNumber> earned;
  std::vector<std::pair<EntryNumber, size_t>> undetermined;
  for (const SelectorNumber key : keys) {
    for (const EntryNumber entry : index.Filed(key)) {  // each entry is filed once, so none is seen twice
      size_t open_gap = gaps.size();
      const auto needs = index.Needs(entry);
      const bool possible = std::all_of(needs.begin(), needs.end(), [&](SelectorNumber need) {
        if (found.Has(need)) return true;  // found is found, even beside a gap
        const size_t gap = covering(need);
        open_gap = std::min(open_gap, gap);
        return gap < gaps.size();
      });
      if (!possible) continue;
      if (open_gap == gaps.size()) {
        earned.push_back(entry);
      } else {
        undetermined.emplace_back(entry, open_gap);
      }
    }
  }
  std::sort(earned.begin(), earned.end());
  std::sort(undetermined.begin(), undetermined.end());

  Verdicts verdicts;
  for (const auto& [entry, gap] : undetermined) verdicts.undetermined.push_back({items_[entry].entry, gap});
  std::unordered_map<std::string_view, EntryPtr> hints;
  for (const EntryNumber number : earned) {
    const EntryPtr& entry = items_[number].entry;
    if (entry->hint.empty()) {
      verdicts.earned.push_back(entry);
    } else if (const auto [first, fresh] = hints.try_emplace(entry->hint, entry); fresh) {
      verdicts.earned.push_back(entry);
    } else {
      verdicts.hint_conflicts.emplace_back(first->second, entry);
    }
  }
  return verdicts;
}

SourcePosition Registry::PositionOf(const EntryPtr& entry) const {
  const auto found = index_->by_pointer.find(entry.get());
  return found == index_->by_pointer.end() ? SourcePosition{} : items_[found->second].position;
}

}  // namespace lanyard
