package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fanwire/fanwire/client/internal/engine"
)

// parseURL splits the address into that of the server, where engine requests go,
// and a namespace.
func (o *Options) parseURL(address string) (*url.URL, string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, "", fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	if u.Host == "" {
		return nil, "", errors.New("no host in the URL")
	}
	query := u.Query()
	for name, values := range o.Query {
		query[name] = slices.Clone(values)
	}
	o.authorize(u.User)
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: o.Path, RawQuery: query.Encode()}, cleanNamespace(u.Path), nil
}

// authorize puts name and password of a URL, which gorilla refuses there, into a
// header.
func (o *Options) authorize(user *url.Userinfo) {
	if user == nil || o.Header.Get("Authorization") != "" {
		return
	}
	password, _ := user.Password()
	r := http.Request{Header: o.Header.Clone()}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.SetBasicAuth(user.Username(), password)
	o.Header = r.Header
}

// engine makes the configuration of the layer below. The transport is nil if the
// caller brought his own RoundTripper.
func (o *Options) engine(base *url.URL) (engine.Config, *http.Transport) {
	cfg := engine.Config{
		URL: base, Transports: o.Transports, TryAll: o.TryAllTransports, Upgrade: !o.NoUpgrade,
		HTTP: &http.Client{Transport: o.RoundTripper}, Header: o.Header,
		MaxMessage: o.MaxMessage, MaxQueue: o.SendQueue, ProbeTimeout: o.ConnectTimeout, CloseTimeout: o.CloseTimeout,
		DialContext: o.DialContext, Proxy: o.Proxy, TLS: o.TLS, ReadBuffer: o.ReadBuffer,
		Deflate: o.PerMessageDeflate, DeflateFrom: o.CompressFrom, Protocols: o.Protocols, ForceBase64: o.ForceBase64,
		RequestTimeout: o.RequestTimeout, OwnHTTP: o.RoundTripper == nil, Logger: o.Logger,
		StampParam: o.TimestampParam, StampPolling: !o.NoTimestamp, StampWebSocket: o.TimestampWebSocket,
	}
	if len(o.PerTransport) > 0 {
		cfg.PerTransport = make(map[string]engine.Extra, len(o.PerTransport))
		for name, extra := range o.PerTransport {
			cfg.PerTransport[name] = engine.Extra(extra)
		}
	}
	if !o.NoCookies {
		if cfg.HTTP.Jar = o.Jar; o.Jar == nil {
			cfg.HTTP.Jar, _ = cookiejar.New(nil) // never an error
		}
	}
	if o.RoundTripper != nil {
		return cfg, nil
	}
	transport := &http.Transport{Proxy: o.Proxy, DialContext: o.DialContext, TLSClientConfig: o.TLS, IdleConnTimeout: time.Minute}
	cfg.HTTP.Transport = transport
	return cfg, transport
}
