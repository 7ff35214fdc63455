// Asks with cloud.google.com/go/compute/metadata. With the argument "detect" it only says whether it is on GCE: the
// library remembers its answer for the life of the process.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"cloud.google.com/go/compute/metadata"
)

var version string

func main() {
	log.SetFlags(0)
	if !metadata.OnGCE() {
		log.Fatal("OnGCE is false")
	}
	fmt.Println("version", version)
	if len(os.Args) > 1 && os.Args[1] == "detect" {
		return
	}
	project, err := metadata.ProjectID()
	if err != nil {
		log.Fatal(err)
	}
	email, err := metadata.Email("default")
	if err != nil {
		log.Fatal(err)
	}
	body, err := metadata.Get("instance/service-accounts/default/token")
	if err != nil {
		log.Fatal(err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println("project", project)
	fmt.Println("email", email)
	fmt.Println("token", answer.AccessToken)
}
