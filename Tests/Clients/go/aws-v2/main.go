// The AWS SDK for Go, version 2: the default credential chain, a listing and an object. With the argument "cold": one try to
// get credentials of the instance metadata service, with the SDK's own time limits and none of its repetitions.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

var version string

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func cold() {
	client := imds.New(imds.Options{Retryer: aws.NopRetryer{}})
	provider := ec2rolecreds.New(func(options *ec2rolecreds.Options) { options.Client = client })
	begin := time.Now()
	_, err := provider.Retrieve(context.Background())
	answer := map[string]any{"first": err == nil, "milliseconds": float64(time.Since(begin).Microseconds()) / 1000}
	if err != nil {
		answer["error"] = err.Error()
	}
	check(json.NewEncoder(os.Stdout).Encode(answer))
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "cold" {
		cold()
		return
	}
	all := context.Background()
	bucket := aws.String(os.Getenv("STORAGE_BUCKET"))
	configuration, err := config.LoadDefaultConfig(all, config.WithRegion("eu-west-1"))
	check(err)
	credential, err := configuration.Credentials.Retrieve(all)
	check(err)
	client := s3.NewFromConfig(configuration, func(options *s3.Options) {
		options.UsePathStyle = true
		options.EndpointResolver = s3.EndpointResolverFromURL(os.Getenv("STORAGE_ENDPOINT"))
	})
	listing, err := client.ListObjectsV2(all, &s3.ListObjectsV2Input{Bucket: bucket})
	check(err)
	object, err := client.GetObject(all, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("greeting.txt")})
	check(err)
	content, err := io.ReadAll(object.Body)
	check(err)
	fmt.Printf("version %s\ncredential %s\nlisting %s\nobject %s\n",
		version, credential.AccessKeyID, *listing.Contents[0].Key, content)
}
