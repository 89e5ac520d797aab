package main

import (
	"context"
	"crypto"
	"fmt"
	"sort"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/exp/bundle/witbundle"
	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

// What a token says, and whether the bundles that came by the Workload API make it good.
type tokenJSON struct {
	ID       string   `json:"id"`
	Hint     string   `json:"hint"`
	Audience []string `json:"audience,omitempty"`
	Expiry   int64    `json:"expiry"`
	Verified bool     `json:"verified"`
	Token    string   `json:"token"`
}

// A bundle is told by the IDs of its keys, sorted.
type keysJSON struct {
	Bundles map[string][]string `json:"bundles"`
}

func (k keysJSON) add(domain spiffeid.TrustDomain, authorities map[string]crypto.PublicKey) {
	ids := []string{}
	for id := range authorities {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	k.Bundles[domain.Name()] = ids
}

func describeJWTBundles(set *jwtbundle.Set) keysJSON {
	out := keysJSON{Bundles: map[string][]string{}}
	for _, bundle := range set.Bundles() {
		out.add(bundle.TrustDomain(), bundle.JWTAuthorities())
	}
	return out
}

func describeWITBundles(set *witbundle.Set) keysJSON {
	out := keysJSON{Bundles: map[string][]string{}}
	for _, bundle := range set.Bundles() {
		out.add(bundle.TrustDomain(), bundle.WITAuthorities())
	}
	return out
}

func describeJWT(svid *jwtsvid.SVID, bundles jwtbundle.Source) tokenJSON {
	again, err := jwtsvid.ParseAndValidate(svid.Marshal(), bundles, svid.Audience)
	return tokenJSON{
		ID:       svid.ID.String(),
		Hint:     svid.Hint,
		Audience: svid.Audience,
		Expiry:   svid.Expiry.Unix(),
		Verified: err == nil && again.ID == svid.ID,
		Token:    svid.Marshal(),
	}
}

// Good only if also the key that came with it is the one that it confirms: what that one signs, this one verifies.
func describeWIT(svid *witsvid.SVID, bundles witbundle.Source) tokenJSON {
	again, err := witsvid.ParseAndValidate(svid.Marshal(), bundles)
	return tokenJSON{
		ID:       svid.ID.String(),
		Hint:     svid.Hint,
		Expiry:   svid.Expiry.Unix(),
		Verified: err == nil && again.ID == svid.ID && provesPossession(svid.PrivateKey, again.PublicKey),
		Token:    svid.Marshal(),
	}
}

func provesPossession(private crypto.PrivateKey, public crypto.PublicKey) bool {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: private}, nil)
		if err != nil {
			continue
		}
		proof, err := signer.Sign([]byte("proof"))
		if err != nil {
			continue
		}
		payload, err := proof.Verify(public)
		return err == nil && string(payload) == "proof"
	}
	return false
}

func fetchJWT(ctx context.Context, client *workloadapi.Client, params jwtsvid.Params) error {
	all, err := client.FetchJWTSVIDs(ctx, params)
	if err != nil {
		return err
	}
	first, err := client.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	bundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	out := []tokenJSON{}
	for _, svid := range all {
		out = append(out, describeJWT(svid, bundles))
	}
	emit(map[string]any{"svids": out, "first": describeJWT(first, bundles)})
	return nil
}

func sourceJWT(ctx context.Context, params jwtsvid.Params) error {
	source, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	emit(map[string]any{"svids": []tokenJSON{describeJWT(svid, source)}})
	return nil
}

// Asks the agent whether a token for one audience is good for another, or for the same.
func validateJWT(ctx context.Context, client *workloadapi.Client, params jwtsvid.Params, as string) error {
	svid, err := client.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	valid, err := client.ValidateJWTSVID(ctx, svid.Marshal(), as)
	if err != nil {
		return err
	}
	emit(map[string]any{"id": valid.ID.String(), "claims": valid.Claims})
	return nil
}

