# gRPC C++, with a certificate for its own server.
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$HOME/grpc.key" -out "$HOME/grpc.pem" 2> /dev/null
cat "$HOME/grpc.key" "$HOME/grpc.pem" > "$HOME/grpc.both"
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=$HOME/grpc.pem exec "$CLIENTS/grpc-credentials" "$HOME/grpc.both"
