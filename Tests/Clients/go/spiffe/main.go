// Uses the SPIFFE Workload API as a workload does, by go-spiffe alone, and prints what it got, one JSON object a line.
//
//	svid                     one X.509-SVID with its bundle
//	bundles                  the X.509 bundles, by trust domain
//	jwt AUDIENCE...          one JWT-SVID, and what validation against the bundle says of it
//	validate AUDIENCE TOKEN  what the endpoint says of a token
//	watch COUNT              so many different X.509-SVIDs, from one stream
//	files FOLDER             one X.509-SVID as files: svid.pem, svid.key, bundle.pem
//	serve ADDRESS ID         accepts one connection by mutual TLS from the workload ID, and answers it
//	dial ADDRESS ID          the other side
package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func show(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

func encoded(certificates []*x509.Certificate) []string {
	var texts []string
	for _, certificate := range certificates {
		texts = append(texts, base64.StdEncoding.EncodeToString(certificate.Raw))
	}
	return texts
}

func showSVID(svid *x509svid.SVID) {
	leaf := svid.Certificates[0]
	show(map[string]any{
		"id": svid.ID.String(), "serial": leaf.SerialNumber.Text(16), "chain": encoded(svid.Certificates),
		"seconds": int(time.Until(leaf.NotAfter).Seconds()),
	})
}

type watcher struct {
	seen map[string]bool
	svid chan *x509svid.SVID
}

func (w *watcher) OnX509ContextUpdate(update *workloadapi.X509Context) {
	svid := update.DefaultSVID()
	serial := svid.Certificates[0].SerialNumber.String()
	if !w.seen[serial] {
		w.seen[serial] = true
		w.svid <- svid
	}
}

func (w *watcher) OnX509ContextWatchError(err error) {
	fmt.Fprintln(os.Stderr, "watch:", err)
}

func main() {
	seconds := 30
	if text := os.Getenv("CLIENT_SECONDS"); text != "" {
		seconds, _ = strconv.Atoi(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	arguments := os.Args[1:]
	switch arguments[0] {
	case "svid":
		update, err := workloadapi.FetchX509Context(ctx)
		if err != nil {
			fail(err)
		}
		svid := update.DefaultSVID()
		bundle, err := update.Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
		if err != nil {
			fail(err)
		}
		if _, _, err := x509svid.Verify(svid.Certificates, bundle); err != nil {
			fail(err)
		}
		showSVID(svid)
	case "files":
		update, err := workloadapi.FetchX509Context(ctx)
		if err != nil {
			fail(err)
		}
		writeFiles(update, arguments[1])
	case "bundles":
		bundles, err := workloadapi.FetchX509Bundles(ctx)
		if err != nil {
			fail(err)
		}
		found := map[string][]string{}
		for _, bundle := range bundles.Bundles() {
			found[bundle.TrustDomain().IDString()] = encoded(bundle.X509Authorities())
		}
		show(found)
	case "jwt":
		svid, err := workloadapi.FetchJWTSVID(
			ctx, jwtsvid.Params{Audience: arguments[1], ExtraAudiences: arguments[2:]})
		if err != nil {
			fail(err)
		}
		bundles, err := workloadapi.FetchJWTBundles(ctx)
		if err != nil {
			fail(err)
		}
		parse(svid.Marshal(), bundles, arguments[1])
		checked, err := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), arguments[1])
		if err != nil {
			fail(err)
		}
		show(map[string]any{
			"id": svid.ID.String(), "token": svid.Marshal(), "audience": svid.Audience, "claims": checked.Claims,
		})
	case "validate":
		checked, err := workloadapi.ValidateJWTSVID(ctx, arguments[2], arguments[1])
		if err != nil {
			fail(err)
		}
		show(map[string]any{"id": checked.ID.String(), "claims": checked.Claims})
	case "watch":
		count, err := strconv.Atoi(arguments[1])
		if err != nil {
			fail(err)
		}
		watch := &watcher{map[string]bool{}, make(chan *x509svid.SVID, 64)}
		go workloadapi.WatchX509Context(ctx, watch)
		for i := 0; i < count; i++ {
			select {
			case svid := <-watch.svid:
				showSVID(svid)
			case <-ctx.Done():
				fail(ctx.Err())
			}
		}
	case "serve":
		serve(ctx, arguments[1], arguments[2])
	case "dial":
		dial(ctx, arguments[1], arguments[2])
	default:
		fail(fmt.Errorf("unknown command %q", arguments[0]))
	}
}

func parse(token string, bundles *jwtbundle.Set, audience string) {
	if _, err := jwtsvid.ParseAndValidate(token, bundles, []string{audience}); err != nil {
		fail(err)
	}
}

func writeFiles(update *workloadapi.X509Context, folder string) {
	svid := update.DefaultSVID()
	chain, key, err := svid.Marshal()
	if err != nil {
		fail(err)
	}
	bundle, err := update.Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		fail(err)
	}
	roots, err := bundle.Marshal()
	if err != nil {
		fail(err)
	}
	for name, content := range map[string][]byte{"svid.pem": chain, "svid.key": key, "bundle.pem": roots} {
		if err := os.WriteFile(folder+"/"+name, content, 0o600); err != nil {
			fail(err)
		}
	}
	show(map[string]any{"id": svid.ID.String()})
}

func serve(ctx context.Context, address, id string) {
	peer := tlsconfig.AuthorizeID(spiffeid.RequireFromString(id))
	listener, err := spiffetls.Listen(ctx, "tcp", address, peer)
	if err != nil {
		fail(err)
	}
	fmt.Fprintln(os.Stderr, "listening on", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go func(connection net.Conn) {
			defer connection.Close()
			line, err := bufio.NewReader(connection).ReadString('\n')
			if err != nil {
				show(map[string]any{"refused": err.Error()})
				return
			}
			fmt.Fprintf(connection, "answer to %s", line)
		}(connection)
	}
}

func dial(ctx context.Context, address, id string) {
	connection, err := spiffetls.Dial(
		ctx, "tcp", address, tlsconfig.AuthorizeID(spiffeid.RequireFromString(id)))
	if err != nil {
		fail(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "hello\n")
	line, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		fail(err)
	}
	show(map[string]any{"answer": line})
}
