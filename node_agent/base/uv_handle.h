// Owns one libuv handle whose memory must outlive its close callback.
//
// The owner never frees the handle: Close() silences its callbacks at once and libuv releases the memory when it is
// done with it. A callback finds its owner with Owner<T>(handle), which is null after Close().
//
// Thread: loop.
#pragma once

#include <uv.h>

#include <memory>

namespace lanyard {

template <class Handle>
class UvHandle {
 public:
  explicit UvHandle(void* owner) : handle_(new Handle{}) { handle_->data = owner; }
  UvHandle(UvHandle&&) noexcept = default;
  ~UvHandle() { Close(); }

  Handle* get() const { return handle_.get(); }

  // Safe to call twice.
  void Close() {
    Handle* raw = handle_.release();
    if (raw == nullptr) return;
    raw->data = nullptr;
    auto* base = reinterpret_cast<uv_handle_t*>(raw);
    if (base->type == UV_UNKNOWN_HANDLE) {  // uv_*_init was never reached or failed
      delete raw;
      return;
    }
    uv_close(base, [](uv_handle_t* handle) { delete reinterpret_cast<Handle*>(handle); });
  }

 private:
  std::unique_ptr<Handle> handle_;
};

template <class T, class Handle>
T* Owner(const Handle* handle) {
  return static_cast<T*>(handle->data);
}

}  // namespace lanyard
