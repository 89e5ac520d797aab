// A workload written with go-spiffe as it comes, for tests that start Lanyard's real binary.
//
//	fetch                            one X.509 context
//	bundles                          the X.509 bundles
//	watch --updates N                one line per update of the X.509 context, until N came
//	serve --peer ID --connections N  an mTLS server on loopback that lets only ID in
//	call --connect ADDR --peer ID    an mTLS call to a server that must be ID
//	tls-listen --peer ID --connections N, tls-dial --connect ADDR --peer ID
//	                                 the same, but the server speaks first, as Lanyard's demo programs do
//	many --count N                   N X509Sources; a line when all have an SVID, another when all have a newer one
//
// and of tokens (--audience may stand several times, --id may be left out):
//
//	jwt --audience A --id ID         JWT-SVIDs, all and the first, verified by the bundles that are fetched, too
//	jwt-source --audience A          the same by a JWTSource
//	validate-jwt --audience A --as B asks the agent whether a JWT-SVID for A is good for B
//	wit --id ID, wit-source --id ID  WIT-SVIDs in the same ways, and whether their keys are those in the tokens
//	jwt-bundles, wit-bundles         the bundles
//	watch-jwt-bundles, watch-wit-bundles, watch-wit --updates N
//	oidc --issuer URL --audience A   a JWT-SVID verified by go-oidc, which is told the issuer's URL only; --as B as above
//
// Prints one JSON object a line. The socket comes from SPIFFE_ENDPOINT_SOCKET. The Python programs beside it take the same
// words, but for many, and print the same fields.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

type svidJSON struct {
	ID       string    `json:"id"`
	Hint     string    `json:"hint"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after"`
	Chain    int       `json:"chain"`
	Verified bool      `json:"verified"`
}

type contextJSON struct {
	SVIDs   []svidJSON     `json:"svids"`
	Bundles map[string]int `json:"bundles"`
}

func emit(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func fail(err error) {
	emit(map[string]string{"error": err.Error(), "code": status.Code(err).String()})
	os.Exit(1)
}

func describe(update *workloadapi.X509Context) contextJSON {
	out := contextJSON{Bundles: map[string]int{}}
	for _, svid := range update.SVIDs {
		_, _, err := x509svid.Verify(svid.Certificates, update.Bundles)
		out.SVIDs = append(out.SVIDs, svidJSON{
			ID:       svid.ID.String(),
			Hint:     svid.Hint,
			Serial:   fmt.Sprintf("%x", svid.Certificates[0].SerialNumber),
			NotAfter: svid.Certificates[0].NotAfter,
			Chain:    len(svid.Certificates),
			Verified: err == nil,
		})
	}
	for _, bundle := range update.Bundles.Bundles() {
		out.Bundles[bundle.TrustDomain().Name()] = len(bundle.X509Authorities())
	}
	return out
}

type printer struct {
	left int
	done func()
}

func (p *printer) OnX509ContextUpdate(update *workloadapi.X509Context) {
	if p.left <= 0 {
		return
	}
	emit(describe(update))
	if p.left--; p.left == 0 {
		p.done()
	}
}

func (p *printer) OnX509ContextWatchError(err error) {
	emit(map[string]string{"error": err.Error(), "code": status.Code(err).String()})
}

func watch(ctx context.Context, updates int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher := &printer{left: updates, done: cancel}
	if err := workloadapi.WatchX509Context(ctx, watcher); err != nil && watcher.left > 0 {
		return err
	}
	return nil
}

func serve(ctx context.Context, peer spiffeid.ID, connections int) error {
	listener, err := spiffetls.Listen(ctx, "tcp", "127.0.0.1:0", tlsconfig.AuthorizeID(peer))
	if err != nil {
		return err
	}
	defer listener.Close()
	emit(map[string]string{"listening": listener.Addr().String()})
	for ; connections > 0; connections-- {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		answer(connection)
	}
	return nil
}

func answer(connection net.Conn) {
	defer connection.Close()
	request, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		emit(map[string]string{"refused": err.Error()})
		return
	}
	id, err := spiffetls.PeerIDFromConn(connection)
	if err != nil {
		emit(map[string]string{"refused": err.Error()})
		return
	}
	fmt.Fprintf(connection, "hello %s\n", id)
	emit(map[string]string{"peer": id.String(), "request": request})
}

