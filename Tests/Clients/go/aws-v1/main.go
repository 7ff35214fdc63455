// The AWS SDK for Go, version 1: the default credential chain, a listing and an object.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
)

var version string

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	bucket := aws.String(os.Getenv("STORAGE_BUCKET"))
	one, err := session.NewSession(&aws.Config{
		Region: aws.String("eu-west-1"), Endpoint: aws.String(os.Getenv("STORAGE_ENDPOINT")), S3ForcePathStyle: aws.Bool(true)})
	check(err)
	credential, err := one.Config.Credentials.Get()
	check(err)
	client := s3.New(one)
	listing, err := client.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: bucket})
	check(err)
	object, err := client.GetObject(&s3.GetObjectInput{Bucket: bucket, Key: aws.String("greeting.txt")})
	check(err)
	content, err := io.ReadAll(object.Body)
	check(err)
	fmt.Printf("version %s\ncredential %s\nlisting %s\nobject %s\n",
		version, credential.AccessKeyID, *listing.Contents[0].Key, content)
}
