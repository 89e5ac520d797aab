// Fetches a JWT-SVID for an audience, or validates one without asking anybody:  jwt fetch|validate AUDIENCE
#include <lanyard/client.h>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

int main(int argc, char** argv) try {
  if (argc != 3) throw std::invalid_argument("usage: jwt fetch AUDIENCE > TOKEN, or jwt validate AUDIENCE < TOKEN");
  const std::string verb = argv[1], audience = argv[2];
  const auto client = lanyard::WorkloadClient::Create().value();
  const auto source = lanyard::JwtSource::Create(client).value();
  if (verb == "fetch") {
    std::cout << source->Fetch({audience}).value().token() << std::endl;  // a credential: only for whom it is meant
    return 0;
  }
  const lanyard::Status ready = source->WaitReady(std::chrono::seconds(10));
  if (!ready.ok()) throw std::runtime_error(ready.ToString());
  std::string token;
  std::getline(std::cin, token);
  const lanyard::Result<lanyard::JwtSvid> svid = source->Validate(token, audience);
  if (!svid.ok()) throw std::runtime_error("refused: " + svid.status().ToString());
  std::cout << svid->id() << " says " << svid->claims() << std::endl;
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
