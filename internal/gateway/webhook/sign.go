package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// minKey is the smallest key, in bytes.
const minKey = 24

const (
	secretPrefix    = "whsec_"
	signatureScheme = "v1,"
)

var (
	errNoSecret  = errors.New("secret: required")
	errSecret    = errors.New("whsec_ must be followed by base64")
	errShortKey  = errors.New("shorter than 24 bytes")
	errURL       = errors.New("url: must be an absolute https URL without user and fragment")
	errPlainURL  = errors.New("url: http is not allowed, for allow_http is off")
	errRequest   = errors.New("request: no such type")
	errHandshake = errors.New("request: a connect without its handshake")
)

// keysOf returns the keys that sign: what the secrets mean.
func keysOf(cfg config.Webhook) ([][]byte, error) {
	if !cfg.Secret.IsSet() {
		return nil, errNoSecret
	}
	keys := make([][]byte, 0, 2)
	var errs []error
	for _, s := range []struct {
		path   string
		secret config.Secret
	}{{"secret", cfg.Secret}, {"previous_secret", cfg.PreviousSecret}} {
		if !s.secret.IsSet() {
			continue
		}
		key, err := keyOf(s.secret.Reveal())
		if err != nil {
			errs = append(errs, errors.New(s.path+": "+err.Error()))
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// keyOf is base64 after the prefix (Standard Webhooks), else the text itself. The
// errors do not show it.
func keyOf(secret string) ([]byte, error) {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errSecret
		}
	}
	if len(key) < minKey {
		return nil, errShortKey
	}
	return key, nil
}

// sign returns the header webhook-signature: one signature for each key, with spaces
// between (HRD-83).
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	out := make([]byte, 0, len(keys)*(len(signatureScheme)+base64.StdEncoding.EncodedLen(sha256.Size)+1))
	head := append(append(make([]byte, 0, len(id)+16), id...), '.')
	head = append(strconv.AppendInt(head, at.Unix(), 10), '.')
	var sum [sha256.Size]byte
	for i, key := range keys {
		if i > 0 {
			out = append(out, ' ')
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(head)
		mac.Write(body)
		out = append(out, signatureScheme...)
		out = base64.StdEncoding.AppendEncode(out, mac.Sum(sum[:0]))
	}
	return string(out)
}

// newID returns the id of a request, which nobody can guess.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "msg_" + base64.RawURLEncoding.EncodeToString(b[:])
}