func fetchWIT(ctx context.Context, client *workloadapi.Client, id spiffeid.ID) error {
	all, err := client.FetchWITSVIDs(ctx, id.String())
	if err != nil {
		return err
	}
	first, err := client.FetchWITSVID(ctx, id.String())
	if err != nil {
		return err
	}
	bundles, err := client.FetchWITBundles(ctx)
	if err != nil {
		return err
	}
	out := []tokenJSON{}
	for _, svid := range all {
		out = append(out, describeWIT(svid, bundles))
	}
	emit(map[string]any{"svids": out, "first": describeWIT(first, bundles)})
	return nil
}

func sourceWIT(ctx context.Context, id spiffeid.ID) error {
	source, err := workloadapi.NewWITSource(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	svid, err := source.GetWITSVIDForID(id)
	if err != nil {
		return err
	}
	emit(map[string]any{"svids": []tokenJSON{describeWIT(svid, source)}})
	return nil
}

// Prints updates of either kind until enough came.
type tokenPrinter struct {
	printer
	client *workloadapi.Client
}

func (p *tokenPrinter) print(update any) {
	if p.left <= 0 {
		return
	}
	emit(update)
	if p.left--; p.left == 0 {
		p.done()
	}
}

func (p *tokenPrinter) report(err error) {
	if p.left > 0 {
		emit(map[string]string{"error": err.Error(), "code": status.Code(err).String()})
	}
}

func (p *tokenPrinter) OnJWTBundlesUpdate(set *jwtbundle.Set) { p.print(describeJWTBundles(set)) }
func (p *tokenPrinter) OnJWTBundlesWatchError(err error)      { p.report(err) }
func (p *tokenPrinter) OnWITBundlesUpdate(set *witbundle.Set) { p.print(describeWITBundles(set)) }
func (p *tokenPrinter) OnWITBundlesWatchError(err error)      { p.report(err) }
func (p *tokenPrinter) OnWITSVIDsWatchError(err error)        { p.report(err) }
func (p *tokenPrinter) OnWITSVIDsUpdate(svids []*witsvid.SVID) {
	bundles, err := p.client.FetchWITBundles(context.Background())
	if err != nil {
		p.report(err)
		return
	}
	out := []tokenJSON{}
	for _, svid := range svids {
		out = append(out, describeWIT(svid, bundles))
	}
	p.print(map[string]any{"svids": out})
}

func watchTokens(ctx context.Context, client *workloadapi.Client, verb string, updates int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher := &tokenPrinter{printer{left: updates, done: cancel}, client}
	var err error
	switch verb {
	case "watch-jwt-bundles":
		err = client.WatchJWTBundles(ctx, watcher)
	case "watch-wit-bundles":
		err = client.WatchWITBundles(ctx, watcher)
	default:
		err = client.WatchWITSVIDs(ctx, watcher, "")
	}
	if watcher.left > 0 {
		return err
	}
	return nil
}

type tokenOptions struct {
	params  jwtsvid.Params
	as      string
	issuer  string
	updates int
}

func runTokens(ctx context.Context, verb string, options tokenOptions) error {
	client, err := workloadapi.New(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	switch verb {
	case "jwt":
		return fetchJWT(ctx, client, options.params)
	case "jwt-source":
		return sourceJWT(ctx, options.params)
	case "validate-jwt":
		return validateJWT(ctx, client, options.params, options.as)
	case "wit":
		return fetchWIT(ctx, client, options.params.Subject)
	case "wit-source":
		return sourceWIT(ctx, options.params.Subject)
	case "oidc":
		return openIDConnect(ctx, client, options.params, options.issuer, options.as)
	case "jwt-bundles":
		bundles, err := client.FetchJWTBundles(ctx)
		if err == nil {
			emit(describeJWTBundles(bundles))
		}
		return err
	case "wit-bundles":
		bundles, err := client.FetchWITBundles(ctx)
		if err == nil {
			emit(describeWITBundles(bundles))
		}
		return err
	case "watch-jwt-bundles", "watch-wit-bundles", "watch-wit":
		return watchTokens(ctx, client, verb, options.updates)
	}
	return fmt.Errorf("unknown verb %q", verb)
}
