package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Spec is a token to be made. Backends make their own; this is for trying things out.
// Empty texts, zero times and nil lists are left out.
type Spec struct {
	User, ID, Issuer, Audience string
	Issued, Expires            time.Time

	Rooms, MayJoin, MaySend, Namespaces []string

	KeyID  string         // kid
	Claims map[string]any // others; those above win
}

// SigningKey makes tokens. Its text forms do not show it.
type SigningKey struct {
	method jwt.SigningMethod
	secret any // []byte or a private key
}

// ReadSigningKey reads a private key (PEM, not encrypted) or else takes data as the
// secret of an HS algorithm. If alg is empty it is the usual one for the key. The
// error does not show the key.
func ReadSigningKey(data []byte, alg string) (SigningKey, error) {
	secret, public, err := readPrivate(data)
	if err != nil {
		return SigningKey{}, err
	}
	k := key{public: public}
	for _, usual := range []string{"HS256", "RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		if alg == "" && k.fits(usual, "") {
			alg = usual
		}
	}
	switch {
	case !slices.Contains(algorithms, alg):
		return SigningKey{}, fmt.Errorf("the algorithm %.20q is none of %s", alg, strings.Join(algorithms, ", "))
	case !k.fits(alg, ""):
		return SigningKey{}, fmt.Errorf("the key is not one for %s", alg)
	}
	return SigningKey{jwt.GetSigningMethod(alg), secret}, nil
}

// readPrivate returns what signs, and what checks that.
func readPrivate(data []byte) (secret, public any, err error) {
	if !looksLikeKey(data) {
		if len(data) < minSecret {
			return nil, nil, fmt.Errorf("a secret of %d bytes: at least %d are needed", len(data), minSecret)
		}
		return data, data, nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, nil, errors.New("a key that cannot be read: not PEM")
	}
	switch block.Type {
	case "PRIVATE KEY":
		secret, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		secret, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		secret, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, nil, fmt.Errorf("not a private key that can be read: %.40q", block.Type)
	}
	if err != nil {
		return nil, nil, errors.New("a private key that cannot be read")
	}
	switch secret.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		public = secret.(crypto.Signer).Public()
		return secret, public, checkKey(public)
	}
	return nil, nil, fmt.Errorf("a private key of the type %T", secret)
}

// Sign makes a token whose claims have the names of the configuration.
func (k SigningKey) Sign(s Spec, names config.JWT) (string, error) {
	if k.method == nil {
		return "", errors.New("no key")
	}
	claims := jwt.MapClaims{}
	maps.Copy(claims, s.Claims)
	for name, text := range map[string]string{"sub": s.User, "jti": s.ID, "iss": s.Issuer, "aud": s.Audience} {
		if text != "" {
			claims[name] = text
		}
	}
	for name, at := range map[string]time.Time{"iat": s.Issued, "exp": s.Expires} {
		if !at.IsZero() {
			claims[name] = at.Unix()
		}
	}
	lists := map[string][]string{
		names.RoomsClaim: s.Rooms, names.MayJoinClaim: s.MayJoin, names.MaySendClaim: s.MaySend, names.NamespaceClaim: s.Namespaces,
	}
	for name, list := range lists {
		if list != nil && name != "" {
			claims[name] = list
		}
	}
	t := jwt.NewWithClaims(k.method, claims)
	if s.KeyID != "" {
		t.Header["kid"] = s.KeyID
	}
	token, err := t.SignedString(k.secret)
	switch {
	case err != nil:
		return "", errors.New("the claims have no JSON")
	case len(token) > maxTokenSize:
		return "", fmt.Errorf("the token has %d bytes; at most %d are accepted", len(token), maxTokenSize)
	}
	return token, nil
}

// Algorithm is what the key signs with.
func (k SigningKey) Algorithm() string { return k.method.Alg() }

func (SigningKey) String() string   { return "***" }
func (SigningKey) GoString() string { return "***" }