func call(ctx context.Context, address string, peer spiffeid.ID) error {
	connection, err := spiffetls.Dial(ctx, "tcp", address, tlsconfig.AuthorizeID(peer))
	if err != nil {
		return err
	}
	defer connection.Close()
	fmt.Fprintf(connection, "ping from go\n")
	reply, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	id, err := spiffetls.PeerIDFromConn(connection)
	if err != nil {
		return err
	}
	emit(map[string]string{"peer": id.String(), "reply": reply})
	return nil
}

// A round is over when every source has been updated once more; what each then shows is verified.
func many(ctx context.Context, count int) error {
	sources := make([]*workloadapi.X509Source, count)
	if err := each(count, func(i int) (err error) {
		sources[i], err = workloadapi.NewX509Source(ctx)
		return err
	}); err != nil {
		return err
	}
	emit(map[string]int{"sources": count})
	if err := each(count, func(i int) error {
		before, err := sources[i].GetX509SVID()
		if err != nil {
			return err
		}
		for {
			if err := sources[i].WaitUntilUpdated(ctx); err != nil {
				return err
			}
			svid, err := sources[i].GetX509SVID()
			if err != nil {
				return err
			}
			if svid.Certificates[0].SerialNumber.Cmp(before.Certificates[0].SerialNumber) == 0 {
				continue
			}
			_, _, err = x509svid.Verify(svid.Certificates, sources[i])
			return err
		}
	}); err != nil {
		return err
	}
	emit(map[string]int{"back": count})
	return nil
}

// Runs do for 0 to count-1 at the same time; the first error.
func each(count int, do func(int) error) error {
	results := make(chan error, count)
	for i := 0; i < count; i++ {
		go func(i int) { results <- do(i) }(i)
	}
	var first error
	for i := 0; i < count; i++ {
		if err := <-results; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func run(ctx context.Context, verb string, arguments []string) error {
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	updates := flags.Int("updates", 1, "updates to print")
	connections := flags.Int("connections", 1, "connections to serve")
	count := flags.Int("count", 1, "sources")
	address := flags.String("connect", "", "address of the server")
	peerName := flags.String("peer", "", "SPIFFE ID that the other side must have")
	idName := flags.String("id", "", "SPIFFE ID that is asked for")
	as := flags.String("as", "", "audience of the verifier")
	issuer := flags.String("issuer", "", "issuer that an OpenID Connect client knows")
	var audiences []string
	flags.Func("audience", "audience of a JWT-SVID", func(audience string) error {
		audiences = append(audiences, audience)
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	peer, err := optionalID(*peerName)
	if err != nil {
		return err
	}
	params := jwtsvid.Params{}
	if params.Subject, err = optionalID(*idName); err != nil {
		return err
	}
	if len(audiences) > 0 {
		params.Audience, params.ExtraAudiences = audiences[0], audiences[1:]
	}
	switch verb {
	case "fetch":
		update, err := workloadapi.FetchX509Context(ctx)
		if err != nil {
			return err
		}
		emit(describe(update))
		return nil
	case "bundles":
		bundles, err := workloadapi.FetchX509Bundles(ctx)
		if err != nil {
			return err
		}
		out := contextJSON{Bundles: map[string]int{}}
		for _, bundle := range bundles.Bundles() {
			out.Bundles[bundle.TrustDomain().Name()] = len(bundle.X509Authorities())
		}
		emit(out)
		return nil
	case "watch":
		return watch(ctx, *updates)
	case "serve":
		return serve(ctx, peer, *connections)
	case "call":
		return call(ctx, *address, peer)
	case "tls-listen":
		return tlsListen(ctx, peer, *connections)
	case "tls-dial":
		return tlsDial(ctx, *address, peer)
	case "many":
		return many(ctx, *count)
	}
	return runTokens(ctx, verb, tokenOptions{params: params, as: *as, issuer: *issuer, updates: *updates})
}

func optionalID(name string) (spiffeid.ID, error) {
	if name == "" {
		return spiffeid.ID{}, nil
	}
	return spiffeid.FromString(name)
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: a verb named at the top of main.go, and its options")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2:]); err != nil {
		fail(err)
	}
}
