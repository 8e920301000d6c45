package config

import (
	"slices"
	"time"
)

var (
	hmacAlgorithms   = []string{"HS256", "HS384", "HS512"}
	publicAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// HasKeys tells whether tokens can be verified at all.
func (j JWT) HasKeys() bool {
	return j.Secret.IsSet() || j.PublicKeyFile != "" || j.JWKSFile != "" || j.JWKSURL != ""
}

func (k *checker) jwt() {
	const path = "auth.jwt."
	j := k.c.Auth.JWT
	k.secret(path+"secret", j.Secret, 32)
	k.secret(path+"previous_secret", j.PreviousSecret, 32)
	switch {
	case !j.PreviousSecret.IsSet():
	case !j.Secret.IsSet():
		k.bad(path+"previous_secret", "is set, but there is no secret")
	case j.PreviousSecret.Equal(j.Secret):
		k.bad(path+"previous_secret", "is the same as secret")
	}
	fit := k.publicKeys()
	k.someOf(path+"algorithms", j.Algorithms, slices.Concat(hmacAlgorithms, publicAlgorithms)...)
	for i, alg := range j.Algorithms {
		switch {
		case slices.Contains(hmacAlgorithms, alg) && !j.Secret.IsSet():
			k.bad(index(path+"algorithms", i), "%s needs secret", alg)
		case slices.Contains(publicAlgorithms, alg) && !slices.Contains(fit, alg):
			k.bad(index(path+"algorithms", i), "%s needs a public key that fits", alg)
		}
	}
	if j.Secret.IsSet() && len(j.Algorithms) > 0 && !slices.ContainsFunc(j.Algorithms, func(alg string) bool { return slices.Contains(hmacAlgorithms, alg) }) {
		k.bad(path+"secret", "is set, but none of the algorithms uses it")
	}
	between(k, path+"leeway", j.Leeway, 0, 10*time.Minute)
	between(k, path+"grace", j.Grace, 0, time.Hour)
	for _, v := range []struct{ name, value string }{
		{"audience", j.Audience},
		{"issuer", j.Issuer},
		{"rooms_claim", j.RoomsClaim},
		{"may_join_claim", j.MayJoinClaim},
		{"may_send_claim", j.MaySendClaim},
		{"namespaces_claim", j.NamespaceClaim},
	} {
		k.text(path+v.name, v.value, 512)
	}
	used := slices.ContainsFunc(k.c.Namespaces, func(ns Namespace) bool { return slices.Contains(ns.Auth, "jwt") })
	if j.HasKeys() && !used {
		k.warn("auth.jwt", "there are keys, but no namespace has jwt in its auth")
	}
}

// publicKeys checks the sources of public keys and returns the algorithms that they may
// serve.
func (k *checker) publicKeys() (fit []string) {
	const path = "auth.jwt."
	j := k.c.Auth.JWT
	if j.PublicKeyFile != "" {
		fit = k.publicKey(path+"public_key_file", j.PublicKeyFile)
	}
	if j.JWKSFile != "" {
		fit = publicAlgorithms
		if data, ok := k.read(path+"jwks_file", j.JWKSFile); ok {
			if message := badKeySet(data); message != "" {
				k.bad(path+"jwks_file", "%s %s", quote(j.JWKSFile), message)
			}
		}
	}
	if j.JWKSURL != "" {
		fit = publicAlgorithms
		u := k.url(path+"jwks_url", j.JWKSURL, "https", "http")
		if u != nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !j.JWKSAllowHTTP {
			k.bad(path+"jwks_url", "begins with http://, which needs jwks_allow_http on another machine")
		}
	}
	if j.JWKSFile != "" && j.JWKSURL != "" {
		k.bad(path+"jwks_url", "cannot be set together with jwks_file")
	}
	return fit
}

// publicKey checks the file of a public key and returns the algorithms that fit it: all
// if the key cannot be read, so that one mistake is one problem.
func (k *checker) publicKey(path, name string) []string {
	data, ok := k.read(path, name)
	if !ok {
		return publicAlgorithms
	}
	key, err := parsePublicKey(data)
	if err != nil {
		k.bad(path, "%s %v", quote(name), err)
		return publicAlgorithms
	}
	fit := algorithmsOf(key)
	if fit == nil {
		k.bad(path, "%s must have an RSA key of 2048 bits at least, one of P-256, P-384 or P-521, or Ed25519", quote(name))
		return publicAlgorithms
	}
	return fit
}
