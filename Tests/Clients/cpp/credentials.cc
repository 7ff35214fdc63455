// gRPC's Google default credentials: a call to a server of this program, which prints the token that the call brought.
// The first argument names the file with the server's certificate and key, which the client trusts by the environment.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>

namespace {

constexpr char kBearer[] = "Bearer ";

// Answers the call that the queue waits for, and returns the token that it brought.
std::string Serve(
    grpc::ServerCompletionQueue& queue, const grpc::GenericServerContext& context,
    grpc::GenericServerAsyncReaderWriter& stream) {
    void* tag = nullptr;
    bool succeeded = false;
    if (!queue.Next(&tag, &succeeded) || !succeeded) return "";
    std::string token;
    const auto found = context.client_metadata().find("authorization");
    if (found != context.client_metadata().end()) token.assign(found->second.data(), found->second.size());
    stream.Finish(grpc::Status::OK, nullptr);
    queue.Next(&tag, &succeeded);
    return token;
}

grpc::Status Call(int port, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    const auto channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), credentials, arguments);
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    grpc::ByteBuffer answer;
    grpc::Status status;
    const auto call = stub.PrepareUnaryCall(&context, "/example.Service/Method", grpc::ByteBuffer(), &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool succeeded = false;
    queue.Next(&tag, &succeeded);
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    const auto credentials = grpc::GoogleDefaultCredentials();
    if (credentials == nullptr) {
        std::cerr << "gRPC finds no default credentials\n";
        return 1;
    }
    std::ifstream file(argc > 1 ? argv[1] : "");
    const std::string pem((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({pem, pem});
    grpc::AsyncGenericService service;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
    builder.RegisterAsyncGenericService(&service);
    const auto queue = builder.AddCompletionQueue();
    const auto server = builder.BuildAndStart();

    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    service.RequestCall(&context, &stream, queue.get(), queue.get(), nullptr);

    std::string token;
    std::thread serving([&] { token = Serve(*queue, context, stream); });
    const grpc::Status status = Call(port, credentials);
    server->Shutdown(std::chrono::system_clock::now());
    queue->Shutdown();
    serving.join();
    if (token.rfind(kBearer, 0) != 0) {
        std::cerr << "the call brought no token: " << status.error_message() << '\n';
        return 1;
    }
    std::cout << "version gRPC C++ " << grpc::Version() << "\ntoken " << token.substr(sizeof kBearer - 1) << '\n';
}
