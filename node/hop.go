package node

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// A hop is the header with which a node hands a client's request on to the node of
// its session. Its parts, separated by spaces: the version, the ids of both nodes,
// the client's address ("-" if there is none), a nonce, and a MAC over all of that and
// over method and URI, under a key that only the nodes of the cluster have. It says
// when of nothing: clocks differ (HRD-77). Whoever could see a hop, and send it
// again, would see the session's secret id beside it.
const (
	hopHeader  = "Fanwire-Hop"
	hopVersion = "1"
	hopParts   = 6
)

// hopKey signs and checks hops.
type hopKey []byte

func newHopKey(secret []byte) (hopKey, error) {
	return hkdf.Key(sha256.New, secret, nil, "fanwire hop "+hopVersion, sha256.Size)
}

// sign returns the header for a request of a client at that address.
func (k hopKey) sign(from, to, method, uri, client string) string {
	if _, err := netip.ParseAddrPort(client); err != nil {
		client = "-"
	}
	head := strings.Join([]string{hopVersion, from, to, client, randomID(16)}, " ")
	return head + " " + k.mac(head, method, uri)
}

func (k hopKey) mac(head, method, uri string) string {
	h := hmac.New(sha256.New, k)
	_, _ = io.WriteString(h, head+"\n"+method+"\n"+uri) // none of them has a line's end
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// check returns the client's address if a node of the cluster has made the hop of r
// for this node.
func (k hopKey) check(r *http.Request, node string) (client string, ok bool) {
	values := r.Header[hopHeader]
	if len(k) == 0 || len(values) != 1 {
		return "", false
	}
	cut := strings.LastIndexByte(values[0], ' ')
	if cut < 0 {
		return "", false
	}
	head, mac := values[0][:cut], values[0][cut+1:]
	if !hmac.Equal([]byte(mac), []byte(k.mac(head, r.Method, requestURI(r)))) {
		return "", false
	}
	parts := strings.Split(head, " ")
	if len(parts) != hopParts-1 || parts[0] != hopVersion || parts[2] != node {
		return "", false
	}
	return parts[3], true
}

func requestURI(r *http.Request) string {
	if r.RequestURI != "" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

type hoppedKey struct{}

// hopped tells whether r came with a hop, good or not. Such a request is never
// handed on: that makes loops impossible, whatever the nodes believe of each other.
func hopped(r *http.Request) bool { return r.Context().Value(hoppedKey{}) != nil }

// acceptHop strips the hop of a request and returns the request as the node that
// received it first has seen it. A hop that no node of the cluster has made changes
// nothing but that the request is not handed on.
func (f *forwarder) acceptHop(r *http.Request) *http.Request {
	if _, ok := r.Header[hopHeader]; !ok {
		return r
	}
	client, ok := f.key().check(r, f.srv.cfg.NodeID)
	r = r.WithContext(context.WithValue(r.Context(), hoppedKey{}, true))
	r.Header = r.Header.Clone() // it is not ours to change
	delete(r.Header, hopHeader)
	if !ok {
		f.badHops.Add(1)
		return r
	}
	f.relayed.Add(1)
	if client != "-" {
		r.RemoteAddr = client
	}
	return engine.Relayed(r)
}
