package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// route is one operation. Its name is the operationId of openapi.yaml.
type route struct {
	name    string
	method  string // GET serves HEAD too
	path    string // {name} stands for one segment, percent-encoded
	scope   scope
	body    bool          // takes JSON
	timeout time.Duration // deadline if 0
	run     func(c *call) error

	segments []string
}

// changes tells whether the route is one for the audit log.
func (r *route) changes() bool { return r.method != http.MethodGet }

// table is all operations.
func (a *API) table() []*route {
	const (
		ns     = "/v1/namespaces/{namespace}"
		socket = ns + "/sockets/{socket}"
	)
	routes := []*route{
		{name: "emit", method: "POST", path: "/v1/emit", scope: publish, body: true, timeout: maxWait + 5*time.Second, run: a.emit},
		{name: "batch", method: "POST", path: "/v1/batch", scope: public, body: true, run: a.batch}, // each command has its own scope
		{name: "serverEmit", method: "POST", path: "/v1/server-emit", scope: publish, body: true, timeout: maxWait + 5*time.Second, run: a.serverEmit},

		{name: "listNamespaces", method: "GET", path: "/v1/namespaces", scope: read, run: a.listNamespaces},
		{name: "listSockets", method: "GET", path: ns + "/sockets", scope: read, run: a.listSockets},
		{name: "getSocket", method: "GET", path: socket, scope: read, run: a.getSocket},
		{name: "joinRooms", method: "POST", path: socket + "/join", scope: manage, body: true, run: a.joinRooms},
		{name: "leaveRooms", method: "POST", path: socket + "/leave", scope: manage, body: true, run: a.leaveRooms},
		{name: "disconnect", method: "POST", path: socket + "/disconnect", scope: manage, body: true, run: a.disconnect},
		{name: "setData", method: "PUT", path: socket + "/data", scope: manage, body: true, run: a.setData},
		{name: "listRooms", method: "GET", path: ns + "/rooms", scope: read, run: a.listRooms},
		{name: "getPresence", method: "GET", path: ns + "/rooms/{room}", scope: read, run: a.getPresence},

		{name: "listNodes", method: "GET", path: "/v1/nodes", scope: read, run: a.listNodes},
		{name: "revoke", method: "POST", path: "/v1/revocations", scope: manage, body: true, run: a.revoke},
		{name: "listRevocations", method: "GET", path: "/v1/revocations", scope: read, run: a.listRevocations},

		{name: "getOpenapiYaml", method: "GET", path: "/v1/openapi.yaml", scope: public, run: a.openapiYAML},
		{name: "getOpenapiJson", method: "GET", path: "/v1/openapi.json", scope: public, run: a.openapiJSON},
	}
	for _, r := range routes {
		r.segments = strings.Split(r.path[1:], "/")
		if r.timeout == 0 {
			r.timeout = deadline
		}
	}
	return routes
}

// match finds the route of a path as it was sent: "%2F" in a segment belongs to a
// name. allow is what the path may be asked with, nil if there is no such path.
func (a *API) match(method, path string) (found *route, vars map[string]string, allow []string) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) > maxSegments {
		return nil, nil, nil
	}
	for _, r := range a.routes {
		v, ok := r.fits(segments)
		if !ok {
			continue
		}
		allow = append(allow, r.method)
		if r.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			found, vars = r, v
		}
	}
	if allow != nil {
		allow = append(allow, http.MethodOptions)
		slices.Sort(allow)
	}
	return found, vars, allow
}

const maxSegments = 8

func (r *route) fits(segments []string) (vars map[string]string, ok bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	for i, want := range r.segments {
		if want[0] != '{' {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return nil, false
		}
		if vars == nil {
			vars = make(map[string]string, 2)
		}
		vars[want[1:len(want)-1]] = value
	}
	return vars, true
}
