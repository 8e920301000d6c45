package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Bounds on a JSON Web Key Set.
const (
	maxKeySet = 1 << 20 // bytes
	maxKeys   = 100
	maxKeyID  = 256 // bytes
)

// webKey is a JSON Web Key (RFC 7517), as far as public keys go. D is there to tell
// that it is none.
type webKey struct {
	Type   string   `json:"kty"`
	Use    string   `json:"use"`
	Ops    []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	ID     string   `json:"kid"`
	Curve  string   `json:"crv"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	Secret any      `json:"d"`
}

// parseKeySet reads the keys of a set that can check signatures. Those that cannot
// are left out, as the RFC wants it; if none is left, the error tells why for the last.
func parseKeySet(data []byte) (keys []key, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(data) > maxKeySet {
		return nil, fmt.Errorf("a key set of more than %d bytes", maxKeySet)
	}
	if json.Unmarshal(data, &set) != nil || set.Keys == nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(set.Keys), maxKeys)
	}
	reason := errors.New("it is empty")
	for i, raw := range set.Keys {
		k, err := parseWebKey(raw)
		if err != nil {
			reason = fmt.Errorf("key %d: %w", i, err)
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key that checks signatures: %w", reason)
	}
	return keys, nil
}

func parseWebKey(raw []byte) (key, error) {
	var w webKey
	switch err := json.Unmarshal(raw, &w); {
	case err != nil:
		return key{}, errors.New("not a JSON Web Key")
	case len(w.ID) > maxKeyID:
		return key{}, fmt.Errorf("a kid of more than %d bytes", maxKeyID)
	case w.Use != "" && w.Use != "sig", w.Ops != nil && !slices.Contains(w.Ops, "verify"):
		return key{}, errors.New("not for signatures")
	case w.Secret != nil:
		return key{}, errors.New("a private key")
	}
	if w.Alg == "Ed25519" { // its newer name
		w.Alg = "EdDSA"
	}
	k := key{id: w.ID, alg: w.Alg}
	var err error
	switch w.Type {
	case "RSA":
		k.public, err = w.rsa()
	case "EC":
		k.public, err = w.ec()
	case "OKP":
		k.public, err = w.ed25519()
	case "oct":
		return key{}, errors.New("a secret: it belongs into auth.jwt.secret")
	default:
		return key{}, fmt.Errorf("kty %.20q", w.Type)
	}
	if err == nil {
		err = checkKey(k.public)
	}
	return k, err
}

func (w *webKey) rsa() (*rsa.PublicKey, error) {
	n, errN := decodePart(w.N)
	e, errE := decodePart(w.E)
	exponent := new(big.Int).SetBytes(e)
	if errN != nil || errE != nil || exponent.BitLen() > 31 {
		return nil, errors.New("n or e is not a proper number")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func (w *webKey) ec() (*ecdsa.PublicKey, error) {
	curve, ok := curves[w.Curve]
	if !ok {
		return nil, fmt.Errorf("crv %.20q", w.Curve)
	}
	size := (curve.Params().BitSize + 7) / 8
	x, errX := decodePart(w.X)
	y, errY := decodePart(w.Y)
	if errX != nil || errY != nil || len(x) > size || len(y) > size {
		return nil, errors.New("x or y is not a proper number")
	}
	point := make([]byte, 1+2*size) // some leave leading zeros out
	point[0] = 4
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	k, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("not a point of its curve")
	}
	return k, nil
}

func (w *webKey) ed25519() (ed25519.PublicKey, error) {
	x, err := decodePart(w.X)
	if w.Curve != "Ed25519" || err != nil || len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("crv %.20q, or not a proper x", w.Curve)
	}
	return x, nil
}

func decodePart(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("missing")
	}
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
