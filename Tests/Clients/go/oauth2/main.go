// Finds the default credentials with golang.org/x/oauth2/google.
package main

import (
	"context"
	"fmt"
	"log"

	"golang.org/x/oauth2/google"
)

var version string

func main() {
	log.SetFlags(0)
	credentials, err := google.FindDefaultCredentials(
		context.Background(), "https://www.googleapis.com/auth/cloud-platform")
	if err != nil {
		log.Fatal(err)
	}
	token, err := credentials.TokenSource.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version", version)
	fmt.Println("project", credentials.ProjectID)
	fmt.Println("token", token.AccessToken)
}
