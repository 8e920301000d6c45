package identity

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// build makes a setup. remote is that of the one before, if there was one.
func (v *Verifier) build(cfg config.JWT, remote *keyURL) (*setup, error) {
	s := &setup{cfg: cfg}
	var problems []error
	wrong := func(name string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("auth.jwt.%s: %w", name, err))
		}
	}
	wrong("secret", s.addSecret(cfg.Secret))
	wrong("previous_secret", s.addSecret(cfg.PreviousSecret))
	wrong("public_key_file", v.addFile(s, cfg.PublicKeyFile, parsePEM))
	wrong("jwks_file", v.addFile(s, cfg.JWKSFile, parseKeySet))
	var address *url.URL
	if cfg.JWKSURL != "" {
		var err error
		address, err = checkKeyURL(cfg.JWKSURL, cfg.JWKSAllowHTTP)
		wrong("jwks_url", err)
	}
	public := len(s.files) > 0 || address != nil
	wrong("algorithms", s.chooseAlgorithms(public))
	if cfg.Leeway < 0 {
		wrong("leeway", errors.New("is negative"))
	}
	if cfg.Grace < 0 {
		wrong("grace", errors.New("is negative"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	switch {
	case address == nil:
	case remote != nil && remote.url == address.String():
		s.remote = remote
	default:
		s.remote = newKeyURL(address, v.opts.Transport, v.opts.Logger)
	}
	s.parser = jwt.NewParser(jwt.WithValidMethods(s.algs), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	return s, nil
}

func (s *setup) addSecret(secret config.Secret) error {
	if !secret.IsSet() {
		return nil
	}
	value := []byte(secret.Reveal())
	if len(value) < minSecret {
		return fmt.Errorf("%d bytes, at least %d are needed", len(value), minSecret)
	}
	if looksLikeKey(value) {
		return errors.New("a key in PEM form: a public key is no secret; it belongs into a public_key_file")
	}
	s.secrets = append(s.secrets, key{public: value})
	return nil
}

// looksLikeKey tells whether somebody has given a key where a secret belongs: with a
// public one everybody could make tokens.
func looksLikeKey(value []byte) bool { return strings.Contains(string(value), "-----BEGIN ") }

func (v *Verifier) addFile(s *setup, path string, parse func([]byte) ([]key, error)) error {
	if path == "" {
		return nil
	}
	f, err := openKeyFile(path, parse, v.opts.Logger)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	return nil
}

// chooseAlgorithms takes those of the configuration or, without any, those that fit
// the keys; public tells whether there are keys besides secrets.
func (s *setup) chooseAlgorithms(public bool) error {
	usable := func(alg string) bool {
		if strings.HasPrefix(alg, "HS") {
			return len(s.secrets) > 0
		}
		return public
	}
	for _, alg := range s.cfg.Algorithms {
		switch {
		case !slices.Contains(algorithms, alg):
			return fmt.Errorf("%.20q is none of %s", alg, strings.Join(algorithms, ", "))
		case !usable(alg):
			return fmt.Errorf("there is no key for %s", alg)
		}
	}
	if s.algs = s.cfg.Algorithms; len(s.algs) > 0 {
		return nil
	}
	s.algs = []string{} // with nil the parser would accept all
	for _, alg := range algorithms {
		if usable(alg) {
			s.algs = append(s.algs, alg)
		}
	}
	return nil
}
