// Answers every call of any method at ADDRESS with the bytes of FILE, over grpc-go and nothing else: what a cached answer costs at
// least. Streams stay open after their one message, as those of the Workload API do.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
)

type frame struct{ bytes []byte }

// raw passes messages on as they are.
type raw struct{}

func (raw) Marshal(value any) ([]byte, error) { return value.(*frame).bytes, nil }

func (raw) Unmarshal(data []byte, value any) error {
	value.(*frame).bytes = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

func main() {
	answer, err := os.ReadFile(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	encoding.RegisterCodec(raw{})
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var request frame
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		if err := stream.SendMsg(&frame{answer}); err != nil {
			return err
		}
		method, _ := grpc.MethodFromServerStream(stream)
		if strings.HasSuffix(method, "/FetchJWTSVID") {
			return nil
		}
		<-stream.Context().Done()
		return nil
	}))
	fmt.Println("listening")
	if err := server.Serve(listener); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
