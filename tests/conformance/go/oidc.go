package main

import (
	"context"
	"errors"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// Knows the issuer's URL and nothing else; finds the keys as any OpenID Connect client does. Then shows it a WIT-SVID.
func openIDConnect(ctx context.Context, client *workloadapi.Client, params jwtsvid.Params, issuer, as string) error {
	svid, err := client.FetchJWTSVID(ctx, params)
	if err != nil {
		return err
	}
	wit, err := client.FetchWITSVID(ctx, "")
	if err != nil {
		return err
	}
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: as})
	token, err := verifier.Verify(ctx, svid.Marshal())
	if err != nil {
		return err
	}
	anybody := provider.Verifier(&oidc.Config{SkipClientIDCheck: true, SkipIssuerCheck: true})
	if _, err = anybody.Verify(ctx, wit.Marshal()); err == nil {
		return errors.New("a WIT-SVID was taken for an ID token")
	}
	emit(map[string]any{"issuer": token.Issuer, "subject": token.Subject, "audience": token.Audience, "wit": err.Error()})
	return nil
}
