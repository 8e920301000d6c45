package identity

import (
	"encoding/json"
	"strings"

	"github.com/fanwire/fanwire/node"
)

// Token returns the token that a client has brought: the member "token" of its auth
// payload or else, if there is none or an empty one, that of the Authorization
// header (Bearer) of the handshake. It is never taken from the query string, which
// ends up in logs. Without one the error is [ErrMissing].
//
// All namespaces of a session share the header; browsers cannot set it for
// WebSocket.
func Token(s *node.Socket) (string, error) {
	return tokenOf(s.Handshake())
}

func tokenOf(h node.Handshake) (string, error) {
	var auth map[string]json.RawMessage
	if len(h.Auth) > 0 && json.Unmarshal(h.Auth, &auth) != nil {
		return "", invalid("the auth payload is not an object")
	}
	if raw := auth["token"]; len(raw) > 0 && string(raw) != "null" {
		var token string
		if json.Unmarshal(raw, &token) != nil {
			return "", invalid("the token of the auth payload is not a text")
		}
		if token != "" {
			return token, nil
		}
	}
	scheme, token, _ := strings.Cut(h.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", ErrMissing
	}
	return token, nil
}
