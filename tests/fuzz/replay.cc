// Runs a fuzz target over files, for compilers without libFuzzer: each file of the directories in the argument list,
// and no bytes at all. A broken promise ends the process, with the file's name as the last that was printed.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzzing.h"

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::cout << file.string() << std::endl;  // written out before a promise is broken
    std::ifstream in(file, std::ios::binary);
    std::vector<char> read((std::istreambuf_iterator<char>(in)), {});
    read.shrink_to_fit();  // so that AddressSanitizer sees one byte too far
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(read.data()), read.size());
  }
  const uint8_t nothing = 0;
  LLVMFuzzerTestOneInput(&nothing, 0);
  std::cout << files.size() << " inputs kept every promise" << std::endl;
  return files.empty() ? 1 : 0;
}
