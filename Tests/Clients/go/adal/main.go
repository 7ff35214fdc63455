// Azure's older Go library, adal: the managed identity's token, a listing and a blob.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"

	"github.com/Azure/go-autorest/autorest/adal"
)

var version string

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(url, token string) string {
	request, err := http.NewRequest("GET", url, nil)
	check(err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("x-ms-version", "2021-08-06")
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	check(err)
	return string(content)
}

func main() {
	token, err := adal.NewServicePrincipalTokenFromManagedIdentity("https://storage.azure.com/", nil)
	check(err)
	check(token.Refresh())
	base := os.Getenv("STORAGE_ENDPOINT") + "/" + os.Getenv("STORAGE_BUCKET")
	listing := read(base+"?restype=container&comp=list", token.OAuthToken())
	fmt.Println("version", version)
	fmt.Println("listing", regexp.MustCompile("<Name>(.*?)</Name>").FindStringSubmatch(listing)[1])
	fmt.Println("object", read(base+"/greeting.txt", token.OAuthToken()))
}
