package node

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// randomID returns n random bytes as URL-safe text without padding.
func randomID(n int) string {
	var b [20]byte
	_, _ = rand.Read(b[:n]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:n])
}

// sessionIDs returns the generator of Engine.IO ids: 27 random characters, a dot
// and the node's id (HRD-12).
func sessionIDs(nodeID string) func() string {
	return func() string { return randomID(20) + "." + nodeID }
}

// tagSize is the length of a node's tag at the end of public ids.
const tagSize = 4

// newTag returns the tag of this node.
func newTag() string { return randomID(3) }

// publicID returns a socket's id: 16 random characters and the node's tag, 20
// together, by which official publishers know private rooms (HRD-12, CLU-H-04).
func publicID(tag string) string {
	var random [12]byte
	var text [16 + tagSize]byte
	_, _ = rand.Read(random[:])
	base64.RawURLEncoding.Encode(text[:16], random[:])
	copy(text[16:], tag)
	return string(text[:])
}

// clientIDSize is the length of a client's id, as the admin UI is used to.
const clientIDSize = 12

// clientID returns the name of the session with an id, from which the id cannot be
// found.
func clientID(sid string) string {
	sum := sha256.Sum256([]byte(sid))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:clientIDSize]
}

func validNodeID(id string) bool {
	if id == "" || len(id) > 32 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
