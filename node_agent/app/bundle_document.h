// The SPIFFE bundle document of our own trust domain, as others fetch it.
//
// It has what the bundle has, a sequence number and a refresh hint (SPIFFE_Trust_Domain_and_Bundle §4.1). The number
// rises with every change of the rest and with nothing else, also over restarts: number and hash of what it was given
// to are kept in a file. It is never below the time in seconds, so that a number that got lost with the file is not
// used again.
//
// Lifetime: destroying it ends its work. Thread: loop. Failure: where the file cannot be written the document is shown
// all the same, since taking a key back must not wait for a disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "pki/bundle.h"

namespace lanyard {

class BundleDocument {
 public:
  BundleDocument(EventLoop& loop, const Clock& clock, std::string sequence_file, std::chrono::seconds refresh_hint);
  BundleDocument(const BundleDocument&) = delete;
  BundleDocument& operator=(const BundleDocument&) = delete;

  // The bundle is this now; a little later the document shows it.
  void Show(const Bundle& bundle);
  // Empty until the first bundle is shown.
  const std::string& text() const { return text_; }

 private:
  struct Numbered {
    std::uint64_t sequence = 0;
    Status kept{};  // in the file
  };
  static Numbered Number(const std::string& file, const std::string& content, std::uint64_t shown, std::uint64_t least);
  void NumberIt();
  void Take(const std::string& content, const Numbered& numbered);

  EventLoop& loop_;
  const Clock& clock_;
  const std::string file_;
  const std::chrono::seconds refresh_hint_;
  std::string newest_;  // without number and hint
  std::string shown_;   // the same, of text_
  std::string text_;
  std::uint64_t sequence_ = 0;
  bool numbering_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
