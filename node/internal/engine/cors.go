package engine

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// enabled tells whether foreign origins are served at all, and so preflights
// answered.
func (c *CORS) enabled() bool { return len(c.Origins) > 0 || c.AllowOrigin != nil }

// check tells whether the origin of r may use the server; the rule is the same
// for polling and for upgrades (HRD-13). It adds the headers that the response
// needs in any case, refusals included (EIO-X-03).
func (c *CORS) check(h http.Header, r *http.Request) *refusal {
	origin := r.Header.Get("Origin")
	any := c.AllowOrigin == nil && slices.Contains(c.Origins, "*")
	if c.enabled() && !any {
		h.Add("Vary", "Origin")
	}
	if origin == "" {
		if any {
			h.Set("Access-Control-Allow-Origin", "*")
		}
		return nil // no browser
	}
	if !validOrigin(origin) {
		return &refusal{code: codeBadRequest, cause: "INVALID_ORIGIN"}
	}
	if !any && !c.allows(r, origin) {
		if sameOrigin(r, origin) {
			return nil
		}
		return &refusal{code: codeForbidden, cause: "FORBIDDEN_ORIGIN"}
	}
	if any {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
	}
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.ExposedHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposedHeaders, ","))
	}
	return nil
}

func (c *CORS) allows(r *http.Request, origin string) bool {
	if c.AllowOrigin != nil {
		return c.AllowOrigin(r, origin)
	}
	return slices.Contains(c.Origins, origin)
}

// preflight answers OPTIONS (EIO-X-07).
func (c *CORS) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	methods := "GET,HEAD,PUT,PATCH,POST,DELETE"
	if len(c.Methods) > 0 {
		methods = strings.Join(c.Methods, ",")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if len(c.AllowedHeaders) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowedHeaders, ","))
	} else {
		h.Add("Vary", "Access-Control-Request-Headers")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	if c.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge.Seconds())))
	}
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusNoContent)
}

// validOrigin refuses control characters.
func validOrigin(origin string) bool {
	for i := range len(origin) {
		if c := origin[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// sameOrigin compares host and port of the origin with what the client asked
// for, not the scheme: TLS may end before us. A default port may be missing on
// one side.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(withoutDefaultPort(u.Host, u.Scheme), withoutDefaultPort(r.Host, u.Scheme))
}

func withoutDefaultPort(host, scheme string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
