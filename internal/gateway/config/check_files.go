package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// maxPEM bounds files with certificates and keys.
const maxPEM = 4 << 20

func (k *checker) serverTLS(path string, t TLS) {
	k.oneOf(path+".min_version", t.MinVersion, "1.2", "1.3")
	k.keyPair(path, t.CertFile, t.KeyFile)
	k.authorities(path+".client_ca_file", t.ClientCAFile)
	if t.ClientCAFile != "" && t.CertFile == "" && t.KeyFile == "" {
		k.bad(path+".client_ca_file", "is set, but TLS is off: there is no cert_file")
	}
}

func (k *checker) clientTLS(path, ca, cert, key string) {
	k.authorities(path+".ca_file", ca)
	k.keyPair(path, cert, key)
}

// keyPair checks that a certificate and its key are both there and fit.
func (k *checker) keyPair(path, certFile, keyFile string) {
	switch {
	case certFile == "" && keyFile == "":
		return
	case keyFile == "":
		k.bad(path+".key_file", "is needed with cert_file")
		return
	case certFile == "":
		k.bad(path+".cert_file", "is needed with key_file")
		return
	}
	cert, ok := k.read(path+".cert_file", certFile)
	key, ok2 := k.read(path+".key_file", keyFile)
	if !ok || !ok2 {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		k.bad(path+".cert_file", "does not work with key_file: %v", err)
	}
}

// authorities checks that a file has a certificate.
func (k *checker) authorities(path, name string) {
	if name == "" {
		return
	}
	if data, ok := k.read(path, name); ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		k.bad(path, "%s has no certificate in PEM", quote(name))
	}
}

func (k *checker) read(path, name string) (data []byte, ok bool) {
	data, err := readFile(name, maxPEM)
	if err != nil {
		k.bad(path, "file %s: %v", quote(name), err)
	}
	return data, err == nil
}

// parsePublicKey reads a public key, or that of a certificate, from PEM.
func parsePublicKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("has a certificate that cannot be read")
		}
		return cert.PublicKey, nil
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("has a key that cannot be read")
		}
		return key, nil
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("has a key that cannot be read")
		}
		return key, nil
	}
	if slices.Contains([]string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}, block.Type) {
		return nil, errors.New("has a private key: the public one is enough, and safer here")
	}
	return nil, fmt.Errorf("has a block %s and no public key", quote(block.Type))
}

// algorithmsOf returns the algorithms that fit a public key. Nil: none does.
func algorithmsOf(key crypto.PublicKey) []string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= 2048 {
			return []string{"RS256", "RS384", "RS512"}
		}
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}
		case 384:
			return []string{"ES384"}
		case 521:
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// badKeySet tells what is wrong with a JSON Web Key Set.
func badKeySet(data []byte) string {
	var set struct {
		Keys []struct {
			Kty string `json:"kty"`
		} `json:"keys"`
	}
	switch err := json.Unmarshal(data, &set); {
	case err != nil:
		return "is no JSON Web Key Set"
	case len(set.Keys) == 0:
		return `has no keys: a JSON Web Key Set is {"keys": [...]}`
	}
	return ""
}
