package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Sizes of RSA keys in bits. Smaller ones are not safe; larger ones make every
// token expensive.
const (
	minRSA = 2048
	maxRSA = 8192
)

// maxTries bounds the keys that one token is tried with.
const maxTries = 8

// key is one key that signs tokens.
type key struct {
	id     string // kid; empty: fits any
	alg    string // empty: any that fits its type
	public any    // []byte (a secret), *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// fits tells whether the key is for tokens with this algorithm and kid. What a key
// is decides what it is used for: a public key is never a secret of HMAC.
func (k *key) fits(alg, kid string) bool {
	if k.alg != "" && k.alg != alg || kid != "" && k.id != "" && k.id != kid {
		return false
	}
	switch public := k.public.(type) {
	case []byte:
		return strings.HasPrefix(alg, "HS")
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS")
	case *ecdsa.PublicKey:
		return alg == curveAlgs[public.Curve]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

var curveAlgs = map[elliptic.Curve]string{
	elliptic.P256(): "ES256",
	elliptic.P384(): "ES384",
	elliptic.P521(): "ES512",
}

// checkKey refuses keys that we have no use for.
func checkKey(public any) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("an RSA key of %d bits: %d to %d are accepted", bits, minRSA, maxRSA)
		}
		if k.E < 3 || k.E%2 == 0 {
			return errors.New("an RSA key without a proper exponent")
		}
	case *ecdsa.PublicKey:
		if curveAlgs[k.Curve] == "" {
			return fmt.Errorf("an EC key on the curve %s: P-256, P-384 and P-521 are accepted", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("a key of the type %T", public)
	}
	return nil
}

// parsePEM reads public keys and certificates, all that are in the file.
func parsePEM(data []byte) (keys []key, err error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		public, err := parseBlock(block)
		if err == nil {
			err = checkKey(public)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{public: public})
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key or certificate in PEM form")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (public any, err error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = cert.PublicKey
		}
	default:
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, errors.New("a private key: give its public one, and keep that where tokens are made")
		}
		return nil, fmt.Errorf("not a public key or certificate: %.40q", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not readable", strings.ToLower(block.Type))
	}
	return public, nil
}
