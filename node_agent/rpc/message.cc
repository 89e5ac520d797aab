#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <string.h>

#include <cstdlib>

#include "node_agent/rpc/call.h"

namespace lanyard {
namespace {

// The bytes and, before them, how many they are.
struct Block {
  size_t size;
  unsigned char* bytes() { return reinterpret_cast<unsigned char*>(this + 1); }
};

void ZeroAndFree(void* raw) {
  auto* block = static_cast<Block*>(raw);
  explicit_bzero(block->bytes(), block->size);
  std::free(block);
}

}  // namespace

grpc::ByteBuffer SerializeShared(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + size));
  if (block == nullptr) std::abort();
  block->size = size;
  message.SerializeWithCachedSizesToArray(block->bytes());
  grpc::Slice slice(block->bytes(), size, ZeroAndFree, block);
  return grpc::ByteBuffer(&slice, 1);
}

Status ParseMessage(grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message) {
  grpc::ProtoBufferReader reader(&bytes);
  if (!reader.status().ok() || !message.ParseFromZeroCopyStream(&reader)) {
    return Error(StatusCode::kInvalidArgument, "request is not a {} message", message.GetTypeName());
  }
  return OkStatus();
}

}  // namespace lanyard
